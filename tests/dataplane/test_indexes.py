import pytest

from headrace.dataplane.indexes import REST_S, Indexes
from headrace.model import UnavailableError


def test_free_index_rests_before_it_is_handed_out_again() -> None:
    now = 10.0
    indexes = Indexes("endpoints", 2, [], lambda: now)
    taken = [indexes.take(), indexes.take()]
    indexes.give_back(taken[0])

    with pytest.raises(UnavailableError, match="all 2 entries of endpoints are in use"):
        indexes.take()
    now += REST_S

    assert indexes.take() == taken[0]


def test_used_and_reserved_indexes_are_not_handed_out() -> None:
    indexes = Indexes("next_hops", 4, [2], lambda: 0.0, first=1)

    assert [indexes.take(), indexes.take()] == [1, 3]


def test_a_used_index_that_was_given_back_rests_like_any_other_and_comes_once() -> None:
    now = 0.0
    indexes = Indexes("next_hops", 4, [2], lambda: now, first=1)
    indexes.give_back(2)
    now += REST_S

    assert [indexes.take() for _ in range(3)] == [1, 3, 2]
    with pytest.raises(UnavailableError):
        indexes.take()
