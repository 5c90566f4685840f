"""How even the tables are, and that a failure moves only the failed endpoints' slots.

HEADRACE_FAILURE_SETS=100000 tries that many random sets of failures; a few by default.
"""

import os
import random
from dataclasses import replace

import pytest

from headrace.maglev import Disruption, build_table, change_down, disruption, imbalance, shares
from tests.maglev.evenness import equal_pool, every_view, needless_of, random_moves

FAILURE_SETS = int(os.environ.get("HEADRACE_FAILURE_SETS", "60"))


def test_a_healthy_pool_of_100_is_even_to_a_thousandth() -> None:
    assert imbalance(build_table(0, equal_pool(100), 65_537)) <= 1.001


@pytest.mark.parametrize(("down", "bar"), [(1, 1.01), (10, 1.04)])
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_the_slots_of_failed_endpoints_are_shared_out(seed: int, down: int, bar: float) -> None:
    table = build_table(seed, equal_pool(100), 65_537)
    chance = random.Random(seed)

    for _ in range(max(20, FAILURE_SETS // 100)):
        failed = chance.sample(table.candidates, down)
        assert imbalance(change_down(table, [c.address for c in failed])) <= bar


def test_slots_move_only_from_failed_and_to_returned_endpoints() -> None:
    moves = list(random_moves(20, FAILURE_SETS))

    assert len(moves) == FAILURE_SETS
    assert sum(moved.needless for moved in moves) == 0
    assert any(moved.slots for moved in moves)


def test_every_set_of_failures_of_8_moves_only_their_slots() -> None:
    table = build_table(0, equal_pool(8), 251)

    assert [needless_of(table, view) for view in every_view(table)] == [0] * 256


def test_every_single_failure_of_100_moves_exactly_its_slots() -> None:
    table = build_table(0, equal_pool(100), 65_537)
    slots = [share.slots for share in shares(table)]

    for index in range(100):
        moved = disruption(table, change_down(table, [table.candidates[index].address]))
        assert moved == Disruption(slots=slots[index], needless=0)


@pytest.mark.parametrize("count", [10, 100])
def test_adding_an_endpoint_moves_little_but_what_it_gets(count: int) -> None:
    table = build_table(0, equal_pool(count), 65_537)
    larger = build_table(0, equal_pool(count + 1), 65_537)

    moved = disruption(table, larger)

    assert moved.slots - moved.needless == shares(larger)[-1].slots
    assert moved.needless / table.slot_count < 0.01  # a Maglev table's price, measured 0.006


def test_shares_follow_the_weights() -> None:
    pool = [replace(candidate, weight=1 + index) for index, candidate in enumerate(equal_pool(4))]

    assert [share.slots for share in shares(build_table(0, pool, 251))] == [25, 50, 75, 101]


def test_tables_of_two_sizes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="251 slots cannot be compared with 257"):
        disruption(build_table(0, equal_pool(2), 251), build_table(0, equal_pool(2), 257))
