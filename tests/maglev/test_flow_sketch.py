"""How many flows a sketch has seen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.maglev import SKETCH_BYTES, count_flows, join_sketches, mark_flow

HASHES = st.lists(st.integers(0, 2**32 - 1), max_size=60)


def sketch_of(hashes: list[int]) -> bytes:
    sketch = bytearray(SKETCH_BYTES)
    for each in hashes:
        mark_flow(sketch, each)
    return bytes(sketch)


def test_an_empty_sketch_saw_none() -> None:
    assert count_flows(bytes(SKETCH_BYTES)) == 0


@pytest.mark.parametrize(
    ("hash32", "byte", "rank"),
    [(0, 0, 26), (0x7F, 0x7F, 26), (0x80, 0, 1), (0x8000_0001, 1, 25), (2**32 - 1, 0x7F, 1)],
)
def test_a_hash_leaves_a_rank_in_one_byte(hash32: int, byte: int, rank: int) -> None:
    sketch = sketch_of([hash32])

    assert (sketch[byte], sum(sketch)) == (rank, rank)
    assert count_flows(sketch) == 1


@pytest.mark.parametrize("flows", [3, 30, 300, 3_000, 30_000])
def test_the_estimate_is_near(flows: int) -> None:
    chance = random.Random(flows)

    estimates = [count_flows(sketch_of([chance.getrandbits(32) for _ in range(flows)]))]

    assert estimates == [pytest.approx(flows, rel=0.25)]


@given(HASHES, HASHES)
def test_joined_sketches_saw_the_flows_of_both(one: list[int], other: list[int]) -> None:
    joined = join_sketches(sketch_of(one), sketch_of(other))

    assert joined == sketch_of(one + other) == sketch_of([*other, *one, *one])
