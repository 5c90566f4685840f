"""Puts together the picture of the node that an operator sees."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace import __version__
from headrace.control.desired import Paths
from headrace.control.ports import Dataplane
from headrace.control.views import EndpointView, PeerView, PortView, ServiceView, Status
from headrace.model import (
    Announcement,
    Count,
    Document,
    Encapsulation,
    Endpoint,
    Forwarding,
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
Sessions = Mapping[IPAddress, tuple[SessionState, float]]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the controller knows besides what the kernel can say."""

    document: Document
    revision: int
    paths: Paths
    announced: frozenset[Announcement]
    problem: str


def build_status(state: NodeState, dataplane: Dataplane, sessions: Sessions) -> Status:
    """The whole node on one screen; reads the kernel's maps and counters."""
    document = state.document
    forwarding = dataplane.read()
    modes = dataplane.modes()
    services = tuple(
        _service(service, state, forwarding, dataplane) for service in document.services
    )
    peers = tuple(_peers(document, state.announced, sessions))
    ports = tuple(PortView(name, mode) for name, mode in modes.items())
    return Status(
        node=document.node.name or socket.gethostname(),
        version=__version__,
        revision=state.revision,
        hash_seed_is_default=document.cluster.hash_seed == 0,
        ports=ports,
        peers=peers,
        services=services,
        verdicts=tuple(dataplane.verdict_counts()),
        problems=tuple(_problems(state, ports, peers, services)),
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
        _endpoint(endpoint, pool, state.paths, reaches, dataplane) for endpoint in pool.endpoints
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
        announced=any(service.prefix == a.prefix for a in state.announced),
        why_not=_why_not(service, endpoints, state.document, forwards=forwards),
        received=_received(service, dataplane) if forwards else Count(0, 0),
        endpoints=endpoints,
    )


def _received(service: Service, dataplane: Dataplane) -> Count:
    counts = [dataplane.service_count(key) for key in service.keys]
    return Count(sum(c.packets for c in counts), sum(c.bytes for c in counts))


def _endpoint(
    endpoint: Endpoint,
    pool: Pool,
    paths: Paths,
    reaches: Mapping[_Way, Reach],
    dataplane: Dataplane,
) -> EndpointView:
    target = Target(endpoint.address, pool.encapsulation)
    path = paths.get(target, Unresolved("not looked up yet"))
    weights = sum(e.weight for e in pool.endpoints if not e.drained)
    reach = reaches.get((endpoint.address, pool.encapsulation, pool.fixed_dscp))
    return EndpointView(
        address=endpoint.address,
        weight=endpoint.weight,
        state=endpoint.state,
        share=0.0 if endpoint.drained or not weights else endpoint.weight / weights,
        server_id=endpoint.server_id,
        path=_path_text(path),
        reachable=isinstance(path, Path),
        sent=Count(0, 0) if reach is None else dataplane.endpoint_count(reach),
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
    service: Service, endpoints: tuple[EndpointView, ...], document: Document, *, forwards: bool
) -> str:
    if not forwards:
        return "the data plane does not have it yet"
    if all(endpoint.state == OperatorState.DISABLED for endpoint in endpoints):
        return "every endpoint is disabled"
    if not any(endpoint.reachable for endpoint in endpoints):
        return "no endpoint can be reached"
    if service.announce and document.bgp is None:
        return "it is to be announced, but the document has no bgp section"
    return _unheard(service, document) if service.announce else ""


def _unheard(service: Service, document: Document) -> str:
    """Why nobody hears of the VIP: a session carries the prefixes of its own family."""
    family = service.prefix.version
    peers = document.bgp.peers if document.bgp else ()
    if any(peer.address.version == family for peer in peers):
        return ""
    return f"it is to be announced, but no BGP peer has an IPv{family} address"


def _peers(
    document: Document, announced: frozenset[Announcement], sessions: Sessions
) -> Iterator[PeerView]:
    prefixes = sorted((announcement.prefix for announcement in announced), key=prefix_rank)
    for peer in document.bgp.peers if document.bgp else ():
        state, since = sessions.get(peer.address, (SessionState.DOWN, time.monotonic()))
        yield PeerView(
            address=peer.address,
            as_number=peer.as_number,
            state=state,
            since_s=time.monotonic() - since,
            announced=tuple(prefix for prefix in prefixes if prefix.version == peer.address.version)
            if state is SessionState.UP
            else (),
        )


def _problems(
    state: NodeState,
    ports: tuple[PortView, ...],
    peers: tuple[PeerView, ...],
    services: tuple[ServiceView, ...],
) -> Iterator[str]:
    if state.problem:
        yield state.problem
    if not ports:
        yield "no interface is attached; name some under node.interfaces"
    yield from (f"interface {p.name} is gone" for p in ports if p.mode == "missing")
    yield from (f"BGP peer {p.address} is down" for p in peers if p.state is SessionState.DOWN)
    for service in services:
        if service.why_not:
            yield f"{service.key}: {service.why_not}"
        for endpoint in service.endpoints:
            if not endpoint.reachable:
                yield f"{service.key}: endpoint {endpoint.address}: {endpoint.path}"
