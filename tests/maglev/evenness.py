"""Pools, failures and what they move: asked by tests with few of them, by `prove` with all."""

import itertools
import random
from collections.abc import Iterator
from ipaddress import ip_address

from headrace.maglev import (
    Candidate,
    Disruption,
    Table,
    build_table,
    change_down,
    disruption,
    shares,
)

SETS_PER_POOL = 20
SLOT_COUNTS = (251, 1021, 4093)


def equal_pool(count: int) -> list[Candidate]:
    """Endpoints of weight 1 from 10.0.0.1 on."""
    return [Candidate(ip_address(0x0A000001 + index)) for index in range(count)]


def random_pool(chance: random.Random) -> list[Candidate]:
    """1 to 100 endpoints, of equal or unequal weight, some of them drained."""
    heaviest = chance.choice([1, 1, 3])
    return [
        Candidate(
            ip_address(chance.getrandbits(32)),
            chance.randint(1, heaviest),
            drained=chance.random() < 0.1,
        )
        for _ in range(chance.choice([1, 2, 3, 10, 100]))
    ]


def random_moves(seed: int, count: int) -> Iterator[Disruption]:
    """What that many random sets of failures move, one set after another in many pools."""
    chance = random.Random(seed)
    for _ in range(count // SETS_PER_POOL):
        before = build_table(
            chance.getrandbits(64), random_pool(chance), chance.choice(SLOT_COUNTS)
        )
        for after in _random_views(chance, before):
            yield disruption(before, after)
            before = after


def every_view(table: Table) -> Iterator[Table]:
    """The table with each set of its endpoints down, nobody and everybody among them."""
    addresses = [candidate.address for candidate in table.candidates]
    for count in range(len(addresses) + 1):
        for down in itertools.combinations(addresses, count):
            yield change_down(table, down)


def needless_of(before: Table, after: Table) -> int:
    """Slots that moved though neither their old owner nor their new one changed."""
    return disruption(before, after).needless


def largest_deviation(table: Table) -> float:
    """How far an endpoint's slots are from its due by weight, at most; in slots.

    The table is one of endpoints that are all available.
    """
    total = sum(candidate.weight for candidate in table.candidates)
    return max(
        abs(share.slots - table.slot_count * share.candidate.weight / total)
        for share in shares(table)
    )


def _random_views(chance: random.Random, table: Table) -> Iterator[Table]:
    """The table with random endpoints down: a few of them, many, or nearly all."""
    count = len(table.candidates)
    for _ in range(SETS_PER_POOL):
        size = chance.choice([1, 2, chance.randint(1, count), count - 1, count])
        down = chance.sample(table.candidates, min(size, count))
        yield change_down(table, [candidate.address for candidate in down])
