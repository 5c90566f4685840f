"""Desired minus actual -> ordered steps. Pure.

Adding runs endpoints, pools, services; removing runs backward. Announcing frames it all: what is
to go is withdrawn before the first step, what is new is announced after the last was read back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.control.desired import Desired, DesiredPool
from headrace.model import Forwarding, Path, Reach, ServiceKey


@dataclass(frozen=True, slots=True)
class SetHashKeys:
    """Key the flow hash anew."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PutEndpoint:
    """Add an endpoint, or give it another path."""

    reach: Reach
    path: Path | None


@dataclass(frozen=True, slots=True)
class PutPool:
    """Write a pool's lookup table."""

    name: str
    pool: DesiredPool


@dataclass(frozen=True, slots=True)
class PutService:
    """Serve a VIP, protocol and port from a pool."""

    key: ServiceKey
    pool: str


@dataclass(frozen=True, slots=True)
class RemoveService:
    """Serve it no longer."""

    key: ServiceKey


@dataclass(frozen=True, slots=True)
class RemovePool:
    """Forget a pool."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveEndpoint:
    """Forget an endpoint."""

    reach: Reach


Step = (
    SetHashKeys | PutEndpoint | PutPool | PutService | RemoveService | RemovePool | RemoveEndpoint
)


def plan_forwarding(desired: Desired, actual: Forwarding) -> list[Step]:
    """The steps from what the kernel forwards to what it should; empty when they agree."""
    return [*_additions(desired, actual), *_removals(desired, actual)]


def _additions(desired: Desired, actual: Forwarding) -> Iterator[Step]:
    if desired.hash_keys != actual.hash_keys:
        yield SetHashKeys(desired.hash_keys)
    for reach, path in desired.endpoints.items():
        if reach not in actual.endpoints or actual.endpoints[reach] != path:
            yield PutEndpoint(reach, path)
    for name, pool in desired.pools.items():
        if actual.pools.get(name) != pool.stamp:
            yield PutPool(name, pool)
    for key, pool_name in desired.services.items():
        if actual.services.get(key) != pool_name:
            yield PutService(key, pool_name)


def _removals(desired: Desired, actual: Forwarding) -> Iterator[Step]:
    yield from (RemoveService(key) for key in actual.services if key not in desired.services)
    yield from (RemovePool(name) for name in actual.pools if name not in desired.pools)
    yield from (
        RemoveEndpoint(reach) for reach in actual.endpoints if reach not in desired.endpoints
    )
