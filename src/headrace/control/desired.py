"""Document, paths and what the kernel has -> what the data plane and BGP should have. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_network

from headrace.maglev import Candidate, FlowHash, Table, build_table
from headrace.model import (
    Announcement,
    ConfigError,
    Document,
    Forwarding,
    IPAddress,
    Path,
    Pool,
    Problem,
    Reach,
    ServiceKey,
    Unresolved,
)

Paths = Mapping[IPAddress, Path | Unresolved]


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """A pool's lookup table and how each of its candidates is reached."""

    table: Table
    reaches: tuple[Reach, ...]  # of the table's candidates, in their order
    stamp: int  # equal stamps mean equal tables in the kernel


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be, all of it."""

    hash_keys: tuple[int, ...]
    endpoints: Mapping[Reach, Path | None]
    pools: Mapping[str, DesiredPool]
    services: Mapping[ServiceKey, str]
    announcements: frozenset[Announcement]

    @property
    def tables(self) -> Mapping[str, Table]:
        """The lookup table of each pool."""
        return {name: pool.table for name, pool in self.pools.items()}


def build_desired(
    document: Document, paths: Paths, actual: Forwarding, previous: Mapping[str, Table]
) -> Desired:
    """What the document asks for, given how each endpoint is reached now.

    `previous` tables never change the result; those of unchanged pools save building them again.
    Raises ConfigError where a pool's table cannot hold its endpoints.
    """
    pools = document.all_pools()
    known = {reach.endpoint: reach for reach in actual.endpoints}
    reaches = {
        endpoint.address: _reach_of(endpoint.address, paths, known)
        for pool in pools.values()
        for endpoint in pool.endpoints
    }
    tables = {
        name: _table(document.cluster.hash_seed, name, pool, previous.get(name))
        for name, pool in pools.items()
    }
    return Desired(
        hash_keys=FlowHash.of_seed(document.cluster.hash_seed).keys,
        endpoints={
            reach: path if isinstance(path := paths[address], Path) else None
            for address, reach in reaches.items()
        },
        pools={name: _desired_pool(table, reaches) for name, table in tables.items()},
        services={service.key: service.pool_name for service in document.services},
        announcements=frozenset(_announcements(document, paths)),
    )


def _reach_of(address: IPAddress, paths: Paths, known: Mapping[IPAddress, Reach]) -> Reach:
    """The endpoint's outer addresses; while it is unreachable, those it had last."""
    path = paths[address]
    if isinstance(path, Path):
        return Reach(address, path.outer_source, path.outer_destination)
    return known.get(address, Reach(address))


def _table(seed: int, name: str, pool: Pool, previous: Table | None) -> Table:
    candidates = [Candidate(e.address, e.weight, drained=e.drained) for e in pool.endpoints]
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


def _desired_pool(table: Table, reaches: Mapping[IPAddress, Reach]) -> DesiredPool:
    ordered = tuple(reaches[candidate.address] for candidate in table.candidates)
    stamp = blake2b(repr((table.digest, ordered)).encode(), digest_size=8).digest()
    return DesiredPool(table, ordered, int.from_bytes(stamp))


def _announcements(document: Document, paths: Paths) -> Iterator[Announcement]:
    """The VIPs that this node can forward to at least one endpoint."""
    if document.bgp is None:
        return
    for service in document.services:
        endpoints = document.pool_of(service).endpoints
        if service.announce and any(isinstance(paths[e.address], Path) for e in endpoints):
            yield Announcement(ip_network(service.vip))
