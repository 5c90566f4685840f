"""The nouns that travel between rooms. All are frozen; addresses are `ipaddress` objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Protocol(StrEnum):
    """A transport protocol that a service may have."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """The IP protocol number (IANA)."""
        return {Protocol.TCP: 6, Protocol.UDP: 17}[self]

    @classmethod
    def of_number(cls, number: int) -> "Protocol":
        """The protocol with this IP protocol number; ValueError when there is none."""
        for protocol in cls:
            if protocol.number == number:
                return protocol
        raise ValueError(f"IP protocol {number} is none of {', '.join(cls)}")


class Encapsulation(StrEnum):
    """How a packet reaches an endpoint. `ipip` is IP in IP (RFC 2003)."""

    IPIP = "ipip"


class OperatorState(StrEnum):
    """What the operator asked of an endpoint; never mixed with what health believes."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, order=True)
class ServiceKey:
    """What makes a service: VIP, protocol, port. Port 0 is any port."""

    vip: IPAddress
    protocol: Protocol
    port: int

    def __str__(self) -> str:
        """`20.20.20.1:8080/tcp`, the way documents, logs and URLs name a service."""
        host = f"[{self.vip}]" if self.vip.version == 6 else str(self.vip)
        return f"{host}:{self.port or 'any'}/{self.protocol}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The key that reads so; ValueError when the text is not a key."""
        address, slash, protocol = text.rpartition("/")
        host, colon, port = address.rpartition(":")
        key = cls(
            ip_address(host.removeprefix("[").removesuffix("]")),
            Protocol(protocol),
            0 if port == "any" else int(port),
        )
        if not (slash and colon) or str(key) != text or not 0 <= key.port <= 65_535:
            raise ValueError(f"{text!r} is not a key as 192.0.2.1:80/tcp")
        return key


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a conversation, from a client to a VIP."""

    protocol: Protocol
    source: IPAddress
    source_port: int
    destination: IPAddress
    destination_port: int


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The outer addresses towards one endpoint, as a kernel tunnel device would have them."""

    endpoint: IPAddress
    local: IPAddress
    remote: IPAddress


@dataclass(frozen=True, slots=True)
class NextHop:
    """The neighbour that outer packets are sent to: the interface and both MAC addresses."""

    ifindex: int
    source_mac: bytes  # 6 bytes
    destination_mac: bytes  # 6 bytes


@dataclass(frozen=True, slots=True)
class Path:
    """How packets reach an endpoint: the outer header and the next hop it is sent to."""

    outer_source: IPAddress
    outer_destination: IPAddress
    next_hop: NextHop
    mtu_bytes: int  # of the route that the outer packet takes


@dataclass(frozen=True, slots=True)
class Reach:
    """An endpoint as the data plane holds it: its identity and the outer addresses that reach it.

    Both outer addresses are None while no path was ever found.
    """

    endpoint: IPAddress
    outer_source: IPAddress | None = None
    outer_destination: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What the data plane forwards, read back from the kernel."""

    hash_keys: tuple[int, ...]
    endpoints: Mapping[Reach, Path | None]
    pools: Mapping[str, int]  # name -> stamp: what its lookup table was built from
    services: Mapping["ServiceKey", str]  # -> name of the pool


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why there is no path to an endpoint at the moment."""

    reason: str


@dataclass(frozen=True, slots=True)
class Port:
    """An interface that the data plane attaches to."""

    name: str
    ifindex: int
    macs: tuple[bytes, ...]  # destination MACs that mean this node: the port's, its bridge's


@dataclass(frozen=True, slots=True, order=True)
class Announcement:
    """One prefix as BGP peers are to hear it, with this node as next hop."""

    prefix: IPNetwork
    med: int | None = None
    communities: tuple[str, ...] = ()


class SessionState(StrEnum):
    """A BGP session as far as an operator cares."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A BGP session changed."""

    peer: IPAddress
    state: SessionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """Packets and the bytes of the IP packets as clients sent them."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """One way a packet can leave the pipeline, and how many did."""

    name: str
    action: str  # pass | drop | send
    meaning: str
    count: Count


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one flow through the data plane, as the kernel's maps say now."""

    flow: Flow
    verdict: str
    service: ServiceKey | None = None
    hash32: int | None = None
    slot: int | None = None
    endpoint: IPAddress | None = None
    path: Path | None = None
    steps: tuple[str, ...] = ()  # one sentence a step, for people
