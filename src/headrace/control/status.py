"""Puts together the picture of the node that an operator sees."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from headrace import __version__
from headrace.control.announce import Strength
from headrace.control.announcing import Announcing
from headrace.control.beliefs import PoolHealth
from headrace.control.desired import Paths
from headrace.control.draining import Drains
from headrace.control.ground import View, reason_of
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
    Reach,
    Service,
    SessionState,
    Target,
    Unresolved,
)
from headrace.model.values import prefix_rank

_Way = tuple[IPAddress, Encapsulation, int | None]  # an endpoint, and how a pool reaches it


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
        return self.view.judged.get(pool_name, PoolHealth())


@dataclass(frozen=True, slots=True)
class _Pool:
    """What holds for every service of a pool: a node has thousands of services, and few pools."""

    endpoints: tuple[EndpointView, ...]
    strength: Strength
    why_not: str  # what keeps all of its services from being served


@dataclass(frozen=True, slots=True)
class _Told:
    """What peers hear of."""

    prefixes: frozenset[IPNetwork]
    families: frozenset[Family]  # that a session carries


def build_status(state: NodeState, dataplane: Dataplane, speaker: Speaker) -> Status:
    """The whole node on one screen; reads the kernel's maps and counters."""
    document = state.document
    forwarding = dataplane.read()
    services = tuple(_services(state, forwarding, dataplane))
    pools = pools_of(services)
    peers = tuple(_peers(document, state.announcing.announced, speaker))
    ports = tuple(PortView(name, mode) for name, mode in dataplane.modes().items())
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
        verdicts=tuple(dataplane.verdict_counts()),
        drain=drain,
        drain_left_s=left_s,
        problems=(
            *state.problems,
            *speaker.alarms(),
            *_problems(ports, peers),
            *_distrusted(state),
            *_unserved(services),
            *_troubles(pools, document),
        ),
    )


def _services(
    state: NodeState, forwarding: Forwarding, dataplane: Dataplane
) -> Iterator[ServiceView]:
    document = state.document
    peers = document.bgp.peers if document.bgp else ()
    told = _Told(
        frozenset(announcement.prefix for announcement in state.announcing.announced),
        frozenset(family for peer in peers for family in peer.carried),
    )
    reaches = {
        (reach.endpoint, reach.encapsulation, reach.dscp): reach for reach in forwarding.endpoints
    }
    keys = [key for service in document.services for key in service.keys]
    counts = iter(dataplane.service_counts(keys))
    pools: dict[str, _Pool] = {}
    for service in document.services:
        key = service.label
        name = key if service.pool is None else service.pool
        if name not in pools:
            endpoints = _endpoints(name, document.pool_of(service), state, reaches, dataplane)
            strength = state.announcing.strength(service, state.view)
            pools[name] = _Pool(endpoints, strength, _none_serves(endpoints))
        received = list(islice(counts, len(service.keys)))
        is_forwarded = _is_forwarded(service, forwarding)
        yield _service(
            service, (key, name, pools[name]), state, told, received if is_forwarded else None
        )


def _is_forwarded(service: Service, forwarding: Forwarding) -> bool:
    entry, known = service.entry, forwarding.services
    return all(known.get(key) == entry for key in service.keys)


def _service(
    service: Service,
    named: tuple[str, str, _Pool],
    state: NodeState,
    told: _Told,
    received: list[Count] | None,
) -> ServiceView:
    """A service by its key and its pool's name.

    `received` is by port; None where the data plane does not have it.
    """
    key, pool_name, pool = named
    prefix = service.prefix
    return ServiceView(
        name=service.name or "",
        key=key,
        pool=pool_name,
        affinity=service.affinity,
        flow_table=service.flow_table,
        sources=service.sources,
        denied_sources=service.denied_sources,
        quic=service.quic,
        unserved=service.unserved,
        forwarding=received is not None,
        announced=prefix in told.prefixes or state.announcing.is_covered(service),
        why_not="the data plane does not have it yet"
        if received is None
        else pool.why_not or _why_not(service, pool.strength, state, told.families),
        healthy=pool.strength.healthy,
        received=_sum(received or []),
        endpoints=pool.endpoints,
    )


def _sum(counts: list[Count]) -> Count:
    if len(counts) == 1:
        return counts[0]
    return Count(sum(c.packets for c in counts), sum(c.bytes for c in counts))


def _endpoints(
    pool_name: str,
    pool: Pool,
    state: NodeState,
    reaches: Mapping[_Way, Reach],
    dataplane: Dataplane,
) -> tuple[EndpointView, ...]:
    """A pool's endpoints, the same for each of its services."""
    weights = sum(e.weight for e in pool.endpoints if not e.drained)
    found = []
    for endpoint in pool.endpoints:
        reach = reaches.get((endpoint.address, pool.encapsulation, pool.fixed_dscp))
        sent = Count(0, 0) if reach is None else dataplane.endpoint_count(reach)
        found.append(_endpoint(endpoint, (pool_name, pool), weights, state, (reach, sent)))
    return tuple(found)


def _endpoint(
    endpoint: Endpoint,
    named: tuple[str, Pool],
    weights: int,
    state: NodeState,
    counted: tuple[Reach | None, Count],
) -> EndpointView:
    pool_name, pool = named
    reach, sent = counted
    target = Target(endpoint.address, pool.encapsulation)
    path = state.paths.get(target, Unresolved("not looked up yet"))
    health = state.health_of(pool_name)
    return EndpointView(
        address=endpoint.address,
        weight=endpoint.weight,
        state=endpoint.state,
        health=health.health_of(endpoint.address),
        why=reason_of(health, endpoint.address),
        share=0.0 if endpoint.drained or not weights else endpoint.weight / weights,
        server_id=endpoint.server_id,
        path=_path_text(path),
        reachable=isinstance(path, Path),
        sent=sent,
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


def _why_not(
    service: Service, strength: Strength, state: NodeState, heard: frozenset[Family]
) -> str:
    """Why a service that is forwarded is not announced; `heard` is what peers can be told."""
    if service.announce and state.document.bgp is None:
        return "it is to be announced, but the document has no bgp section"
    reason = state.announcing.reason(service, strength)
    if reason or not service.announce:
        return reason
    family = Family.of(service.prefix)
    if family in heard:
        return ""
    return (
        f"it is to be announced, but no BGP peer hears IPv{family.version} prefixes; "
        f"name {family} in its families"
    )


def _peers(
    document: Document, announced: frozenset[Announcement], speaker: Speaker
) -> Iterator[PeerView]:
    prefixes = sorted((announcement.prefix for announcement in announced), key=prefix_rank)
    for peer in document.bgp.peers if document.bgp else ():
        state, since = speaker.sessions.get(peer.address, (SessionState.DOWN, time.monotonic()))
        bfd, _ = speaker.watched.get(peer.address, (BfdState.DOWN, 0.0))
        yield PeerView(
            address=peer.address,
            as_number=peer.as_number,
            state=state,
            since_s=time.monotonic() - since,
            bfd=bfd if document.bgp and document.bgp.is_watched(peer) else BfdState.OFF,
            announced=tuple(prefix for prefix in prefixes if Family.of(prefix) in peer.carried)
            if state is SessionState.UP
            else (),
        )


def _problems(ports: tuple[PortView, ...], peers: tuple[PeerView, ...]) -> Iterator[str]:
    if not ports:
        yield "no interface is attached; name some under node.interfaces"
    yield from (f"interface {p.name} is gone" for p in ports if p.mode == "missing")
    yield from (f"BGP peer {p.address} is down" for p in peers if p.state is SessionState.DOWN)


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
