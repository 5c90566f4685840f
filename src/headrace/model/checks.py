"""What contradicts between the parts of a document, told part by part.

A part that could not be read hides nothing of the others: the checks see `Parts`, which come
from a whole document or from what of a broken one could be read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from headrace.model.document import Document, Endpoint, Service, TunnelEntry
from headrace.model.errors import Problem
from headrace.model.limits import LIMIT_ENDPOINTS_PER_NODE, LIMIT_POOLS, LIMIT_SERVICES
from headrace.model.problems import Location, path_of
from headrace.model.values import IPAddress, ServiceKey

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _ServicePart:
    """What the checks need of a service; the key is None where it could not be read."""

    location: Location
    key: ServiceKey | None
    pool: object
    has_endpoints: bool


@dataclass(slots=True)
class Parts:
    """What of a document could be read, each part with its location."""

    services: list[_ServicePart] = field(default_factory=list)
    pool_names: set[object] = field(default_factory=set)
    endpoint_lists: list[list[tuple[Location, IPAddress]]] = field(default_factory=list)
    tunnels: list[tuple[Location, TunnelEntry]] = field(default_factory=list)
    counts: list[tuple[str, int, int]] = field(default_factory=list)  # section, size, limit


def parts_of(document: Document) -> Parts:
    """The parts of a document that was read without a problem."""
    return Parts(
        services=[
            _ServicePart(("services", index), each.key, each.pool, each.endpoints is not None)
            for index, each in enumerate(document.services)
        ],
        pool_names=set(document.pools),
        endpoint_lists=[
            [((*location, index, "address"), each.address) for index, each in enumerate(endpoints)]
            for location, endpoints in _endpoint_lists_of(document)
        ],
        tunnels=[
            (("node", "tunnels", index), each) for index, each in enumerate(document.node.tunnels)
        ],
        counts=[
            ("services", len(document.services), LIMIT_SERVICES),
            ("pools", len(document.pools), LIMIT_POOLS),
        ],
    )


def readable_parts(raw: Mapping[object, object], error: ValidationError) -> Parts:
    """The parts of a broken document that could be read, in spite of these errors."""
    broken = {
        details["loc"][:size]
        for details in error.errors(include_url=False, include_input=False)
        for size in range(1, len(details["loc"]) + 1)
    }
    parts = Parts()
    for location, service in _items(raw, "services"):
        if isinstance(service, Mapping):
            parts.services.append(_readable_service(location, service, broken))
            parts.endpoint_lists.append(_readable_endpoints(location, service, broken))
    for location, pool in _items(raw, "pools"):
        parts.pool_names.add(location[-1])
        if isinstance(pool, Mapping):
            parts.endpoint_lists.append(_readable_endpoints(location, pool, broken))
    for location, tunnel in _items(raw, "node", "tunnels"):
        entry = _read(TunnelEntry, tunnel)
        if entry is not None:
            parts.tunnels.append((location, entry))
    return parts


def contradictions(parts: Parts) -> Iterator[Problem]:
    """Everything that contradicts between the parts."""
    yield from _check_counts(parts)
    yield from _check_keys(parts.services)
    for service in parts.services:
        yield from _check_pool_choice(service, parts.pool_names)
    for endpoints in parts.endpoint_lists:
        yield from _check_twice(endpoints)
    yield from _check_distinct_endpoints(parts.endpoint_lists)
    yield from _check_tunnels(parts.tunnels)


def _endpoint_lists_of(document: Document) -> Iterator[tuple[Location, Sequence[Endpoint]]]:
    for index, service in enumerate(document.services):
        if service.endpoints is not None:
            yield ("services", index, "endpoints"), service.endpoints
    for name, pool in document.pools.items():
        yield ("pools", name, "endpoints"), pool.endpoints


def _items(raw: object, *location: str) -> Iterator[tuple[Location, object]]:
    """The entries of a list or mapping somewhere in plain values; none where there is neither."""
    for step in location:
        raw = raw.get(step) if isinstance(raw, Mapping) else None
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield (*location, str(key)), value
    elif isinstance(raw, list | tuple):
        for index, value in enumerate(raw):
            yield (*location, index), value


def _read(model: type[_Model], raw: object) -> _Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _readable_service(
    location: Location, raw: Mapping[object, object], broken: set[Location]
) -> _ServicePart:
    named = {name: raw[name] for name in ("vip", "protocol", "port") if name in raw}
    service = _read(Service, named)
    return _ServicePart(
        location,
        None if service is None else service.key,
        None if (*location, "pool") in broken else raw.get("pool"),
        (*location, "pool") in broken or raw.get("endpoints") is not None,
    )


def _readable_endpoints(
    location: Location, raw: Mapping[object, object], broken: set[Location]
) -> list[tuple[Location, IPAddress]]:
    found = []
    for step, item in _items(raw, "endpoints"):
        where = (*location, *step)
        address = item.get("address") if isinstance(item, Mapping) else None
        endpoint = None if address is None else _read(Endpoint, {"address": address})
        if endpoint is not None and (*where, "address") not in broken:
            found.append(((*where, "address"), endpoint.address))
    return found


def _check_counts(parts: Parts) -> Iterator[Problem]:
    for section, size, limit in parts.counts:
        if size > limit:
            yield Problem(
                section,
                f"{size} entries are over the limit of {limit}; serve some from other nodes",
            )


def _check_keys(services: Iterable[_ServicePart]) -> Iterator[Problem]:
    seen: dict[ServiceKey, Location] = {}
    for service in services:
        if service.key is None:
            continue
        first = seen.setdefault(service.key, service.location)
        if first != service.location:
            yield Problem(
                path_of(service.location),
                f"{service.key} is already {path_of(first)}; keep one of them",
            )


def _check_pool_choice(service: _ServicePart, pool_names: set[object]) -> Iterator[Problem]:
    path = path_of(service.location)
    if (service.pool is None) != service.has_endpoints:
        yield Problem(path, "give either pool (a name) or endpoints (a list), not both or neither")
    elif service.pool is not None and service.pool not in pool_names:
        known = ", ".join(sorted(str(name) for name in pool_names)) or "none"
        yield Problem(f"{path}.pool", f"{service.pool!r} is not under pools; there: {known}")
    elif service.pool is None and str(service.key) in pool_names:
        yield Problem(
            path, f"its own pool would be called {service.key}, as one under pools; rename that"
        )


def _check_twice(endpoints: Iterable[tuple[Location, IPAddress]]) -> Iterator[Problem]:
    seen: dict[IPAddress, Location] = {}
    for location, address in endpoints:
        first = seen.setdefault(address, location)
        if first != location:
            yield Problem(
                path_of(location),
                f"{address} is already {path_of(first[:-1])}; keep one of them",
            )


def _check_distinct_endpoints(
    lists: Iterable[Iterable[tuple[Location, IPAddress]]],
) -> Iterator[Problem]:
    count = len({address for endpoints in lists for _, address in endpoints})
    if count > LIMIT_ENDPOINTS_PER_NODE:
        yield Problem(
            "pools",
            f"{count} endpoints are over the {LIMIT_ENDPOINTS_PER_NODE} of one node; "
            "serve some VIPs from other nodes",
        )


def _check_tunnels(tunnels: Iterable[tuple[Location, TunnelEntry]]) -> Iterator[Problem]:
    seen: dict[IPAddress, Location] = {}
    for location, tunnel in tunnels:
        path = path_of(location)
        first = seen.setdefault(tunnel.endpoint, location)
        if first != location:
            yield Problem(path, f"{tunnel.endpoint} already has {path_of(first)}; keep one of them")
        if tunnel.local.version != tunnel.remote.version:
            yield Problem(path, "local and remote are of different families; use one family")
