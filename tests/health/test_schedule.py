"""Tries are spread over the interval, one at a time, and seldom for the long dead."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.health.dampener import Dampener
from headrace.health.result import Result
from headrace.health.schedule import (
    FAILURES_BEFORE_STRETCH,
    LIMIT_STRETCH,
    LIMIT_STRETCHED_S,
    next_due_s,
    start_s,
    stretch,
)
from headrace.health.watch import Watch
from headrace.model import Belief, Health, Probe
from tests.health.support import direct

INTERVALS = st.floats(0.01, 3600)
INSTANTS = st.floats(0, 1e7)


@given(interval_s=INTERVALS, phase=st.floats(0, 1), count=st.integers(1, 300))
def test_first_tries_fill_the_interval_evenly(interval_s: float, phase: float, count: int) -> None:
    starts = sorted(start_s(number, interval_s, phase) for number in range(count))

    assert starts[0] >= 0
    assert starts[-1] < interval_s
    following = [*starts[1:], starts[0] + interval_s]
    widest_s = max(b - a for a, b in zip(starts, following, strict=True))
    assert widest_s <= 2.7 * interval_s / count  # what the golden section promises, and a little


@given(due_s=INSTANTS, late_s=st.floats(0, 100), interval_s=INTERVALS)
@example(due_s=0.3, late_s=0.6, interval_s=0.3)
def test_the_next_try_is_the_first_instant_of_the_grid_that_is_still_to_come(
    due_s: float, late_s: float, interval_s: float
) -> None:
    now_s = due_s + late_s

    following_s = next_due_s(due_s, now_s, interval_s)

    intervals = (following_s - due_s) / interval_s
    assert following_s > now_s
    assert following_s - now_s <= interval_s * 1.001 + 1e-6
    assert intervals == pytest.approx(round(intervals), abs=1e-4)
    assert round(intervals) >= 1


@given(interval_s=INTERVALS, failures=st.integers(0, 10_000), fall=st.integers(1, 100))
def test_an_interval_is_stretched_within_limits_and_never_before_down_is_believed(
    interval_s: float, failures: int, fall: int
) -> None:
    intervals = stretch(interval_s, failures, fall)

    assert 1 <= intervals <= LIMIT_STRETCH
    assert intervals == 1 or intervals * interval_s <= LIMIT_STRETCHED_S
    assert intervals == 1 or failures > fall
    assert stretch(interval_s, failures + 1, fall) >= intervals


def watch(probe: Probe) -> Watch:
    target = direct(1, probe)
    belief = Belief(Health.UNKNOWN, 0.0)
    return Watch(target, (), Dampener(probe.rise, probe.fall), belief, due_s=0.0, wake_s=0.0)


def test_the_long_dead_are_asked_seldom_until_they_answer_once() -> None:
    watched = watch(Probe(interval_s=1.0, fall=3, rise=2))
    waits = []

    for _ in range(FAILURES_BEFORE_STRETCH * 4):
        watched.begin()
        watched.observe(Result(Health.DOWN, "refused"), watched.due_s)
        waits.append(watched.wake_s - watched.due_s)
    watched.begin()
    watched.observe(Result(Health.UP, "connected"), watched.due_s)

    assert sorted(set(waits)) == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert watched.wake_s - watched.due_s == 1
    assert watched.belief.health is Health.DOWN


def test_a_try_that_outlasts_three_intervals_counts_once() -> None:
    watched = watch(Probe(interval_s=1.0, timeout_s=5.0, fall=2))

    watched.begin()
    is_changed, _ = watched.observe(Result(Health.DOWN, "timeout"), 3.2)

    assert not is_changed
    assert watched.failures == 1
    assert watched.wake_s == 4.0
