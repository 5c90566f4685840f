"""What a change would do: who answers how much, which slots move, which flows break. Pure.

A flow is *broken* if it worked before and reaches another endpoint afterwards, or a dead one. Flows
are taken to be spread evenly over the hash, so that parts of the hash are parts of the flows.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.maglev import Candidate, Table, build_table, disruption, shares
from headrace.model import (
    ConfigError,
    Document,
    FlowTable,
    IPAddress,
    NotFoundError,
    OperatorState,
    Pool,
    Problem,
    Protocol,
    Service,
    ServiceKey,
    build_document,
    dump_document,
)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a change: the document in force, and the endpoints that are down."""

    document: Document
    down: frozenset[IPAddress] = frozenset()


@dataclass(frozen=True, slots=True)
class Edits:
    """Small changes to a document, and failures."""

    down: frozenset[IPAddress] = frozenset()
    drain: frozenset[IPAddress] = frozenset()
    remove: frozenset[IPAddress] = frozenset()
    weights: Mapping[IPAddress, int] = field(default_factory=dict)
    add: Mapping[IPAddress, int] = field(default_factory=dict)  # with their weights
    pool: str | None = None  # the only pool to edit; None: every one that has the endpoint


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What one endpoint answers before and after."""

    address: IPAddress
    slots_before: int
    slots_after: int
    share_before: float  # of all slots, 0..1
    share_after: float


@dataclass(frozen=True, slots=True)
class Broken:
    """Parts of the flows, 0..1, that break: by the change, and with other nodes taking over.

    A node that takes over has no note of the flows in its flow table, as when another one dies or
    routers spread flows anew, before the slots have settled.
    """

    by_the_change: float
    if_nodes_change_too: float


@dataclass(frozen=True, slots=True)
class FlowChange:
    """What becomes of the flows of some services, under three ways to remember them."""

    services: tuple[str, ...]
    without_flow_table: Broken
    with_flow_table: Broken
    with_agents: Broken


@dataclass(frozen=True, slots=True)
class PoolChange:
    """What a change does to a pool, and to the services that it answers for."""

    before: str | None  # the pool that answers; None: the services are new
    after: str | None  # None: the services are gone
    slots: int  # of the table afterwards; of a pool that is gone, before
    slots_moved: int | None  # None: the two tables cannot be compared slot by slot
    slots_moved_needlessly: int | None  # from one unchanged endpoint to another
    endpoints: tuple[EndpointChange, ...]
    flows: tuple[FlowChange, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """Services whose flows fare alike."""

    same_hash: bool  # their flows fall where they fell
    noted: bool  # the flow table may remember them
    chained: bool  # agents may pass them on


_Pools = tuple[str | None, str | None]  # that answer before and afterwards
_CaseLabels = dict[_Case, list[str]]  # the labels of the services in each


def edited(side: Side, edits: Edits) -> Side:
    """The side after these edits.

    Raises NotFoundError for an endpoint or a pool that is not there, ConfigError if the document
    would be wrong.
    """
    values: dict[str, Any] = json.loads(dump_document(side.document))
    lists = _endpoint_lists(side.document, values)
    if edits.pool is not None:
        if edits.pool not in lists:
            raise NotFoundError(f"there is no pool {edits.pool}; there: {_names(lists)}")
        lists = {edits.pool: lists[edits.pool]}
    for address in edits.drain:
        for endpoint in _found(lists, address):
            endpoint["state"] = str(OperatorState.DRAINING)
    for address, weight in edits.weights.items():
        for endpoint in _found(lists, address):
            endpoint["weight"] = weight
    for address in edits.down:
        _found(lists, address)
    _remove(lists, edits.remove)
    _add(lists, edits.add)
    return Side(build_document(values), side.down | edits.down)


def simulate(before: Side, after: Side) -> tuple[PoolChange, ...]:
    """What becomes of each pool that a service uses before or afterwards.

    Raises ConfigError where a pool's table cannot hold its endpoints.
    """
    old = _tables(before, {})
    new = _tables(after, old)
    deaths = _Deaths(_dead(before), _dead(after))
    return tuple(
        _pool_change(
            pools, _TablePair(old.get(pools[0] or ""), new.get(pools[1] or "")), cases, deaths
        )
        for pools, cases in _cases(before.document, after.document).items()
    )


@dataclass(frozen=True, slots=True)
class _Deaths:
    """The endpoints that nothing is sent to, before and afterwards."""

    before: frozenset[IPAddress]
    after: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class _TablePair:
    """The lookup tables of the pools that answer before and afterwards; None where none does."""

    old: Table | None
    new: Table | None

    @property
    def are_alike(self) -> bool:
        """Whether slots of one are slots of the other."""
        if self.old is None or self.new is None:
            return False
        kind = (self.old.seed, self.old.slot_count)
        return kind == (self.new.seed, self.new.slot_count)


def _endpoint_lists(
    document: Document, values: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """The endpoints of each pool, as they are in the document's plain values."""
    lists = {name: pool["endpoints"] for name, pool in values.get("pools", {}).items()}
    for service, raw in zip(document.services, values.get("services", ()), strict=True):
        if service.pool is None:
            lists[service.pool_name] = raw["endpoints"]
    return lists


def _found(lists: Mapping[str, list[dict[str, Any]]], address: IPAddress) -> list[dict[str, Any]]:
    """Every entry of an endpoint; NotFoundError if it is nowhere."""
    found = [
        endpoint
        for endpoints in lists.values()
        for endpoint in endpoints
        if endpoint["address"] == str(address)
    ]
    if not found:
        raise NotFoundError(f"{address} is an endpoint of none of these pools: {_names(lists)}")
    return found


def _remove(lists: Mapping[str, list[dict[str, Any]]], addresses: frozenset[IPAddress]) -> None:
    for address in addresses:
        _found(lists, address)
    gone = {str(address) for address in addresses}
    for endpoints in lists.values():
        endpoints[:] = [each for each in endpoints if each["address"] not in gone]


def _add(lists: Mapping[str, list[dict[str, Any]]], weights: Mapping[IPAddress, int]) -> None:
    if not weights:
        return
    if len(lists) != 1:
        raise NotFoundError(f"say which pool gets the endpoint, one of: {_names(lists)}")
    (endpoints,) = lists.values()
    endpoints += [
        {"address": str(address), "weight": weight} for address, weight in weights.items()
    ]


def _names(lists: Mapping[str, object]) -> str:
    return ", ".join(sorted(lists)) or "none"


def _tables(side: Side, previous: Mapping[str, Table]) -> dict[str, Table]:
    """The lookup table of every pool that a service uses."""
    seed = side.document.cluster.hash_seed
    return {
        name: _table(seed, name, pool, side.down, previous.get(name))
        for name, pool in side.document.all_pools().items()
    }


def _table(
    seed: int, name: str, pool: Pool, down: frozenset[IPAddress], previous: Table | None
) -> Table:
    candidates = [
        Candidate(e.address, e.weight, drained=e.drained, down=e.disabled or e.address in down)
        for e in pool.endpoints
    ]
    try:
        return build_table(seed, candidates, pool.slots, previous)
    except ConfigError as error:
        problems = (Problem(f"pools.{name}.{p.path}", p.message) for p in error.problems)
        raise ConfigError(problems) from error


def _dead(side: Side) -> frozenset[IPAddress]:
    """Those that are down, and those that are disabled wherever they are listed."""
    entries = [e for pool in side.document.all_pools().values() for e in pool.endpoints]
    enabled = {e.address for e in entries if not e.disabled}
    return side.down | (frozenset(e.address for e in entries) - enabled)


def _cases(before: Document, after: Document) -> dict[_Pools, _CaseLabels]:
    """The services by their pools; port by port, where a range has changed."""
    old, new = _by_key(before), _by_key(after)
    same_seed = before.cluster.hash_seed == after.cluster.hash_seed
    found: dict[_Pools, _CaseLabels] = {}
    for key in dict.fromkeys((*new, *old)):
        was, becomes = old.get(key), new.get(key)
        pools = (_pool_name(was), _pool_name(becomes))
        cases = found.setdefault(pools, {})
        labels = cases.setdefault(_case(was, becomes, same_seed=same_seed), [])
        label = (becomes or old[key]).label
        if label not in labels:
            labels.append(label)
    return found


def _by_key(document: Document) -> dict[ServiceKey, Service]:
    return {key: service for service in document.services for key in service.keys}


def _pool_name(service: Service | None) -> str | None:
    return None if service is None else service.pool_name


def _case(was: Service | None, becomes: Service | None, *, same_seed: bool) -> _Case:
    if was is None or becomes is None:
        return _Case(same_hash=False, noted=False, chained=False)
    is_same = (was.pool_name, was.affinity) == (becomes.pool_name, becomes.affinity)
    is_noted = is_same and becomes.flow_table is not FlowTable.NEVER
    return _Case(
        same_hash=same_seed and was.affinity is becomes.affinity,
        noted=is_noted,
        chained=is_noted and becomes.protocol is not Protocol.UDP,
    )


def _pool_change(
    pools: _Pools, tables: _TablePair, cases: _CaseLabels, deaths: _Deaths
) -> PoolChange:
    old, new = tables.old, tables.new
    moved = disruption(old, new) if old and new and tables.are_alike else None
    table = new or old
    return PoolChange(
        before=pools[0],
        after=pools[1],
        slots=0 if table is None else table.slot_count,
        slots_moved=None if moved is None else moved.slots,
        slots_moved_needlessly=None if moved is None else moved.needless,
        endpoints=tuple(_endpoints(old, new)),
        flows=tuple(_flows(case, labels, tables, deaths) for case, labels in cases.items()),
    )


def _flows(case: _Case, labels: list[str], tables: _TablePair, deaths: _Deaths) -> FlowChange:
    elsewhere, dead = _losses(case, tables.old, tables.new, deaths)
    is_noted = case.noted and tables.are_alike  # other slots begin without notes or anchors
    return FlowChange(
        services=tuple(labels),
        without_flow_table=Broken(elsewhere, elsewhere),
        with_flow_table=Broken(dead if is_noted else elsewhere, elsewhere),
        with_agents=Broken(
            dead if is_noted or case.chained else elsewhere, dead if case.chained else elsewhere
        ),
    )


def _losses(
    case: _Case, old: Table | None, new: Table | None, deaths: _Deaths
) -> tuple[float, float]:
    """Parts of the flows whose endpoint answers no longer, and of those whose endpoint is dead."""
    if old is None:
        return 0.0, 0.0
    had = {a: share for a, share in _shares(old).items() if a not in deaths.before}
    dead = sum(share for address, share in had.items() if address in deaths.after)
    if new is None:
        return sum(had.values()), sum(had.values())
    leaving = _leaving(old, new, same_hash=case.same_hash)
    alive = sum(leaving.get(a, 0.0) for a in had if a not in deaths.after)
    return dead + alive, dead


def _shares(table: Table) -> dict[IPAddress, float]:
    return {each.candidate.address: each.share for each in shares(table)}


def _leaving(old: Table, new: Table, *, same_hash: bool) -> dict[IPAddress, float]:
    """By endpoint: the part of all flows that it answers before but not afterwards."""
    if not same_hash:
        after = _shares(new)
        return {a: share * (1 - after.get(a, 0.0)) for a, share in _shares(old).items()}
    if old.digest == new.digest:
        return {}
    old_address = [candidate.address for candidate in old.candidates]
    new_address = [candidate.address for candidate in new.candidates]
    both = Counter[tuple[int, int]]()
    for before, after_index, length in _overlaps(old, new):
        both[before, after_index] += length
    leaving = Counter[IPAddress]()
    for (before, after_index), length in both.items():
        if old_address[before] != new_address[after_index]:
            leaving[old_address[before]] += length
    total = old.slot_count * new.slot_count
    return {address: length / total for address, length in leaving.items()}


def _overlaps(old: Table, new: Table) -> Iterator[tuple[int, int, int]]:
    """Both owners of every stretch of the hash within one slot of each table, and its length.

    Slot i of n is the stretch from i/n to (i + 1)/n; all lengths together are old * new slots.
    """
    if old.slot_count == new.slot_count:
        for before, after in zip(old.owners, new.owners, strict=True):
            yield before, after, old.slot_count
        return
    position = old_slot = new_slot = 0
    while old_slot < old.slot_count:
        old_end = (old_slot + 1) * new.slot_count
        new_end = (new_slot + 1) * old.slot_count
        end = min(old_end, new_end)
        yield old.owners[old_slot], new.owners[new_slot], end - position
        position = end
        old_slot += end == old_end
        new_slot += end == new_end


def _endpoints(old: Table | None, new: Table | None) -> Iterator[EndpointChange]:
    """Every endpoint of either table, those of the new one first."""
    before = {} if old is None else {each.candidate.address: each for each in shares(old)}
    after = {} if new is None else {each.candidate.address: each for each in shares(new)}
    for address in dict.fromkeys((*after, *before)):
        was, becomes = before.get(address), after.get(address)
        yield EndpointChange(
            address=address,
            slots_before=0 if was is None else was.slots,
            slots_after=0 if becomes is None else becomes.slots,
            share_before=0.0 if was is None else was.share,
            share_after=0.0 if becomes is None else becomes.share,
        )
