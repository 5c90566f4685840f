"""Puts together the picture of the node that an operator sees."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace import __version__
from headrace.control.announcing import Announcing
from headrace.control.beliefs import PoolHealth
from headrace.control.desired import Paths
from headrace.control.draining import Drains
from headrace.control.ground import View, reason_of
from headrace.control.ports import Dataplane, Speaker
from headrace.control.rates import Rates
from headrace.control.views import EndpointView, PeerView, PortView, ServiceView, Status
from headrace.model import (
    Announcement,
    Count,
    Document,
    Encapsulation,
    Endpoint,
    Family,
    Forwarding,
    Health,
    IPAddress,
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


def build_status(state: NodeState, dataplane: Dataplane, speaker: Speaker) -> Status:
    """The whole node on one screen; reads the kernel's maps and counters."""
    document = state.document
    forwarding = dataplane.read()
    modes = dataplane.modes()
    services = tuple(
        _service(service, state, forwarding, dataplane) for service in document.services
    )
    peers = tuple(_peers(document, state.announcing.announced, speaker))
    ports = tuple(PortView(name, mode) for name, mode in modes.items())
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
        verdicts=tuple(dataplane.verdict_counts()),
        drain=drain,
        drain_left_s=left_s,
        problems=(
            *state.problems,
            *speaker.alarms(),
            *_problems(ports, peers),
            *_distrusted(state),
            *_troubles(services),
        ),
    )


def _service(
    service: Service, state: NodeState, forwarding: Forwarding, dataplane: Dataplane
) -> ServiceView:
    pool = state.document.pool_of(service)
    forwards = all(forwarding.services.get(key) == service.entry for key in service.keys)
    reaches = {
        (reach.endpoint, reach.encapsulation, reach.dscp): reach for reach in forwarding.endpoints
    }
    endpoints = tuple(
        _endpoint(endpoint, (service.pool_name, pool), state, reaches, dataplane)
        for endpoint in pool.endpoints
    )
    return ServiceView(
        name=service.name or "",
        key=service.label,
        pool=service.pool_name,
        affinity=service.affinity,
        flow_table=service.flow_table,
        sources=service.sources,
        quic=service.quic,
        unserved=service.unserved,
        forwarding=forwards,
        announced=_is_announced(service, state),
        why_not=_why_not(service, endpoints, state, forwards=forwards),
        healthy=state.announcing.strength(service, state.view).healthy,
        received=_received(service, dataplane) if forwards else Count(0, 0),
        endpoints=endpoints,
    )


def _is_announced(service: Service, state: NodeState) -> bool:
    """Whether peers were told of the VIP, itself or by an aggregate in its place."""
    told = {announcement.prefix for announcement in state.announcing.announced}
    return service.prefix in told or state.announcing.is_covered(service)


def _received(service: Service, dataplane: Dataplane) -> Count:
    counts = [dataplane.service_count(key) for key in service.keys]
    return Count(sum(c.packets for c in counts), sum(c.bytes for c in counts))


def _endpoint(
    endpoint: Endpoint,
    named: tuple[str, Pool],
    state: NodeState,
    reaches: Mapping[_Way, Reach],
    dataplane: Dataplane,
) -> EndpointView:
    pool_name, pool = named
    target = Target(endpoint.address, pool.encapsulation)
    path = state.paths.get(target, Unresolved("not looked up yet"))
    weights = sum(e.weight for e in pool.endpoints if not e.drained)
    reach = reaches.get((endpoint.address, pool.encapsulation, pool.fixed_dscp))
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
        sent=Count(0, 0) if reach is None else dataplane.endpoint_count(reach),
        packets_per_s=None if reach is None else state.rates.packets_per_s(reach),
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


def _why_not(
    service: Service, endpoints: tuple[EndpointView, ...], state: NodeState, *, forwards: bool
) -> str:
    if not forwards:
        return "the data plane does not have it yet"
    if all(endpoint.state == OperatorState.DISABLED for endpoint in endpoints):
        return "every endpoint is disabled"
    if not any(endpoint.reachable for endpoint in endpoints):
        return "no endpoint can be reached"
    if service.announce and state.document.bgp is None:
        return "it is to be announced, but the document has no bgp section"
    reason = state.announcing.reason(service, state.view)
    return reason or (_unheard(service, state.document) if service.announce else "")


def _unheard(service: Service, document: Document) -> str:
    """Why nobody hears of the VIP: a session carries the prefixes of its families."""
    family = Family.of(service.prefix)
    peers = document.bgp.peers if document.bgp else ()
    if any(family in peer.carried for peer in peers):
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
        yield PeerView(
            address=peer.address,
            as_number=peer.as_number,
            state=state,
            since_s=time.monotonic() - since,
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
    for name, health in state.view.judged.items():
        if health.fails_open:
            down = [b for b in health.beliefs.values() if b.health is Health.DOWN]
            yield (
                f"pool {name}: {len(down)} of {len(health.beliefs)} endpoints are down at once, "
                "more than fail_open_above: all of them are sent to; see whether the check is right"
            )


def _troubles(services: tuple[ServiceView, ...]) -> Iterator[str]:
    """What is wrong with services and their endpoints."""
    for service in services:
        if service.why_not:
            yield f"{service.key}: {service.why_not}"
        for endpoint in service.endpoints:
            if not endpoint.reachable:
                yield f"{service.key}: endpoint {endpoint.address}: {endpoint.path}"
            elif endpoint.health is Health.DOWN:
                yield f"{service.key}: endpoint {endpoint.address} is down: {endpoint.why}"
