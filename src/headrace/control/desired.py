"""Document, paths and what the kernel has -> what the data plane and BGP should have. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from operator import is_

from headrace.control.beliefs import DownSets, disabled_sets
from headrace.maglev import Candidate, FlowHash, Table, build_table, change_down
from headrace.model import (
    ConfigError,
    Document,
    Encapsulation,
    Forwarding,
    IPAddress,
    Path,
    Pool,
    Problem,
    Reach,
    ServiceEntry,
    ServiceKey,
    Target,
    Tuning,
    Unresolved,
)

Paths = Mapping[Target, Path | Unresolved]


@dataclass(frozen=True, slots=True, eq=False)
class DesiredPool:
    """A pool's lookup table, how each of its candidates is reached, and who has a server id.

    One that stays as it is stays the same object.
    """

    table: Table
    reaches: tuple[Reach, ...]  # of the table's candidates, in their order
    server_ids: Mapping[int, Reach]  # of QUIC; empty where no service routes by them
    down: frozenset[IPAddress]  # who gets nothing, in the table
    reach_digest: bytes = field(repr=False)  # of the reaches
    pool: Pool = field(repr=False)  # of the document
    is_routed: bool = field(repr=False)  # by server ids
    ways: tuple[Path | Unresolved, ...] = field(repr=False)  # of the pool's endpoints
    paths: Mapping[Reach, Path | None] = field(repr=False)
    stamp: int = field(init=False)
    """Equal stamps mean equal tables in the kernel."""

    def __post_init__(self) -> None:
        """Stamp it."""
        text = self.table.digest.to_bytes(8) + self.reach_digest
        stamp = int.from_bytes(blake2b(text, digest_size=8).digest())
        object.__setattr__(self, "stamp", stamp)


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be, all of it."""

    hash_keys: tuple[int, ...]
    tuning: Tuning
    endpoints: Mapping[Reach, Path | None]
    down: frozenset[IPAddress]  # endpoints that get nothing, their old flows included
    disabled: DownSets  # who of them do so by the operator's wish
    listed: Mapping[IPAddress, int]  # in how many pools
    pools: Mapping[str, DesiredPool]
    services: Mapping[ServiceKey, ServiceEntry]
    paths: Paths = field(repr=False)  # that it was built by


def targets_of(document: Document) -> frozenset[Target]:
    """Every endpoint that a service uses, as its pools want it reached."""
    return document.all_pools().targets


def same_where_equal(paths: Paths, known: Paths) -> Paths:
    """These paths, by the objects that are known where they are equal.

    What follows from those need not be made again after an event that changes none of them.
    """
    if paths is known:
        return known
    merged = {
        target: other if (other := known.get(target)) == path else path
        for target, path in paths.items()
    }
    is_same = len(merged) == len(known) and all(map(is_, merged.values(), map(known.get, merged)))
    return known if is_same else merged


def build_desired(
    document: Document,
    paths: Paths,
    actual: Forwarding,
    previous: Desired | None,
    down: DownSets,
) -> Desired:
    """What the document asks for, given how each endpoint is reached now and who is down.

    What was wanted before never changes the result; it saves building again what stays.
    Raises ConfigError where a pool's table cannot hold its endpoints.
    """
    asked = document.all_pools()
    routed = {service.pool_name for service in document.services if service.quic}
    builder = _Builder(document.cluster.hash_seed, paths, actual, previous)
    before = {} if previous is None else previous.pools
    pools = {
        name: builder.build(name, pool, before.get(name), down[name], is_routed=name in routed)
        for name, pool in asked.items()
    }
    same = previous is not None and list(pools.values()) == list(before.values())
    return Desired(
        hash_keys=FlowHash.of_seed(document.cluster.hash_seed).keys,
        # How many packets are sampled is not the document's: a capture under way sets it.
        tuning=replace(document.tuning, sample_one_in=actual.tuning.sample_one_in),
        endpoints=previous.endpoints if previous and same else _endpoints(pools.values()),
        down=_down_everywhere(asked.listed, down),
        disabled=disabled_sets(document),
        listed=asked.listed,
        pools=previous.pools if previous and same else pools,
        services={key: service.entry for service in document.services for key in service.keys},
        paths=paths,
    )


def with_down(desired: Desired, down: DownSets) -> tuple[Desired, list[str]]:
    """What the same document asks for when others are down, and the pools that it changes."""
    changed = {
        name: replace(pool, table=change_down(pool.table, down[name]), down=down[name])
        for name, pool in desired.pools.items()
        if pool.down != down[name]
    }
    if not changed:
        return desired, []
    everywhere = _down_everywhere(desired.listed, down)
    return replace(desired, pools={**desired.pools, **changed}, down=everywhere), list(changed)


def _endpoints(pools: Iterable[DesiredPool]) -> Mapping[Reach, Path | None]:
    found: dict[Reach, Path | None] = {}
    for pool in pools:
        found.update(pool.paths)
    return found


class _Builder:
    """Builds pools, as far as they are not as they were."""

    def __init__(
        self, seed: int, paths: Paths, actual: Forwarding, previous: Desired | None
    ) -> None:
        self._seed, self._paths, self._actual = seed, paths, actual
        self._has_same_paths = previous is not None and previous.paths is paths

    def build(
        self,
        name: str,
        pool: Pool,
        before: DesiredPool | None,
        down: frozenset[IPAddress],
        *,
        is_routed: bool,
    ) -> DesiredPool:
        """What is wanted of a pool, given what was wanted of it before."""
        stays = (
            before is not None
            and before.pool is pool
            and before.table.seed == self._seed
            and (before.down, before.is_routed) == (down, is_routed)
        )
        if before is not None and stays and self._has_same_paths:
            return before
        ways = tuple(map(self._paths.__getitem__, pool.targets))
        if before is not None and stays and all(map(is_, ways, before.ways)):
            return before
        table = _table(self._seed, name, pool, down, None if before is None else before.table)
        reaches = {
            t.endpoint: self._reach(t, pool, way) for t, way in zip(pool.targets, ways, strict=True)
        }
        ordered = tuple(reaches[candidate.address] for candidate in table.candidates)
        ids = {e.server_id: reaches[e.address] for e in pool.endpoints if e.server_id}
        paths = {
            reach: way if isinstance(way, Path) else None
            for reach, way in zip(reaches.values(), ways, strict=True)
        }
        digest = blake2b(b"".join(map(_reach_bytes, ordered)), digest_size=16).digest()
        routes = ids if is_routed else {}
        return DesiredPool(table, ordered, routes, down, digest, pool, is_routed, ways, paths)

    def _reach(self, target: Target, pool: Pool, way: Path | Unresolved) -> Reach:
        """The endpoint and its outer header; while it is unreachable, the header it had last."""
        dscp = pool.fixed_dscp
        if isinstance(way, Path):
            return Reach(
                target.endpoint,
                way.outer_source,
                way.outer_destination,
                target.encapsulation,
                way.source_hashed,
                dscp,
            )
        unknown = Reach(target.endpoint, encapsulation=target.encapsulation, dscp=dscp)
        return self._known.get((target, dscp), unknown)

    @cached_property
    def _known(self) -> Mapping[tuple[Target, int | None], Reach]:
        return {
            (Target(reach.endpoint, reach.encapsulation), reach.dscp): reach
            for reach in self._actual.endpoints
        }


def _down_everywhere(listed: Mapping[IPAddress, int], down: DownSets) -> frozenset[IPAddress]:
    """The endpoints that are down wherever they are listed: one byte says it for all pools."""
    counts = Counter(address for addresses in down.values() for address in addresses)
    return frozenset(address for address, count in counts.items() if count == listed[address])


def _table(
    seed: int, name: str, pool: Pool, down: Collection[IPAddress], previous: Table | None
) -> Table:
    candidates = [
        Candidate(e.address, e.weight, drained=e.drained, down=e.address in down)
        for e in pool.endpoints
    ]
    if previous is not None and _is_of(previous, seed, pool.slots, candidates):
        return previous
    try:
        return build_table(seed, candidates, pool.slots, previous)
    except ConfigError as error:
        problems = (Problem(f"pools.{name}.{p.path}", p.message) for p in error.problems)
        raise ConfigError(problems) from error


def _is_of(table: Table, seed: int, slot_count: int, candidates: Sequence[Candidate]) -> bool:
    same_kind = (table.seed, table.slot_count) == (seed, slot_count)
    return same_kind and set(table.candidates) == set(candidates)


_ENCAPSULATIONS = tuple(Encapsulation)


def _reach_bytes(reach: Reach) -> bytes:
    """Different for reaches that differ; repr() would take 50 times as long."""
    addresses = (reach.endpoint, reach.outer_source, reach.outer_destination)
    packed = [b"" if each is None else each.packed for each in addresses]
    head = (
        *map(len, packed),
        _ENCAPSULATIONS.index(reach.encapsulation),
        reach.source_hashed,
        0 if reach.dscp is None else 1 + reach.dscp,
    )
    return bytes(head) + b"".join(packed)
