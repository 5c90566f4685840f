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
    Endpoint,
    Forwarding,
    IPAddress,
    Path,
    Pool,
    Reach,
    Service,
    SessionState,
    Unresolved,
)

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
    forwards = forwarding.services.get(service.key) == service.pool_name
    reaches = {reach.endpoint: reach for reach in forwarding.endpoints}
    endpoints = tuple(
        _endpoint(endpoint, pool, state.paths, reaches, dataplane) for endpoint in pool.endpoints
    )
    return ServiceView(
        name=service.name or "",
        key=str(service.key),
        pool=service.pool_name,
        forwarding=forwards,
        announced=any(service.vip == a.prefix.network_address for a in state.announced),
        why_not=_why_not(service, endpoints, state.document, forwards=forwards),
        received=dataplane.service_count(service.key) if forwards else Count(0, 0),
        endpoints=endpoints,
    )


def _endpoint(
    endpoint: Endpoint,
    pool: Pool,
    paths: Paths,
    reaches: Mapping[IPAddress, Reach],
    dataplane: Dataplane,
) -> EndpointView:
    path = paths.get(endpoint.address, Unresolved("not looked up yet"))
    weights = sum(e.weight for e in pool.endpoints if not e.drained)
    reach = reaches.get(endpoint.address)
    return EndpointView(
        address=endpoint.address,
        weight=endpoint.weight,
        state=endpoint.state,
        share=0.0 if endpoint.drained or not weights else endpoint.weight / weights,
        path=_path_text(path),
        reachable=isinstance(path, Path),
        sent=Count(0, 0) if reach is None else dataplane.endpoint_count(reach),
    )


def _path_text(path: Path | Unresolved) -> str:
    if isinstance(path, Unresolved):
        return path.reason
    hop = path.next_hop.destination_mac.hex(":")
    return f"ipip {path.outer_source} > {path.outer_destination} by {hop}"


def _why_not(
    service: Service, endpoints: tuple[EndpointView, ...], document: Document, *, forwards: bool
) -> str:
    if not forwards:
        return "the data plane does not have it yet"
    if not any(endpoint.reachable for endpoint in endpoints):
        return "no endpoint can be reached"
    if service.announce and document.bgp is None:
        return "it is to be announced, but the document has no bgp section"
    return ""


def _peers(
    document: Document, announced: frozenset[Announcement], sessions: Sessions
) -> Iterator[PeerView]:
    prefixes = tuple(sorted(announcement.prefix for announcement in announced))
    for peer in document.bgp.peers if document.bgp else ():
        state, since = sessions.get(peer.address, (SessionState.DOWN, time.monotonic()))
        yield PeerView(
            address=peer.address,
            as_number=peer.as_number,
            state=state,
            since_s=time.monotonic() - since,
            announced=prefixes if state is SessionState.UP else (),
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
