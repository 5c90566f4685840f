"""Document, paths and what the kernel has -> what the data plane and BGP should have. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

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
_Way = tuple[Target, int | None]  # how a pool wants an endpoint reached: and with which DSCP


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """A pool's lookup table, how each of its candidates is reached, and who has a server id."""

    table: Table
    reaches: tuple[Reach, ...]  # of the table's candidates, in their order
    server_ids: Mapping[int, Reach]  # of QUIC; empty where no service routes by them
    down: frozenset[IPAddress]  # who gets nothing, in the table
    reach_digest: bytes = field(repr=False)  # of the reaches

    @property
    def stamp(self) -> int:
        """Equal stamps mean equal tables in the kernel."""
        text = self.table.digest.to_bytes(8) + self.reach_digest
        return int.from_bytes(blake2b(text, digest_size=8).digest())


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

    @property
    def tables(self) -> Mapping[str, Table]:
        """The lookup table of each pool."""
        return {name: pool.table for name, pool in self.pools.items()}


def targets_of(document: Document) -> frozenset[Target]:
    """Every endpoint that a service uses, as its pools want it reached."""
    return frozenset(
        Target(endpoint.address, pool.encapsulation)
        for pool in document.all_pools().values()
        for endpoint in pool.endpoints
    )


def build_desired(
    document: Document,
    paths: Paths,
    actual: Forwarding,
    previous: Mapping[str, Table],
    down: DownSets,
) -> Desired:
    """What the document asks for, given how each endpoint is reached now and who is down.

    `previous` tables never change the result; those of unchanged pools save building them again.
    Raises ConfigError where a pool's table cannot hold its endpoints.
    """
    pools = document.all_pools()
    listed = Counter(e.address for pool in pools.values() for e in pool.endpoints)
    reaches = _reaches(pools.values(), paths, actual)
    routed = {service.pool_name for service in document.services if service.quic}
    seed = document.cluster.hash_seed
    return Desired(
        hash_keys=FlowHash.of_seed(seed).keys,
        # How many packets are sampled is not the document's: a capture under way sets it.
        tuning=replace(document.tuning, sample_one_in=actual.tuning.sample_one_in),
        endpoints={
            reach: path if isinstance(path := paths[target], Path) else None
            for (target, _), reach in reaches.items()
        },
        down=_down_everywhere(listed, down),
        disabled=disabled_sets(document),
        listed=listed,
        pools={
            name: _desired_pool(
                _table(seed, name, pool, down[name], previous.get(name)),
                pool,
                reaches,
                down[name],
                routes=name in routed,
            )
            for name, pool in pools.items()
        },
        services={key: service.entry for service in document.services for key in service.keys},
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


def _reaches(pools: Iterable[Pool], paths: Paths, actual: Forwarding) -> dict[_Way, Reach]:
    known = {
        (Target(reach.endpoint, reach.encapsulation), reach.dscp): reach
        for reach in actual.endpoints
    }
    return {
        way: _reach_of(way, paths, known)
        for pool in pools
        for endpoint in pool.endpoints
        for way in [_way(pool, endpoint.address)]
    }


def _way(pool: Pool, address: IPAddress) -> _Way:
    return Target(address, pool.encapsulation), pool.fixed_dscp


def _reach_of(way: _Way, paths: Paths, known: Mapping[_Way, Reach]) -> Reach:
    """The endpoint and its outer header; while it is unreachable, the header it had last."""
    target, dscp = way
    path = paths[target]
    if isinstance(path, Path):
        return Reach(
            target.endpoint,
            path.outer_source,
            path.outer_destination,
            target.encapsulation,
            path.source_hashed,
            dscp,
        )
    unknown = Reach(target.endpoint, encapsulation=target.encapsulation, dscp=dscp)
    return known.get(way, unknown)


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


def _desired_pool(
    table: Table,
    pool: Pool,
    reaches: Mapping[_Way, Reach],
    down: frozenset[IPAddress],
    *,
    routes: bool,
) -> DesiredPool:
    ordered = tuple(reaches[_way(pool, candidate.address)] for candidate in table.candidates)
    ids = {e.server_id: reaches[_way(pool, e.address)] for e in pool.endpoints if e.server_id}
    digest = blake2b(b"".join(map(_reach_bytes, ordered)), digest_size=16).digest()
    return DesiredPool(table, ordered, ids if routes else {}, down, digest)


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
