"""The operator's document: what should be, declared.

`fields` reads its single values, `checks` finds what contradicts between its parts, `reading`
turns text into it and back.
"""

import json
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from headrace.model.bgp import Bgp
from headrace.model.fields import (
    Address,
    AnswerRate,
    Community,
    Dscp,
    EndpointAddress,
    Flag,
    HashSeed,
    IdleTime,
    Least,
    Metric,
    Name,
    OuterSource4,
    OuterSource6,
    PortNumber,
    Ports,
    Prefix,
    Prepend,
    ServerId,
    ServiceName,
    Share,
    SlotCount,
    Vip,
    Wait,
    Weight,
)
from headrace.model.health import NO_HEALTH, HealthCheck, HealthChoice, WhenUnknown
from headrace.model.limits import (
    LIMIT_COMMUNITIES,
    LIMIT_ENDPOINTS_PER_DOCUMENT,
    LIMIT_HEALTH_CHECKS,
    LIMIT_POOLS,
    LIMIT_PORTS,
    LIMIT_SERVICES,
    LIMIT_SOURCES,
    SLOT_COUNT_DEFAULT,
)
from headrace.model.probes import ProbeKind
from headrace.model.values import (
    Affinity,
    Encapsulation,
    FlowTable,
    IPAddress,
    IPNetwork,
    OperatorState,
    OuterSources,
    Protocol,
    ServiceEntry,
    ServiceKey,
    Target,
    Tuning,
    Tunnel,
    Unserved,
    prefix_of,
)

FAIL_OPEN_ABOVE = 0.5
"""When more than half of a pool fails at once, the checker is the likelier fault."""

HOLD_DOWN_S = 10.0
"""Routers dampen a route that flaps for much longer than this."""


DRAIN_WAIT_S = 10.0
"""Routers need a second to choose other routes; packets on their way need far less."""


class _Section(BaseModel):
    """A part of the document: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: ClassVar[int] = 1
    """How deep it lies in a document's JSON."""

    def __copy__(self) -> Self:
        """The same values, and nothing that followed from them: a copy is made to get others."""
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @cached_property
    def canonical(self) -> str:
        """Canonical JSON, without what is the default: equal sections give equal text.

        Indented as it stands in a document.
        """
        values = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        text = json.dumps(values, indent=2, sort_keys=True)
        return text.replace("\n", "\n" + "  " * self.depth)


class Endpoint(_Section):
    """A server that answers for a service (the trade also says real or backend)."""

    address: EndpointAddress = Field(
        description="the endpoint's own address: its identity everywhere"
    )
    weight: Weight = Field(1, description="share of the slots; 0 drains")
    state: OperatorState = Field(OperatorState.ACTIVE, description="what the operator asks of it")
    drain_timeout_s: Wait | None = Field(
        None,
        description="of one that is draining: it gets its old flows for so long; without end if "
        "absent",
    )
    server_id: ServerId | None = Field(
        None, description="what it writes into QUIC connection ids (QUIC-LB, plaintext)"
    )
    health: HealthChoice | None = Field(
        None, description="how this one is checked; as its pool says if absent"
    )

    @property
    def drained(self) -> bool:
        """Whether new flows go elsewhere by the operator's wish."""
        return self.weight == 0 or self.state is not OperatorState.ACTIVE

    @property
    def disabled(self) -> bool:
        """Whether it is to get nothing at all, its old flows included."""
        return self.state is OperatorState.DISABLED


class Pool(_Section):
    """Endpoints with weights, how they are reached, and the size of their lookup table."""

    depth: ClassVar[int] = 2

    endpoints: tuple[Endpoint, ...] = Field(
        min_length=1, max_length=LIMIT_ENDPOINTS_PER_DOCUMENT, description="who answers"
    )
    slots: SlotCount = Field(SLOT_COUNT_DEFAULT, description="slots of the lookup table; a prime")
    encapsulation: Encapsulation = Field(
        Encapsulation.IPIP, description="how packets reach the endpoints"
    )
    dscp: Dscp = Field("copy", description='DSCP of the outer header; "copy" takes the packet\'s')

    health: HealthChoice = Field(
        NO_HEALTH,
        description="how the endpoints are checked: the name of an entry under health, none, or "
        "the entry itself",
    )
    fail_open_above: Share = Field(
        FAIL_OPEN_ABOVE,
        description="share of the endpoints; when more are down at once, the check is the likelier "
        "fault and is ignored",
    )
    unknown: WhenUnknown = Field(
        WhenUnknown.KEEP, description="what becomes of endpoints that are not checked yet"
    )

    @property
    def fixed_dscp(self) -> int | None:
        """The outer header's DSCP; None for the packet's own."""
        return self.dscp if isinstance(self.dscp, int) else None

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Its endpoints in their order, as it wants them reached."""
        return tuple(Target(each.address, self.encapsulation) for each in self.endpoints)

    @cached_property
    def disabled(self) -> frozenset[IPAddress]:
        """Whom the operator has get nothing."""
        return frozenset(each.address for each in self.endpoints if each.disabled)

    @cached_property
    def particular(self) -> tuple[Endpoint, ...]:
        """The endpoints that say themselves how they are checked."""
        return tuple(each for each in self.endpoints if each.health is not None)


class Service(_Section):
    """A VIP, a protocol and a port or more, the pool that answers for them, and its policy."""

    depth: ClassVar[int] = 2

    name: ServiceName | None = Field(None, description="a label for people and metrics")
    vip: Vip = Field(description="the anycast address that clients use, or a prefix of them")
    protocol: Protocol = Field(description="transport protocol of the clients")
    port: Ports = Field(description='the port, a range as 8000-8010, or "any" for all of them')
    pool: Name | None = Field(None, description="the name of a pool; or give endpoints instead")
    endpoints: tuple[Endpoint, ...] | None = Field(
        None, description="endpoints of this service alone, instead of a pool", min_length=1
    )
    encapsulation: Encapsulation | None = Field(
        None, description="how packets reach these endpoints; ipip if absent"
    )
    dscp: Dscp | None = Field(None, description="DSCP of the outer header; copy if absent")
    health: HealthChoice | None = Field(
        None, description="how these endpoints are checked; none if absent"
    )
    fail_open_above: Share | None = Field(
        None, description="share of these endpoints above which health is ignored; 0.5 if absent"
    )
    unknown: WhenUnknown | None = Field(
        None, description="what becomes of those that are not checked yet; keep if absent"
    )
    affinity: Affinity = Field(Affinity.FLOW, description="what packets to one endpoint share")
    flow_table: FlowTable = Field(
        FlowTable.UNSTABLE, description="when flows are remembered one by one; always: UDP only"
    )
    sources: tuple[Prefix, ...] = Field(
        (),
        min_length=1,
        max_length=LIMIT_SOURCES,
        description="prefixes of the clients that are served; everybody if absent",
    )
    denied_sources: tuple[Prefix, ...] = Field(
        (),
        min_length=1,
        max_length=LIMIT_SOURCES,
        description="prefixes of the clients that are not; where several of both lists hold a "
        "client, the longest counts",
    )
    quic: Flag = Field(default=False, description="route by the server id in QUIC connection ids")
    unserved: Unserved = Field(
        Unserved.DROP,
        description="what becomes of the VIP's packets that no service is for; one for each VIP",
    )
    announce: Flag = Field(
        default=False, description="announce the VIP to the BGP peers while it works"
    )
    min_healthy: Least = Field(
        1, description='announced with so many healthy endpoints, or a part of them as "50%"'
    )
    hold_down_s: Wait = Field(
        HOLD_DOWN_S, description="once withdrawn, it is announced no sooner than this"
    )
    med: Metric | None = Field(None, description="of the route; that of bgp if absent")
    communities: tuple[Community, ...] | None = Field(
        None, max_length=LIMIT_COMMUNITIES, description="of the route; those of bgp if absent"
    )
    prepend: Prepend | None = Field(
        None, description="how often the own AS is put in front once more; that of bgp if absent"
    )
    local_pref: Metric | None = Field(
        None, description="of the route within the AS; that of bgp if absent"
    )

    @cached_property
    def ports(self) -> range:
        """Its ports; 0 alone is any port."""
        if isinstance(self.port, int):
            return range(self.port, self.port + 1)
        if self.port == "any":
            return range(1)
        first, _, last = self.port.partition("-")
        return range(int(first), int(last) + 1)

    @cached_property
    def keys(self) -> tuple[ServiceKey, ...]:
        """What it is in the data plane: one key a port."""
        return tuple(ServiceKey(self.vip, self.protocol, port) for port in self.ports)

    @cached_property
    def first_key(self) -> ServiceKey:
        """The key of its first port: what services are sorted by."""
        return ServiceKey(self.vip, self.protocol, self.ports[0])

    @cached_property
    def label(self) -> str:
        """How logs, URLs and tables name it: its key, as 192.0.2.1:8000-8010/tcp for a range."""
        return self.first_key.label_to(self.ports[-1])

    @cached_property
    def prefix(self) -> IPNetwork:
        """The VIP as routers hear of it."""
        return prefix_of(self.vip)

    @property
    def pool_name(self) -> str:
        """The name of the pool that answers: a shared one, or the service's own."""
        return self.pool if self.pool is not None else self.label

    @cached_property
    def own_pool(self) -> Pool | None:
        """The pool of this service alone; None where it names a shared one."""
        if self.endpoints is None:
            return None
        return Pool(
            endpoints=self.endpoints,
            encapsulation=self.encapsulation or Encapsulation.IPIP,
            dscp="copy" if self.dscp is None else self.dscp,
            health=NO_HEALTH if self.health is None else self.health,
            fail_open_above=(
                FAIL_OPEN_ABOVE if self.fail_open_above is None else self.fail_open_above
            ),
            unknown=self.unknown or WhenUnknown.KEEP,
        )

    @cached_property
    def entry(self) -> ServiceEntry:
        """What the data plane holds under each of its keys."""
        return ServiceEntry(
            pool=self.pool_name,
            affinity=self.affinity,
            flow_table=self.flow_table,
            unserved=self.unserved,
            sources=frozenset(self.sources),
            denied_sources=frozenset(self.denied_sources),
            quic=self.quic,
        )


class UsedPools(dict[str, Pool]):
    """The pools that services use, by name, and what follows from all of them. It never changes."""

    @cached_property
    def targets(self) -> frozenset[Target]:
        """Every endpoint, as the pools want it reached."""
        return frozenset[Target]().union(*(pool.targets for pool in self.values()))

    @cached_property
    def listed(self) -> Mapping[IPAddress, int]:
        """In how many pools an endpoint is."""
        return Counter(each.address for pool in self.values() for each in pool.endpoints)

    @cached_property
    def disabled(self) -> Mapping[str, frozenset[IPAddress]]:
        """By pool: whom the operator has get nothing."""
        return {name: pool.disabled for name, pool in self.items()}

    @cached_property
    def draining(self) -> tuple[tuple[str, Endpoint], ...]:
        """The endpoints that drain by the operator's wish, each with its pool's name."""
        return tuple(
            (name, each)
            for name, pool in self.items()
            for each in pool.endpoints
            if each.state is OperatorState.DRAINING
        )


class TunnelEntry(_Section):
    """The outer addresses towards one endpoint, where the kernel has no tunnel device."""

    endpoint: EndpointAddress = Field(description="the endpoint's own address")
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
    source: OuterSource4 | None = Field(
        None,
        description="outer IPv4 source where no tunnel gives one: an address, or a /16 whose "
        "other bits carry the flow's hash; the node's own address if absent",
    )
    source6: OuterSource6 | None = Field(
        None, description="the same for IPv6: an address or a /112"
    )
    tunnels: tuple[TunnelEntry, ...] = Field(
        (),
        max_length=LIMIT_ENDPOINTS_PER_DOCUMENT,
        description="outer addresses of endpoints that have their own",
    )
    gue_port: PortNumber = Field(6080, description="UDP port that endpoints take GUE on")
    answers_per_s: AnswerRate = Field(
        1000, description="pings and too-big errors answered in a second, together"
    )
    drain: Flag = Field(
        default=False, description="leave every VIP to the other nodes, without losing a packet"
    )
    drain_wait_s: Wait = Field(
        DRAIN_WAIT_S,
        description="of a drain: how long routers are asked to go elsewhere before the withdrawal",
    )

    @cached_property
    def tunnels_by_endpoint(self) -> Mapping[IPAddress, Tunnel]:
        """The outer addresses that it gives, by the endpoint they lead to."""
        return {e.endpoint: Tunnel(e.endpoint, e.local, e.remote) for e in self.tunnels}

    @property
    def sources(self) -> OuterSources:
        """The outer sources of both families."""
        return OuterSources(self.source, self.source6)


class Cluster(_Section):
    """What all nodes that serve one VIP must share."""

    hash_seed: HashSeed = Field(
        0, description="key of the flow hash; the same on every node, secret to clients"
    )
    transition_idle_s: IdleTime = Field(
        3600, description="a slot settles when no old flow of it was seen for so long"
    )
    udp_idle_s: IdleTime = Field(30, description="a UDP flow ends when it was not seen for so long")


class Document(_Section):
    """The whole of what the operator asks for."""

    services: tuple[Service, ...] = Field(
        (), max_length=LIMIT_SERVICES, description="what is served, and how"
    )
    pools: dict[Name, Pool] = Field(
        default_factory=dict,
        max_length=LIMIT_POOLS,
        description="endpoints that several services may share, by name",
    )
    health: dict[Name, HealthCheck] = Field(
        default_factory=dict, max_length=LIMIT_HEALTH_CHECKS, description="ways to check, by name"
    )
    bgp: Bgp | None = Field(None, description="whom to announce VIPs to; nobody if absent")
    node: Node = Field(Node(), description="what is particular to this machine")
    cluster: Cluster = Field(Cluster(), description="what every node must have alike")

    @property
    def tuning(self) -> Tuning:
        """What holds for the whole data plane of this node."""
        return Tuning(
            answers_per_s=self.node.answers_per_s,
            udp_idle_s=self.cluster.udp_idle_s,
            gue_port=self.node.gue_port,
        )

    @property
    def is_checked(self) -> bool:
        """Whether its parts were found not to contradict each other; a copy is not."""
        return "_checked" in self.__dict__

    def vouch(self) -> None:
        """Note that its parts do not contradict each other."""
        self.__dict__["_checked"] = True

    def pool_of(self, service: Service) -> Pool:
        """The pool that answers for a service of this document."""
        own = service.own_pool
        return self.pools[service.pool or ""] if own is None else own

    def all_pools(self) -> UsedPools:
        """Every pool by name, shared ones and those of a single service, that a service uses."""
        return self._used_pools

    def resemble(self, other: Self) -> None:
        """Have what follows from equal parts be the other's objects: so it is known by them."""
        if self.all_pools() == other.all_pools():
            self.__dict__["_used_pools"] = other.all_pools()

    @cached_property
    def announcers(self) -> Mapping[IPNetwork, Service]:
        """By prefix to be announced: a service that says how; all of one VIP say the same."""
        return {s.prefix: s for s in reversed(self.services) if s.announce}

    @cached_property
    def labels(self) -> frozenset[str]:
        """Of its services."""
        return frozenset([service.label for service in self.services])

    @cached_property
    def _used_pools(self) -> UsedPools:
        names = dict.fromkeys([service.pool for service in self.services])
        used = UsedPools({name: self.pools[name] for name in names if name is not None})
        if None in names:
            owners = [service for service in self.services if service.pool is None]
            used.update({service.label: self.pool_of(service) for service in owners})
        return used

    def check_of(self, pool: Pool, endpoint: Endpoint | None = None) -> HealthCheck | None:
        """How a pool of this document, or one endpoint of it, is checked; None if it is not."""
        own = None if endpoint is None else endpoint.health
        choice = pool.health if own is None else own
        check = choice if isinstance(choice, HealthCheck) else self.health.get(choice)
        return None if check is None or check.kind is ProbeKind.NONE else check
