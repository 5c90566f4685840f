"""Room for a table is waited for outside the data plane, so that others can work meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.dataplane import Dataplane

from .rig import path
from .test_pools import SLOTS, A, B, Clock, put

pytestmark = pytest.mark.bpf


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plane(pins: Path, clock: Clock) -> Iterator[Dataplane]:
    plane = Dataplane(pins, now=clock)
    for each in (A, B):
        plane.put_endpoint(each, path(each))
    yield plane
    plane.close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the data plane slept, time after time."""
    slept: list[float] = []
    monkeypatch.setattr("headrace.dataplane.slots.time.sleep", slept.append)
    return slept


def test_who_waits_for_room_need_not_sleep(
    plane: Dataplane, clock: Clock, slept: list[float]
) -> None:
    put(plane, A)
    assert plane.prepare_pool("web", SLOTS) == 0

    wait_s = plane.prepare_pool("large", 1_048_573)

    assert 0 < wait_s <= 0.2
    assert 0 < plane.prepare_pool("web", SLOTS) <= wait_s  # nor is a table changed meanwhile
    assert plane.prepare_pool("large", 1_048_573) <= wait_s  # it does not grow again
    assert not any(slept)
    clock.now += wait_s
    assert plane.prepare_pool("large", 1_048_573) == 0
    plane.put_pool("large", [A], [0] * 1_048_573, stamp=1)
    put(plane, B)
    assert not any(slept)


def test_who_does_not_wait_sleeps_before_a_table_is_written(
    plane: Dataplane, slept: list[float]
) -> None:
    put(plane, A)

    plane.reserve([65_537] * 40)
    assert not any(slept)
    put(plane, B)

    assert 0.05 < sum(slept) <= 0.2
    put(plane, A)
    assert sum(1 for each in slept if each) == 1
