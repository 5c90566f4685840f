"""Desired minus actual -> ordered steps. Pure.

Adding runs endpoints, pools, services; removing runs backward. Announcing frames it all: what is
to go is withdrawn before the first step, what is new is announced after the last was read back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.control.desired import Desired, DesiredPool
from headrace.model import (
    Forwarding,
    IPAddress,
    Path,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
)


@dataclass(frozen=True, slots=True)
class SetHashKeys:
    """Key the flow hash anew."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetTuning:
    """Set what holds for the whole data plane."""

    tuning: Tuning


@dataclass(frozen=True, slots=True)
class PutEndpoint:
    """Add an endpoint, or give it another path."""

    reach: Reach
    path: Path | None


@dataclass(frozen=True, slots=True)
class SetDown:
    """Send nothing more to exactly these endpoints."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class Reserve:
    """Make room for pools of these sizes at once."""

    slot_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PutPool:
    """Write a pool's lookup table."""

    name: str
    pool: DesiredPool


@dataclass(frozen=True, slots=True)
class SetServerIds:
    """Set which endpoints of a pool QUIC server ids name."""

    pool: str
    ids: Mapping[int, Reach]


@dataclass(frozen=True, slots=True)
class PutService:
    """Serve a VIP, protocol and port."""

    key: ServiceKey
    entry: ServiceEntry


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
    SetHashKeys
    | SetTuning
    | PutEndpoint
    | SetDown
    | Reserve
    | PutPool
    | SetServerIds
    | PutService
    | RemoveService
    | RemovePool
    | RemoveEndpoint
)


def plan_forwarding(desired: Desired, actual: Forwarding) -> list[Step]:
    """The steps from what the kernel forwards to what it should; empty when they agree."""
    return [*_additions(desired, actual), *_removals(desired, actual)]


def _additions(desired: Desired, actual: Forwarding) -> Iterator[Step]:
    if desired.hash_keys != actual.hash_keys:
        yield SetHashKeys(desired.hash_keys)
    if desired.tuning != actual.tuning:
        yield SetTuning(desired.tuning)
    yield from _endpoints(desired, actual)
    if len(desired.pools.keys() - actual.pools.keys()) > 1:
        yield Reserve(tuple(pool.table.slot_count for pool in desired.pools.values()))
    for name, pool in desired.pools.items():
        yield from _pool(name, pool, actual)
    for key, entry in desired.services.items():
        if actual.services.get(key) != entry:
            yield PutService(key, entry)


def _endpoints(desired: Desired, actual: Forwarding) -> Iterator[Step]:
    """Endpoints and which are down, before the tables: those keep no flow at a down one.

    Which are down is said after every new one: what is read back tells nothing of an address that
    had no endpoint before.
    """
    has_new = False
    for reach, path in desired.endpoints.items():
        is_new = reach not in actual.endpoints
        has_new = has_new or is_new
        if is_new or actual.endpoints[reach] != path:
            yield PutEndpoint(reach, path)
    # One that is to be removed stays down: flows may be remembered that would go there.
    kept = actual.down - {reach.endpoint for reach in desired.endpoints}
    down = desired.down | kept
    if has_new or down != actual.down:
        yield SetDown(down)


def _pool(name: str, pool: DesiredPool, actual: Forwarding) -> Iterator[Step]:
    """The table, and the server ids, which name what the table was written with."""
    is_new = actual.pools.get(name) != pool.stamp
    if is_new:
        yield PutPool(name, pool)
    ids = {number: reach.endpoint for number, reach in pool.server_ids.items()}
    known = actual.server_ids.get(name, {})
    if ids != known or (is_new and ids):
        yield SetServerIds(name, pool.server_ids)


def _removals(desired: Desired, actual: Forwarding) -> Iterator[Step]:
    yield from (RemoveService(key) for key in actual.services if key not in desired.services)
    yield from (RemovePool(name) for name in actual.pools if name not in desired.pools)
    yield from (
        RemoveEndpoint(reach) for reach in actual.endpoints if reach not in desired.endpoints
    )
