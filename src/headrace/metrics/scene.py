"""A status laid out for the table: each thing once, its labels beside it.

Labels are put together once a thing, not once a sample: a node has ten samples an endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.control import EndpointView, PeerView, ServiceView, Status
from headrace.model import BfdState, Count, Document, Encapsulation, Service

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Scene:
    """What all samples are taken from; a text is the labels of what stands beside it."""

    status: Status
    process: Mapping[str, float]  # by the metric's name
    services: tuple[tuple[str, ServiceView], ...]
    announced: tuple[tuple[str, ServiceView], ...]  # the services that are to be
    counted: tuple[tuple[str, ServiceView], ...]  # the services that the kernel counts for
    pools: tuple[tuple[str, tuple[EndpointView, ...]], ...]
    endpoints: tuple[tuple[str, EndpointView], ...]  # of each pool
    sent: tuple[tuple[str, Count], ...]  # by endpoint and the way to it: one counter in the kernel
    peers: tuple[tuple[str, PeerView], ...]
    watched: tuple[tuple[str, PeerView], ...]  # the peers that BFD is to watch


def label_text(**labels: object) -> str:
    r"""Labels as the exposition has them: `a="1",b="say \"2\""`, in the order given."""
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())


def build_scene(status: Status, document: Document, process: Mapping[str, float]) -> Scene:
    """Lay out a status, and of its document what the status does not say.

    ValueError where the two have not the same services.
    """
    services = tuple((f'service="{view.key}"', view) for view in status.services)  # no escapes
    asked = tuple(zip(services, document.services, strict=True))
    pools = {view.pool: view.endpoints for view in status.services}
    # Pools that reach an endpoint alike share its counter, so a counter is not told by pool.
    users = {view.pool: each for (_, view), each in asked if view.forwarding}
    ways = {name: _way(each, document) for name, each in users.items()}
    endpoints, sent = _endpoints(pools, ways)
    peers = tuple(
        (label_text(peer=view.address, **{"as": view.as_number}), view) for view in status.peers
    )
    return Scene(
        status=status,
        process=process,
        services=services,
        announced=tuple(service for service, each in asked if each.announce),
        # A service that is being changed is not read; 0 would look as if its counter had restarted.
        counted=tuple(service for service in services if service[1].forwarding),
        pools=tuple((label_text(pool=name), views) for name, views in pools.items()),
        endpoints=endpoints,
        sent=sent,
        peers=peers,
        watched=tuple(peer for peer in peers if peer[1].bfd is not BfdState.OFF),
    )


def _escape(value: object) -> str:
    return str(value).translate(_ESCAPES)


def _way(service: Service, document: Document) -> str:
    """How a service's packets reach its endpoints, as labels."""
    owner = service if service.pool is None else document.pools[service.pool]
    return label_text(
        encapsulation=owner.encapsulation or Encapsulation.IPIP,
        dscp="copy" if owner.dscp is None else owner.dscp,
    )


def _endpoints(
    pools: Mapping[str, tuple[EndpointView, ...]], ways: Mapping[str, str]
) -> tuple[tuple[tuple[str, EndpointView], ...], tuple[tuple[str, Count], ...]]:
    endpoints: list[tuple[str, EndpointView]] = []
    sent: dict[str, Count] = {}
    for name, views in pools.items():
        pool, way = label_text(pool=name), ways.get(name)
        for view in views:
            endpoint = f'endpoint="{view.address}"'  # an address needs no escapes
            endpoints.append((f"{pool},{endpoint}", view))
            if way is not None:
                sent[f"{endpoint},{way}"] = view.sent
    return tuple(endpoints), tuple(sent.items())
