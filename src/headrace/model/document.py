"""The operator's document: what should be, declared. Shapes and the rules of single values.

`checks` finds what contradicts between the parts, `reading` turns text into this and back.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from headrace.model.limits import (
    LIMIT_ENDPOINTS_PER_DOCUMENT,
    LIMIT_NAME_BYTES,
    LIMIT_PEERS,
    LIMIT_POOLS,
    LIMIT_PORTS,
    LIMIT_SERVICE_NAME_BYTES,
    LIMIT_SERVICES,
    LIMIT_WEIGHT,
    SLOT_COUNT_DEFAULT,
    SLOT_COUNT_MAX,
    SLOT_COUNT_MIN,
)
from headrace.model.problems import shown
from headrace.model.values import Encapsulation, IPAddress, OperatorState, Protocol, ServiceKey


def _read_address(value: object) -> IPAddress:
    """An address from its text; numbers and zones, which `ipaddress` takes too, are refused."""
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    if isinstance(value, str) and "%" not in value:
        try:
            return ip_address(value)
        except ValueError:
            pass
    raise ValueError(f"{shown(value)} is not an IP address; write one as 192.0.2.1")


def _read_ipv4(value: object) -> IPv4Address:
    address = _read_address(value)
    if not isinstance(address, IPv4Address):
        raise ValueError(f"{address} is not an IPv4 address; a router id always is, as 192.0.2.1")  # noqa: TRY004
    return address


def _check_vip(address: IPAddress) -> IPAddress:
    """A VIP that routers can announce and this version serves."""
    if (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    ):
        raise ValueError(f"{address} is not a unicast address that routers forward; use one")
    if address.version == 6:
        raise ValueError("IPv6 VIPs are not served by this version; use IPv4")
    return address


def _check_endpoint_address(address: IPAddress) -> IPAddress:
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f"{address} is not the address of a server; use the endpoint's own")
    if address.version == 6:
        raise ValueError("IPv6 endpoints are not served by this version; use IPv4")
    return address


def _read_port(value: object) -> int | str:
    if value == "any" or (type(value) is int and 1 <= value <= 65_535):
        return value
    raise ValueError(f'{shown(value)} is not a port: use 1..65535, or "any" for all of them')


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{shown(value)} is neither true nor false; write one of them")


def whole(low: int, high: int, remedy: str = "") -> Callable[[object], int]:
    """A check that a value is a whole number in a range; text that looks like one is refused."""

    def read(value: object) -> int:
        if type(value) is int and low <= value <= high:
            return value
        hint = "; write it without quotes" if isinstance(value, str) and value.isdigit() else remedy
        raise ValueError(f"{shown(value)} is not a whole number in {low}..{high}{hint}")

    return read


def _check_prime(slots: int) -> int:
    if not _is_prime(slots):
        raise ValueError(f"{slots} is not a prime; use {_next_prime(slots)}")
    return slots


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _next_prime(number: int) -> int:
    while not _is_prime(number):
        number += 1
    return number


_NAME = r"^[A-Za-z0-9_.:/\[\]-]+$"
Name = Annotated[str, Field(min_length=1, max_length=LIMIT_NAME_BYTES, pattern=_NAME)]
ServiceName = Annotated[
    str, Field(min_length=1, max_length=LIMIT_SERVICE_NAME_BYTES, pattern=_NAME)
]
Address = Annotated[IPAddress, BeforeValidator(_read_address)]
Vip = Annotated[Address, AfterValidator(_check_vip)]
EndpointAddress = Annotated[Address, AfterValidator(_check_endpoint_address)]
Flag = Annotated[bool, BeforeValidator(_read_bool)]
PortNumber = Annotated[int, Field(ge=1, le=65_535), BeforeValidator(whole(1, 65_535))]
PortOrAny = Annotated[
    Annotated[int, Field(ge=1, le=65_535)] | Literal["any"], BeforeValidator(_read_port)
]
AsNumber = Annotated[int, Field(ge=1, le=2**32 - 1), BeforeValidator(whole(1, 2**32 - 1))]
Weight = Annotated[
    int, Field(ge=0, le=LIMIT_WEIGHT), BeforeValidator(whole(0, LIMIT_WEIGHT, "; 0 drains"))
]
SlotCount = Annotated[
    int,
    Field(ge=SLOT_COUNT_MIN, le=SLOT_COUNT_MAX),
    BeforeValidator(whole(SLOT_COUNT_MIN, SLOT_COUNT_MAX)),
    AfterValidator(_check_prime),
]
HoldTime = Annotated[int, Field(ge=3, le=65_535), BeforeValidator(whole(3, 65_535))]
Ttl = Annotated[int, Field(ge=2, le=255), BeforeValidator(whole(2, 255))]
HashSeed = Annotated[int, Field(ge=0, le=2**64 - 1), BeforeValidator(whole(0, 2**64 - 1))]


class _Section(BaseModel):
    """A part of the document: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Section):
    """A server that answers for a service (the trade also says real or backend)."""

    address: EndpointAddress = Field(
        description="the endpoint's own address: its identity everywhere"
    )
    weight: Weight = Field(1, description="share of the slots; 0 drains")
    state: OperatorState = Field(OperatorState.ACTIVE, description="what the operator asks of it")

    @property
    def drained(self) -> bool:
        """Whether new flows go elsewhere by the operator's wish."""
        return self.weight == 0 or self.state is not OperatorState.ACTIVE


class Pool(_Section):
    """Endpoints with weights, and the size of the lookup table they share."""

    endpoints: tuple[Endpoint, ...] = Field(min_length=1, max_length=LIMIT_ENDPOINTS_PER_DOCUMENT)
    slots: SlotCount = Field(SLOT_COUNT_DEFAULT, description="slots of the lookup table; a prime")


class Service(_Section):
    """A VIP, a protocol and a port, and the pool that answers for them."""

    name: ServiceName | None = Field(None, description="a label for people and metrics")
    vip: Vip = Field(description="the anycast address that clients use")
    protocol: Protocol
    port: PortOrAny = Field(description='the port, or "any" for all of them')
    pool: Name | None = Field(None, description="the name of a pool; or give endpoints instead")
    endpoints: tuple[Endpoint, ...] | None = Field(
        None, description="endpoints of this service alone, instead of a pool", min_length=1
    )
    encapsulation: Encapsulation = Encapsulation.IPIP
    announce: Flag = Field(
        default=False, description="announce the VIP to the BGP peers while it works"
    )

    @property
    def key(self) -> ServiceKey:
        """What identifies the service."""
        return ServiceKey(self.vip, self.protocol, 0 if self.port == "any" else self.port)

    @property
    def pool_name(self) -> str:
        """The name of the pool that answers: a shared one, or the service's own."""
        return self.pool if self.pool is not None else str(self.key)


class TunnelEntry(_Section):
    """The outer addresses towards one endpoint, where the kernel has no tunnel device."""

    endpoint: EndpointAddress
    local: Address = Field(description="outer source address")
    remote: Address = Field(description="outer destination address")


class Node(_Section):
    """What is particular to one load-balancer machine."""

    name: Name | None = Field(None, description="shown in status; the host name if absent")
    interfaces: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=LIMIT_PORTS,
        description="interfaces that VIP packets arrive on, used as soon as they exist; "
        "all that can carry XDP if absent",
    )
    source: Address | None = Field(
        None, description="outer source address where neither a tunnel nor a route gives one"
    )
    tunnels: tuple[TunnelEntry, ...] = Field((), max_length=LIMIT_ENDPOINTS_PER_DOCUMENT)


class Peer(_Section):
    """A BGP session's other end."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    address: Address
    as_number: AsNumber = Field(alias="as", description="the peer's autonomous system")
    port: PortNumber = 179
    local_address: Address | None = Field(None, description="the session's own end")
    hold_time_s: HoldTime = Field(9, description="BGP hold time (RFC 4271, 4.2)")
    password: str | None = Field(None, max_length=80, description="TCP MD5 key (RFC 2385)")
    multihop: Ttl | None = Field(None, description="TTL of a multihop session")


class Bgp(_Section):
    """The node's own end of all its BGP sessions."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    as_number: AsNumber = Field(alias="as", description="this node's autonomous system")
    router_id: Annotated[IPv4Address, BeforeValidator(_read_ipv4)] = Field(
        description="BGP identifier (RFC 6286)"
    )
    peers: tuple[Peer, ...] = Field(min_length=1, max_length=LIMIT_PEERS)


class Cluster(_Section):
    """What all nodes that serve one VIP must share."""

    hash_seed: HashSeed = Field(
        0, description="key of the flow hash; the same on every node, secret to clients"
    )


class Document(_Section):
    """The whole of what the operator asks for."""

    services: tuple[Service, ...] = Field((), max_length=LIMIT_SERVICES)
    pools: dict[Name, Pool] = Field(default_factory=dict, max_length=LIMIT_POOLS)
    bgp: Bgp | None = None
    node: Node = Node()
    cluster: Cluster = Cluster()

    def pool_of(self, service: Service) -> Pool:
        """The pool that answers for a service of this document."""
        if service.pool is not None:
            return self.pools[service.pool]
        return Pool(endpoints=service.endpoints or ())

    def all_pools(self) -> dict[str, Pool]:
        """Every pool by name, shared ones and those of a single service, that a service uses."""
        return {service.pool_name: self.pool_of(service) for service in self.services}
