"""Puts together the picture of the node that an operator sees."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from headrace import __version__
from headrace.control.announce import Strength, covering
from headrace.control.announcing import Announcing
from headrace.control.beliefs import PoolHealth
from headrace.control.desired import Paths
from headrace.control.draining import Drains
from headrace.control.ground import View, reason_of
from headrace.control.kept import Kept
from headrace.control.ports import Dataplane, Speaker
from headrace.control.rates import Rates
from headrace.control.views import (
    EndpointView,
    PeerView,
    PoolView,
    PortView,
    ServiceView,
    Status,
    pools_of,
)
from headrace.control.withheld import Withheld, withheld_of
from headrace.model import (
    Announcement,
    BfdState,
    Count,
    Document,
    Encapsulation,
    Endpoint,
    Family,
    Forwarding,
    Health,
    IPAddress,
    IPNetwork,
    OperatorState,
    Path,
    Pool,
    PortMode,
    Reach,
    Service,
    ServiceKey,
    SessionState,
    Target,
    Unresolved,
)
from headrace.model.values import prefix_rank

_Route = tuple[IPAddress, Encapsulation, int | None]  # an endpoint, and how a pool reaches it

_UNCHECKED = PoolHealth()
_NOTHING = Count(0, 0)


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the controller knows besides what the kernel can say."""

    document: Document
    revision: int
    paths: Paths
    problems: tuple[str, ...]
    view: View
    announcing: Announcing
    drains: Drains
    rates: Rates

    def health_of(self, pool_name: str) -> PoolHealth:
        """What is believed of a pool's endpoints."""
        return self.view.judged.get(pool_name, _UNCHECKED)


@dataclass(frozen=True, slots=True)
class _Way:
    """An endpoint of a pool, and how it is reached."""

    endpoint: Endpoint
    reach: Reach | None  # None: the data plane does not have it
    path_text: str
    reachable: bool
    share: float


@dataclass(frozen=True, slots=True)
class _Pool:
    """What holds for every service of a pool: a node has thousands of services, and few pools."""

    name: str
    endpoints: tuple[EndpointView, ...]
    strength: Strength
    why_not: str  # what keeps all of its services from being served


@dataclass(frozen=True, slots=True)
class _Told:
    """What peers hear of."""

    prefixes: frozenset[IPNetwork]  # that the speaker has taken
    aggregates: tuple[IPNetwork, ...]  # those of them that stand for others
    withheld: frozenset[IPNetwork]  # that every peer's policies reject
    heard: frozenset[IPNetwork]  # over sessions that are up
    unsaid: frozenset[IPNetwork]  # those that a session which is up has no next hop for
    families: frozenset[Family]  # that a session is to carry
    asked: frozenset[Family]  # that a session is to carry which is up
    up: frozenset[Family]  # that a session carries which is up

    def routes_of(self, service: Service) -> list[IPNetwork]:
        """What leads to a service: its own prefix, and aggregates that hold it."""
        own = [service.prefix] if service.prefix in self.prefixes else []
        return [*own, *covering(self.aggregates, [service.prefix])]


class StatusBuilder:
    """Puts the picture together again and again, from the views of before where they still hold.

    Counters, beliefs and sessions are read at each time.
    """

    def __init__(self, dataplane: Dataplane, speaker: Speaker) -> None:
        self._dataplane, self._speaker = dataplane, speaker
        self._document: Document | None = None  # that what follows is of
        self._keys: tuple[ServiceKey, ...] = ()  # of all services, in their order
        self._forwarded = Kept[tuple[bool, ...]]()
        self._prefixes = Kept[frozenset[IPNetwork]]()
        self._withheld = Kept[Withheld]()
        self._reaches = Kept[dict[_Route, Reach]]()
        self._ways = Kept[tuple[_Way, ...]]()
        self._pools: dict[str, _Pool] = {}
        self._views = Kept[ServiceView]()

    def build(self, state: NodeState) -> Status:
        """The whole node on one screen; reads the kernel's maps and counters."""
        document = state.document
        self._follow(document)
        withheld = self._withheld_now(state)
        peers = tuple(_peers(document, state.announcing.announced, withheld, self._speaker))
        told = self._told(state, withheld, peers)
        services = tuple(self._services(state, told, self._dataplane.read()))
        pools = pools_of(services)
        ports = tuple(PortView(name, mode) for name, mode in self._dataplane.modes().items())
        left_s = state.announcing.leaves_in_s()
        drain = "active" if left_s is None else "draining" if left_s else "drained"
        return Status(
            node=document.node.name or socket.gethostname(),
            version=__version__,
            revision=state.revision,
            hash_seed_is_default=document.cluster.hash_seed == 0,
            ports=ports,
            peers=peers,
            services=services,
            pools=pools,
            verdicts=tuple(self._dataplane.verdict_counts()),
            drain=drain,
            drain_left_s=left_s,
            problems=tuple(
                dict.fromkeys(  # what the speaker refuses, it may tell as an alarm too
                    (
                        *state.problems,
                        *self._speaker.alarms(),
                        *_problems(ports),
                        *_distrusted(state),
                        *_unserved(services),
                        *_troubles(pools, document),
                    )
                )
            ),
        )

    def _follow(self, document: Document) -> None:
        """Forget what another document had."""
        if document is not self._document:
            self._document = document
            self._keys = tuple(key for service in document.services for key in service.keys)
            self._views.keep({service.label for service in document.services})
            self._ways.keep(document.all_pools())

    def _told(self, state: NodeState, withheld: Withheld, peers: tuple[PeerView, ...]) -> _Told:
        announced, bgp = state.announcing.announced, state.document.bgp
        prefixes = self._prefixes.of(
            "all", (announced,), lambda: frozenset(a.prefix for a in announced)
        )
        carried = {peer.address: peer.carried for peer in (bgp.peers if bgp else ())}
        up = [peer.address for peer in peers if peer.state is SessionState.UP]
        families, unsaid = self._speaker.families, self._speaker.unsaid
        return _Told(
            prefixes,
            tuple(each for each in (bgp.aggregate if bgp else ()) if each in prefixes),
            withheld.from_all,
            frozenset().union(*(peer.announced for peer in peers)),
            frozenset().union(*(unsaid.get(peer, frozenset()) for peer in up)),
            frozenset().union(*carried.values()),
            frozenset().union(*(carried[peer] for peer in up)),
            frozenset().union(*(carried[peer] & families.get(peer, carried[peer]) for peer in up)),
        )

    def _services(
        self, state: NodeState, told: _Told, forwarding: Forwarding
    ) -> Iterator[ServiceView]:
        services = state.document.services
        forwarded = self._forwarded.of(
            "all",
            (services, forwarding.services),
            lambda: tuple(_is_forwarded(each, forwarding) for each in services),
        )
        counts = iter(self._dataplane.service_counts(self._keys))
        before, self._pools = self._pools, {}
        for service, is_forwarded in zip(services, forwarded, strict=True):
            name = service.pool_name
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pool(name, service, state, forwarding)
                if pool == before.get(name):
                    pool = before[name]  # so that views of its services still hold
                self._pools[name] = pool
            received = _sum(list(islice(counts, len(service.ports))))
            yield self._service(service, pool, state, told, received if is_forwarded else None)

    def _service(
        self,
        service: Service,
        pool: _Pool,
        state: NodeState,
        told: _Told,
        received: Count | None,
    ) -> ServiceView:
        """A service's view; nothing was received where the data plane does not have it."""
        announced = service.prefix in told.heard or (
            not told.heard.isdisjoint(told.routes_of(service))
            and (service.prefix in told.prefixes or state.announcing.is_covered(service))
        )
        if received is None:
            why_not = "the data plane does not have it yet"
        else:
            why_not = pool.why_not or _why_not(service, pool.strength, state, told)
        return self._views.of(
            service.label,
            (service, pool, announced, why_not, received),
            lambda: _view(service, pool, received, announced=announced, why_not=why_not),
        )

    def _withheld_now(self, state: NodeState) -> Withheld:
        bgp, announced = state.document.bgp, state.announcing.announced
        return self._withheld.of("all", (bgp, announced), lambda: withheld_of(bgp, announced))

    def _pool(self, name: str, service: Service, state: NodeState, forwarding: Forwarding) -> _Pool:
        """A pool, by one of its services."""
        pool = state.document.pool_of(service)
        reaches = self._reaches.of(
            "all",
            (forwarding.endpoints,),
            lambda: {(r.endpoint, r.encapsulation, r.dscp): r for r in forwarding.endpoints},
        )
        ways = self._ways.of(
            name, (pool, state.paths, reaches), lambda: _ways(pool, state.paths, reaches)
        )
        endpoints = tuple(_endpoint(name, way, state, self._dataplane) for way in ways)
        strength = state.announcing.strength(service, state.view)
        return _Pool(name, endpoints, strength, _none_serves(endpoints))


def _is_forwarded(service: Service, forwarding: Forwarding) -> bool:
    entry, known = service.entry, forwarding.services
    return all(known.get(key) == entry for key in service.keys)


def _view(
    service: Service, pool: _Pool, received: Count | None, *, announced: bool, why_not: str
) -> ServiceView:
    return ServiceView(
        name=service.name or "",
        key=service.label,
        pool=pool.name,
        affinity=service.affinity,
        flow_table=service.flow_table,
        sources=service.sources,
        denied_sources=service.denied_sources,
        quic=service.quic,
        unserved=service.unserved,
        forwarding=received is not None,
        announced=announced,
        why_not=why_not,
        healthy=pool.strength.healthy,
        received=received or _NOTHING,
        endpoints=pool.endpoints,
    )


def _sum(counts: list[Count]) -> Count:
    if len(counts) == 1:
        return counts[0]
    return Count(sum(c.packets for c in counts), sum(c.bytes for c in counts))


def _ways(pool: Pool, paths: Paths, reaches: Mapping[_Route, Reach]) -> tuple[_Way, ...]:
    """How a pool's endpoints are reached, and what share of its slots each has."""
    weights = sum(e.weight for e in pool.endpoints if not e.drained)
    found = []
    for endpoint in pool.endpoints:
        path = paths.get(
            Target(endpoint.address, pool.encapsulation), Unresolved("not looked up yet")
        )
        way = _Way(
            endpoint,
            reaches.get((endpoint.address, pool.encapsulation, pool.fixed_dscp)),
            path_text=_path_text(path),
            reachable=isinstance(path, Path),
            share=0.0 if endpoint.drained or not weights else endpoint.weight / weights,
        )
        found.append(way)
    return tuple(found)


def _endpoint(pool_name: str, way: _Way, state: NodeState, dataplane: Dataplane) -> EndpointView:
    endpoint, reach = way.endpoint, way.reach
    health = state.health_of(pool_name)
    return EndpointView(
        address=endpoint.address,
        weight=endpoint.weight,
        state=endpoint.state,
        health=health.health_of(endpoint.address),
        why=reason_of(health, endpoint.address),
        share=way.share,
        server_id=endpoint.server_id,
        path=way.path_text,
        reachable=way.reachable,
        sent=_NOTHING if reach is None else dataplane.endpoint_count(reach),
        packets_per_s=None if reach is None else state.rates.packets_per_s(reach),
        flows_seen=None if reach is None else state.rates.flows_seen(reach),
        drain_left_s=state.drains.left_s(pool_name, endpoint.address, time.monotonic()),
    )


def _path_text(path: Path | Unresolved) -> str:
    if isinstance(path, Unresolved):
        return path.reason
    hop = path.next_hop
    by = f"by {hop.destination_mac.hex(':')}" + (f" vlan {hop.tag}" if hop.tag else "")
    if path.outer_source is None:
        return f"{path.encapsulation} {by}"
    hashed = ("/112" if path.outer_source.version == 6 else "/16") if path.source_hashed else ""
    return f"{path.encapsulation} {path.outer_source}{hashed} > {path.outer_destination} {by}"


def _none_serves(endpoints: tuple[EndpointView, ...]) -> str:
    """Why no endpoint at all can serve; empty where one may."""
    if all(endpoint.state == OperatorState.DISABLED for endpoint in endpoints):
        return "every endpoint is disabled"
    if not any(endpoint.reachable for endpoint in endpoints):
        return "no endpoint can be reached"
    return ""


def _why_not(service: Service, strength: Strength, state: NodeState, told: _Told) -> str:
    """Why a service that is forwarded is not announced."""
    if service.announce and state.document.bgp is None:
        return "it is to be announced, but the document has no bgp section"
    reason = state.announcing.reason(service, strength)
    if reason or not service.announce or service.prefix in told.heard:
        return reason
    family, routes = Family.of(service.prefix), told.routes_of(service)
    if family not in told.families:
        return (
            f"it is to be announced, but no BGP peer hears IPv{family.version} prefixes; "
            f"name {family} in its families"
        )
    if routes and told.withheld.issuperset(routes):
        what = "its route" if service.prefix in routes else f"its aggregate {routes[0]}"
        return f"the export policies of every BGP peer reject {what}; see bgp.policies"
    return _unheard(family, routes, told)


def _unheard(family: Family, routes: list[IPNetwork], told: _Told) -> str:
    """What of the sessions keeps routes from being heard that peers are to hear."""
    if family in told.asked - told.up:
        return (
            f"no BGP session that is up carries IPv{family.version} prefixes: the routers did not "
            f"agree to them; enable (activate) {family} unicast for this node there"
        )
    if family not in told.up:
        return f"no BGP session that carries IPv{family.version} prefixes is up"
    if routes and told.unsaid.issuperset(routes) and told.heard.isdisjoint(routes):
        return (
            f"no BGP session that is up has an IPv{family.version} address for the next hop; give "
            "this end's interface one and have the session begin anew, or set next_hop"
        )
    if routes and told.heard.isdisjoint(routes):
        return "the BGP peers whose sessions are up reject its route, and the others are down"
    return ""


def _peers(
    document: Document,
    announced: frozenset[Announcement],
    withheld: Withheld,
    speaker: Speaker,
) -> Iterator[PeerView]:
    prefixes = sorted((announcement.prefix for announcement in announced), key=prefix_rank)
    for peer in document.bgp.peers if document.bgp else ():
        state, since = speaker.sessions.get(peer.address, (SessionState.DOWN, time.monotonic()))
        bfd, _ = speaker.watched.get(peer.address, (BfdState.DOWN, 0.0))
        rejected = withheld.by_peer.get(peer.address, frozenset())
        unsaid = speaker.unsaid.get(peer.address, frozenset())
        carried = peer.carried & speaker.families.get(peer.address, peer.carried)
        yield PeerView(
            address=peer.address,
            as_number=peer.as_number,
            state=state,
            since_s=time.monotonic() - since,
            bfd=bfd if document.bgp and document.bgp.is_watched(peer) else BfdState.OFF,
            announced=tuple(
                prefix
                for prefix in prefixes
                if Family.of(prefix) in carried and prefix not in rejected and prefix not in unsaid
            )
            if state is SessionState.UP
            else (),
            rejected=tuple(sorted(rejected, key=prefix_rank)),
        )


def _problems(ports: tuple[PortView, ...]) -> Iterator[str]:
    """What is wrong with interfaces; of peers, the speaker tells what and why."""
    if not ports:
        yield "no interface is attached; name some under node.interfaces"
    yield from (f"interface {p.name} is gone" for p in ports if p.mode is PortMode.MISSING)


def _distrusted(state: NodeState) -> Iterator[str]:
    """The pools whose health is not believed."""
    pools = state.document.all_pools()
    for name, health in state.view.judged.items():
        if health.fails_open and name in pools:
            down = [b for b in health.beliefs.values() if b.health is Health.DOWN]
            count = sum(not endpoint.disabled for endpoint in pools[name].endpoints)
            yield (
                f"pool {name}: {len(down)} of {count} endpoints are down at once, "
                "more than fail_open_above: all of them are sent to; see whether the check is right"
            )


def _unserved(services: tuple[ServiceView, ...]) -> Iterator[str]:
    """What is wrong with services, those with the same reason on one line."""
    keys: dict[str, list[str]] = {}
    for service in services:
        if service.why_not:
            keys.setdefault(service.why_not, []).append(service.key)
    for why_not, (first, *others) in keys.items():
        more = f" and {len(others):,} more" if others else ""
        yield f"{first}{more}: {why_not}"


def _troubles(pools: tuple[PoolView, ...], document: Document) -> Iterator[str]:
    """What is wrong with endpoints; a service's own pool is named as the service is."""
    for pool in pools:
        name = f"pool {pool.name}" if pool.name in document.pools else pool.name
        for endpoint in pool.endpoints:
            if not endpoint.reachable:
                yield f"{name}: endpoint {endpoint.address}: {endpoint.path}"
            elif endpoint.health is Health.DOWN:
                yield f"{name}: endpoint {endpoint.address} is down: {endpoint.why}"
