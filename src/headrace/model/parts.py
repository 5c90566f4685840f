"""What of a document could be read, for the checks between its parts.

A part that could not be read hides nothing of the others: the checks see `Parts`, which come
from a whole document or from what of a broken one could be read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from headrace.model.document import Document, Endpoint, Pool, Service, TunnelEntry
from headrace.model.health import HealthCheck
from headrace.model.problems import Location
from headrace.model.values import Encapsulation

_Model = TypeVar("_Model", bound=BaseModel)

_POOL_KEYS = ("encapsulation", "dscp", "health")  # that other parts are checked against
_ANY_ENDPOINT = {"endpoints": [{"address": "192.0.2.1"}]}  # a pool cannot be read without one


@dataclass(frozen=True, slots=True)
class PoolPart:
    """A pool, or a service's own endpoints; the keys that could not be read have their defaults."""

    location: Location
    encapsulation: Encapsulation
    dscp: int | str
    health: str | HealthCheck
    endpoints: list[tuple[Location, Endpoint]]


@dataclass(frozen=True, slots=True)
class ServicePart:
    """A service without the keys that could not be read; None where VIP, protocol or port are."""

    location: Location
    service: Service | None
    pool: object
    own: PoolPart | None
    has_endpoints: bool


@dataclass(slots=True)
class Parts:
    """What of a document could be read, each part with its location."""

    services: list[ServicePart] = field(default_factory=list)
    pools: dict[object, PoolPart | None] = field(default_factory=dict)  # by name
    checks: dict[object, HealthCheck | None] = field(default_factory=dict)  # by name
    tunnels: list[tuple[Location, TunnelEntry]] = field(default_factory=list)
    is_whole: bool = False

    def pool_of(self, part: ServicePart) -> PoolPart | None:
        """The pool that answers for a service, if it could be read."""
        return part.own if part.pool is None else self.pools.get(part.pool)

    def check_of(self, pool: PoolPart, endpoint: Endpoint) -> HealthCheck | None:
        """How an endpoint of a pool is checked, if it is and that could be read."""
        choice = pool.health if endpoint.health is None else endpoint.health
        return choice if isinstance(choice, HealthCheck) else self.checks.get(choice)

    def all_pools(self) -> Iterator[PoolPart]:
        """Shared pools and those of single services."""
        yield from (part.own for part in self.services if part.own is not None)
        yield from (pool for pool in self.pools.values() if pool is not None)


def parts_of(document: Document) -> Parts:
    """The parts of a document that was read without a problem."""
    return Parts(
        services=[
            ServicePart(
                location=("services", index),
                service=service,
                pool=service.pool,
                own=None if (own := service.own_pool) is None else _pool(("services", index), own),
                has_endpoints=service.endpoints is not None,
            )
            for index, service in enumerate(document.services)
        ],
        pools={name: _pool(("pools", name), pool) for name, pool in document.pools.items()},
        checks=dict(document.health.items()),
        tunnels=[
            (("node", "tunnels", index), each) for index, each in enumerate(document.node.tunnels)
        ],
        is_whole=True,
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
        if isinstance(service, Mapping) and isinstance(location[-1], int):
            parts.services.append(_readable_service(location, service, broken))
    for location, pool in _items(raw, "pools"):
        parts.pools[location[-1]] = (
            _readable_pool(location, pool, broken) if isinstance(pool, Mapping) else None
        )
    for location, check in _items(raw, "health"):
        parts.checks[location[-1]] = _read(HealthCheck, check)
    for location, tunnel in _items(raw, "node", "tunnels"):
        entry = _read(TunnelEntry, tunnel)
        if entry is not None:
            parts.tunnels.append((location, entry))
    return parts


def _pool(location: Location, pool: Pool) -> PoolPart:
    endpoints = [
        ((*location, "endpoints", index), each) for index, each in enumerate(pool.endpoints)
    ]
    return PoolPart(location, pool.encapsulation, pool.dscp, pool.health, endpoints)


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


def _unbroken(
    location: Location, raw: Mapping[object, object], broken: set[Location]
) -> dict[object, object]:
    """The entries of a mapping that could be read."""
    return {
        key: value
        for key, value in raw.items()
        if isinstance(key, str) and (*location, key) not in broken
    }


def _readable_service(
    location: Location, raw: Mapping[object, object], broken: set[Location]
) -> ServicePart:
    plain = _unbroken(location, raw, broken)
    endpoints = raw.get("endpoints")
    return ServicePart(
        location=location,
        service=_read(Service, {k: v for k, v in plain.items() if k != "endpoints"}),
        pool=plain.get("pool"),
        own=None if endpoints is None else _readable_pool(location, raw, broken),
        has_endpoints=(*location, "pool") in broken or endpoints is not None,
    )


def _readable_pool(
    location: Location, raw: Mapping[object, object], broken: set[Location]
) -> PoolPart:
    plain = _unbroken(location, raw, broken)
    kept = {key: plain[key] for key in _POOL_KEYS if plain.get(key) is not None}
    policy = _read(Pool, _ANY_ENDPOINT | kept) or Pool.model_validate(_ANY_ENDPOINT)
    endpoints = []
    for step, item in _items(raw, "endpoints"):
        where = (*location, *step)
        if isinstance(item, Mapping):
            endpoint = _read(Endpoint, _unbroken(where, item, broken))
            if endpoint is not None:
                endpoints.append((where, endpoint))
    return PoolPart(location, policy.encapsulation, policy.dscp, policy.health, endpoints)
