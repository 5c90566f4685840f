"""The nouns of health checking. All are frozen."""

from dataclasses import dataclass
from enum import StrEnum

from headrace.model.values import Encapsulation, IPAddress


class Health(StrEnum):
    """What is believed of an endpoint; never mixed with what the operator asked of it."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class ProbeKind(StrEnum):
    """How an endpoint is asked whether it serves."""

    TCP = "tcp"
    HTTP = "http"
    HTTPS = "https"
    UDP = "udp"
    PING = "ping"
    SCTP = "sctp"
    NONE = "none"


class ProbePath(StrEnum):
    """Which way a probe takes."""

    TUNNEL = "tunnel"
    """To the VIP, by the same encapsulation as clients' packets; the endpoint answers directly."""
    DIRECT = "direct"
    """To the endpoint's own address."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How often and how an endpoint is asked, and when its answers are believed."""

    kind: ProbeKind = ProbeKind.TCP
    path: ProbePath = ProbePath.TUNNEL
    interval_s: float = 2.0
    timeout_s: float = 1.0
    rise: int = 2  # consecutive good results that mean up
    fall: int = 3  # consecutive bad ones that mean down
    port: int | None = None  # None: the service's
    host: str = ""  # http, https: the Host header and the name in TLS
    resource: str = "/"  # http, https: what is asked for
    statuses: frozenset[int] = frozenset(range(200, 400))
    body: str = ""  # http, https: what the first 64 KiB of the answer must contain
    ca_file: str = ""  # https: who signs the endpoint's certificate; empty: not checked
    request: bytes = b""  # udp: what is sent
    response: bytes = b""  # udp: what the answer must begin with; empty: any answer will do
    full_size: bool = False  # also asks whether a packet of the path's full size arrives


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """One endpoint to be probed for one pool."""

    pool: str
    endpoint: IPAddress
    vip: IPAddress  # where clients find it
    port: int
    probe: Probe
    encapsulation: Encapsulation = Encapsulation.IPIP


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of a target, and why."""

    health: Health
    since_s: float  # monotonic
    reason: str = ""  # the last result in words, with its likely cause
