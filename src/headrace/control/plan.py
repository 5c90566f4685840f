"""Desired minus actual -> ordered steps. Pure.

Adding runs endpoints, pools, services; removing runs backward. Announcing frames it all: what is
to go is withdrawn before the first step, what is new is announced after the last was read back.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from headrace.control.desired import Desired, DesiredPool
from headrace.control.kept import changed_keys
from headrace.model import (
    Forwarding,
    IPAddress,
    Path,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
)

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


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


class Agreed(NamedTuple):
    """What was desired when the kernel was found to have it, and what was read then."""

    desired: Desired
    actual: Forwarding


def plan_forwarding(
    desired: Desired, actual: Forwarding, agreed: Agreed | None = None
) -> list[Step]:
    """The steps from what the kernel forwards to what it should; empty when they agree.

    What are the same objects on both sides as when both agreed is not compared again.
    """
    services = suspects(
        desired.services,
        actual.services,
        None if agreed is None else (agreed.desired.services, agreed.actual.services),
    )
    endpoints = suspects(
        desired.endpoints,
        actual.endpoints,
        None if agreed is None else (agreed.desired.endpoints, agreed.actual.endpoints),
    )
    return [
        *_additions(desired, actual, endpoints, services),
        *(RemoveService(k) for k in services if k in actual.services and k not in desired.services),
        *(RemovePool(name) for name in actual.pools if name not in desired.pools),
        *(
            RemoveEndpoint(reach)
            for reach in endpoints
            if reach in actual.endpoints and reach not in desired.endpoints
        ),
    ]


def suspects(
    wanted: Mapping[_Key, _Value],
    found: Mapping[_Key, _Value],
    agreed: tuple[Mapping[_Key, _Value], Mapping[_Key, _Value]] | None,
) -> list[_Key]:
    """The keys at which two mappings may differ, those of `wanted` first, in its order.

    `agreed` is what they were when they did not.
    """
    if agreed is None:
        return [*wanted, *(key for key in found if key not in wanted)]
    changed = dict.fromkeys(changed_keys(agreed[0], wanted))
    changed.update(dict.fromkeys(changed_keys(agreed[1], found)))
    return list(changed)


def _additions(
    desired: Desired,
    actual: Forwarding,
    endpoints: Iterable[Reach],
    services: Iterable[ServiceKey],
) -> Iterator[Step]:
    if desired.hash_keys != actual.hash_keys:
        yield SetHashKeys(desired.hash_keys)
    if desired.tuning != actual.tuning:
        yield SetTuning(desired.tuning)
    yield from _endpoints(desired, actual, endpoints)
    if len(desired.pools.keys() - actual.pools.keys()) > 1:
        yield Reserve(tuple(pool.table.slot_count for pool in desired.pools.values()))
    for name, pool in desired.pools.items():
        yield from _pool(name, pool, actual)
    for key in services:
        entry = desired.services.get(key)
        if entry is not None and actual.services.get(key) != entry:
            yield PutService(key, entry)


def _endpoints(desired: Desired, actual: Forwarding, suspected: Iterable[Reach]) -> Iterator[Step]:
    """Endpoints and which are down, before the tables: those keep no flow at a down one.

    Which are down is said after every new one: what is read back tells nothing of an address that
    had no endpoint before.
    """
    has_new = False
    for reach in suspected:
        if reach in desired.endpoints:
            path = desired.endpoints[reach]
            is_new = reach not in actual.endpoints
            has_new = has_new or is_new
            if is_new or actual.endpoints[reach] != path:
                yield PutEndpoint(reach, path)
    down = desired.down | held_down(desired, actual)
    if has_new or down != actual.down:
        yield SetDown(down)


def held_down(desired: Desired, actual: Forwarding) -> frozenset[IPAddress]:
    """Endpoints that are down and to be removed: they stay down, for flows that are remembered."""
    if not actual.down:
        return actual.down
    return actual.down - {reach.endpoint for reach in desired.endpoints}


def _pool(name: str, pool: DesiredPool, actual: Forwarding) -> Iterator[Step]:
    """The table, and the server ids, which name what the table was written with."""
    is_new = actual.pools.get(name) != pool.stamp
    if is_new:
        yield PutPool(name, pool)
    ids = {number: reach.endpoint for number, reach in pool.server_ids.items()}
    known = actual.server_ids.get(name, {})
    if ids != known or (is_new and ids):
        yield SetServerIds(name, pool.server_ids)
