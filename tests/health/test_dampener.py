"""A belief changes only after enough tries in a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.health.dampener import Dampener
from headrace.model import Health

UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
VOTES = {"+": UP, "-": DOWN, "?": UNKNOWN}


@pytest.mark.parametrize(
    ("results", "changes"),
    [
        pytest.param("+++", [None, None, UP], id="rises after three passes in a row"),
        pytest.param("++-+", [None, None, None, None], id="one failure restarts the count"),
        pytest.param("--", [None, DOWN], id="falls after two failures in a row"),
        pytest.param("--+-++", [None, DOWN, *[None] * 4], id="stays down until a whole rise"),
        pytest.param("+++-+", [None, None, UP, None, None], id="stays up after one failure"),
        pytest.param("+++??", [None, None, UP, None, UNKNOWN], id="is unknown when it cannot ask"),
        pytest.param("+++-?-?", [None, None, UP, *[None] * 4], id="mixed troubles are no streak"),
    ],
)
def test_a_dampener_believes_only_a_streak(results: str, changes: list[Health | None]) -> None:
    dampener = Dampener(rise=3, fall=2)

    assert [dampener.observe(VOTES[result]) for result in results] == changes


@given(
    rise=st.integers(1, 6),
    fall=st.integers(1, 6),
    votes=st.lists(st.sampled_from(Health), max_size=60),
)
def test_a_belief_changes_exactly_with_the_whole_streak_for_it(
    rise: int, fall: int, votes: list[Health]
) -> None:
    dampener = Dampener(rise, fall)
    believed = UNKNOWN

    for count, vote in enumerate(votes, start=1):
        needed = rise if vote is UP else fall
        has_streak = count >= needed and set(votes[count - needed : count]) == {vote}
        change = dampener.observe(vote)
        assert (change is not None) == (has_streak and vote is not believed)
        believed = vote if has_streak else believed
        assert dampener.health is believed
