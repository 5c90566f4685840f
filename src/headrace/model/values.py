"""The nouns that travel between rooms. All are frozen; addresses are `ipaddress` objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


def prefix_rank(prefix: IPNetwork) -> tuple[int, int, int]:
    """What prefixes of both families are sorted by: family, address, length."""
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _rank_of(vip: IPAddress | IPNetwork) -> tuple[int, int, int]:
    if isinstance(vip, IPv4Network | IPv6Network):
        return prefix_rank(vip)
    return vip.version, int(vip), vip.max_prefixlen


class _Prefix4(IPv4Network):
    """A prefix that keeps its hash: sets of them are made at every decision about routes."""

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class _Prefix6(IPv6Network):
    """The same for IPv6."""

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


def prefix_of(vip: IPAddress | IPNetwork) -> IPNetwork:
    """A VIP as routers hear of it."""
    kind = _Prefix4 if vip.version == 4 else _Prefix6
    if isinstance(vip, IPv4Network | IPv6Network):
        return kind((int(vip.network_address), vip.prefixlen))
    return kind((int(vip), vip.max_prefixlen))


class Protocol(StrEnum):
    """A transport protocol that a service may have."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"

    @property
    def number(self) -> int:
        """The IP protocol number (IANA)."""
        return _NUMBERS[self]

    @classmethod
    def of_number(cls, number: int) -> "Protocol":
        """The protocol with this IP protocol number; ValueError when there is none."""
        if number not in _PROTOCOLS:
            raise ValueError(f"IP protocol {number} is none of {', '.join(cls)}")
        return _PROTOCOLS[number]


_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
_PROTOCOLS = {number: protocol for protocol, number in _NUMBERS.items()}


class Encapsulation(StrEnum):
    """How a packet reaches an endpoint."""

    IPIP = "ipip"
    """IP in IP, of any two families (RFC 2003, 2473, 4213)."""
    GUE = "gue"
    """IP directly in UDP, variant 1 of GUE (draft-ietf-intarea-gue)."""
    L2 = "l2"
    """No outer header: another destination MAC, for endpoints on an attached network."""


class Affinity(StrEnum):
    """Which packets of a service go to one endpoint: those alike in this."""

    FLOW = "flow"
    SOURCE_IP = "source-ip"
    DESTINATION_PORT = "destination-port"


class FlowTable(StrEnum):
    """When a service's flows are remembered one by one."""

    ALWAYS = "always"
    """UDP only: each flow stays where it is until it has been idle."""
    UNSTABLE = "unstable"
    """While their slot has had another owner lately."""
    NEVER = "never"


class Unserved(StrEnum):
    """What becomes of a VIP's packets that no service is for."""

    DROP = "drop"
    PASS = "pass"  # noqa: S105 - not a password


class OperatorState(StrEnum):
    """What the operator asked of an endpoint; never mixed with what health believes."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


class ServiceKey(tuple[int, int, int, int, int]):
    """What makes a service: VIP, protocol, port. Port 0 is any port.

    IPv4 sorts before IPv6, then by address, the longer prefix last. Numbers only, whose tuples
    Python hashes and compares by itself: mappings by key are gone through at every change.
    """

    __slots__ = ()

    def __new__(cls, vip: IPAddress | IPNetwork, protocol: Protocol, port: int) -> Self:
        """A network as VIP only where it is more than one address."""
        return super().__new__(cls, (*_rank_of(vip), protocol.number, port))

    @property
    def vip(self) -> IPAddress | IPNetwork:
        """An address, or a network of more than one."""
        version, address, length, *_ = self
        if version == 4:
            return IPv4Address(address) if length == 32 else IPv4Network((address, length))
        return IPv6Address(address) if length == 128 else IPv6Network((address, length))

    @property
    def protocol(self) -> Protocol:
        """Of transport."""
        return Protocol.of_number(self[3])

    @property
    def port(self) -> int:
        """0: any."""
        return self[4]

    @property
    def prefix(self) -> IPNetwork:
        """The VIP as routers hear of it."""
        return prefix_of(self.vip)

    def __repr__(self) -> str:
        """As text, so that a step that failed can be read."""
        return f"{type(self).__name__}({self})"

    def __str__(self) -> str:
        """`20.20.20.1:8080/tcp`, the way documents, logs and URLs name a service."""
        return self.label_to(self.port)

    def label_to(self, last: int) -> str:
        """`20.20.20.1:8080-8090/tcp`, the key of all ports from its own to the last one."""
        host = f"[{self.vip}]" if self.vip.version == 6 else str(self.vip)
        ports = f"{self.port}-{last}" if last != self.port else str(self.port or "any")
        return f"{host}:{ports}/{self.protocol}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The key that reads so; ValueError when the text is not a key."""
        address, slash, protocol = text.rpartition("/")
        host, colon, port = address.rpartition(":")
        vip = host.removeprefix("[").removesuffix("]")
        key = cls(
            ip_network(vip) if "/" in vip else ip_address(vip),
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
class RememberedFlow:
    """A flow that the data plane knows by itself, and the endpoint that it keeps to."""

    flow: Flow
    endpoint: IPAddress
    idle_s: int  # since its last packet


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
    tag: int = 0  # VLAN id to push; 0: none
    transmit: bool = False  # what came in by this interface goes back by XDP_TX


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint and how a pool wants its packets to get there: what the underlay resolves."""

    endpoint: IPAddress
    encapsulation: Encapsulation = Encapsulation.IPIP

    def __hash__(self) -> int:
        """By the endpoint alone, as a Reach's."""
        return hash(int(self.endpoint))


@dataclass(frozen=True, slots=True)
class OuterSources:
    """The outer source addresses by family where no tunnel names one.

    A prefix, /16 or /112, leaves 16 bits to the flow's hash. None: the node's own address.
    """

    v4: IPv4Address | IPv4Network | None = None
    v6: IPv6Address | IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """How packets reach an endpoint: the outer header and the next hop it is sent to.

    `l2` has no outer header and neither address. A hashed source has zeros in its low 16 bits.
    """

    outer_source: IPAddress | None
    outer_destination: IPAddress | None
    next_hop: NextHop
    mtu_bytes: int  # of the route that the outer packet takes
    encapsulation: Encapsulation = Encapsulation.IPIP
    source_hashed: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """An endpoint as the data plane holds it: its identity and the outer header that reaches it.

    Both outer addresses are None while no path was ever found, and for `l2`.
    """

    endpoint: IPAddress
    outer_source: IPAddress | None = None
    outer_destination: IPAddress | None = None
    encapsulation: Encapsulation = Encapsulation.IPIP
    source_hashed: bool = False
    dscp: int | None = None  # None: the inner packet's

    def __hash__(self) -> int:
        """By the endpoint alone, which tells nearly all apart: tables hash thousands at a time."""
        return hash(int(self.endpoint))


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service as the data plane holds it."""

    pool: str
    affinity: Affinity = Affinity.FLOW
    flow_table: FlowTable = FlowTable.UNSTABLE
    unserved: Unserved = Unserved.DROP
    sources: frozenset[IPNetwork] = frozenset()  # empty: everybody
    denied_sources: frozenset[IPNetwork] = frozenset()  # of both, the longest prefix counts
    quic: bool = False


@dataclass(frozen=True, slots=True)
class Tuning:
    """What holds for the whole data plane of a node."""

    answers_per_s: int = 1000  # echo replies and too-big errors together
    udp_idle_s: int = 30
    gue_port: int = 6080
    sample_one_in: int = 0  # packets into the capture ring; 0: none


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What the data plane forwards, read back from the kernel."""

    hash_keys: tuple[int, ...]
    endpoints: Mapping[Reach, Path | None]
    pools: Mapping[str, int]  # name -> stamp: what its lookup table was built from
    services: Mapping["ServiceKey", ServiceEntry]
    down: frozenset[IPAddress] = frozenset()  # endpoints that get nothing, notes or not
    server_ids: Mapping[str, Mapping[int, IPAddress]] = field(default_factory=dict)  # by pool
    tuning: Tuning = Tuning()


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
    transmit: bool = False  # answers leave by XDP_TX: every NIC but veth
    members: tuple[int, ...] = ()  # of a bond, by ifindex: XDP is told packets came in by them


class PortMode(StrEnum):
    """How XDP runs on an interface that the data plane is to be attached to."""

    NATIVE = "native"
    """In the driver."""
    GENERIC = "generic"
    """Behind the driver, on packets that the kernel has copied."""
    MISSING = "missing"
    """Not at all: its device is gone, or its link."""


class Family(StrEnum):
    """The address family of the prefixes that a session carries."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def version(self) -> int:
        """Of the IP protocol."""
        return 4 if self is Family.IPV4 else 6

    @classmethod
    def of(cls, thing: IPAddress | IPNetwork) -> "Family":
        """The family of an address or a prefix."""
        return cls.IPV4 if thing.version == 4 else cls.IPV6


@dataclass(frozen=True, slots=True)
class Announcement:
    """One prefix as BGP peers are to hear it.

    Communities read `65535:0` (RFC 1997) or `64512:1:2` (RFC 8092, large).
    """

    prefix: IPNetwork
    med: int | None = None
    communities: tuple[str, ...] = ()
    prepend: int = 0  # how often the own AS is put in front once more
    local_pref: int | None = None  # iBGP only
    next_hop: IPAddress | None = None  # None: this node

    def __hash__(self) -> int:
        """By the prefix alone: a set of them has each once."""
        return hash(self.prefix)


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
    action: str  # pass | drop | send | answer
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
