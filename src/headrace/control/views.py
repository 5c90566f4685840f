"""What the control room tells the outside: values that the APIs turn into JSON and text."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headrace.model import (
    BfdState,
    Count,
    Document,
    Health,
    IPAddress,
    IPNetwork,
    PortMode,
    SessionState,
    VerdictCount,
)


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One endpoint of one pool."""

    address: IPAddress
    weight: int
    state: str  # what the operator asked for
    health: Health | None  # what is believed of it; None: it is not checked
    why: str  # the last result of its probes, with the likely cause
    share: float  # of the pool's slots, 0..1
    server_id: int | None  # of QUIC connection ids
    path: str  # how it is reached, or why it is not
    reachable: bool
    sent: Count  # for all services together
    packets_per_s: float | None  # of late, while it drains: from the flows that are left
    flows_seen: int | None  # about how many of them in the last minute; None: not counted
    drain_left_s: float | None  # how long it still gets its old flows; None: no end is set


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool in use."""

    name: str  # a service's own pool has the service's key
    endpoints: tuple[EndpointView, ...]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service as it stands."""

    name: str
    key: str  # 192.0.2.1:80/tcp, or :80-89/tcp for a range of ports
    pool: str
    affinity: str  # which packets go to one endpoint
    flow_table: str  # when flows are remembered one by one
    sources: tuple[IPNetwork, ...]  # the clients that are served; empty: everybody
    denied_sources: tuple[IPNetwork, ...]  # those that are not; the longest of both counts
    quic: bool  # routed by server ids
    unserved: str  # what becomes of the VIP's other packets
    forwarding: bool  # the data plane has it, read back
    announced: bool  # over a BGP session that is up, by itself or by an aggregate
    why_not: str  # what keeps it from forwarding or being announced; empty if nothing
    healthy: int  # endpoints that take new flows and serve
    received: Count
    endpoints: tuple[EndpointView, ...]  # its pool's


@dataclass(frozen=True, slots=True)
class PortView:
    """One attached interface."""

    name: str
    mode: PortMode


@dataclass(frozen=True, slots=True)
class PeerView:
    """One BGP peer."""

    address: IPAddress
    as_number: int
    state: SessionState
    since_s: float  # seconds in that state
    bfd: BfdState
    announced: tuple[IPNetwork, ...]
    rejected: tuple[IPNetwork, ...] = ()  # what its export policies keep from it


@dataclass(frozen=True, slots=True)
class Status:
    """The whole node on one screen."""

    node: str
    version: str
    revision: int
    hash_seed_is_default: bool
    ports: tuple[PortView, ...]
    peers: tuple[PeerView, ...]
    services: tuple[ServiceView, ...]
    pools: tuple[PoolView, ...]  # those of the services
    verdicts: tuple[VerdictCount, ...]
    drain: str  # active | draining | drained: whether the node leaves the VIPs to others
    drain_left_s: float | None  # how long a node that drains still announces
    problems: tuple[str, ...]  # what is wrong and why, worst first


def pools_of(services: Iterable[ServiceView]) -> tuple[PoolView, ...]:
    """The pools of services, each once."""
    return tuple(
        PoolView(name, endpoints)
        for name, endpoints in {each.pool: each.endpoints for each in services}.items()
    )


@dataclass(frozen=True, slots=True)
class RevisionView:
    """One revision of the document among others."""

    number: int
    time: datetime  # UTC
    author: str
    change: str  # paths that differ from the revision before, on one line; no values


@dataclass(frozen=True, slots=True)
class RevisionDocument:
    """One revision of the document with what it says."""

    number: int
    time: datetime  # UTC
    author: str
    document: Document
