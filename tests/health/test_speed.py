"""What probing costs, loosely; `python -m tests.health.speed` measures against the bounds."""

import pytest

from tests.health.speed import DEATH_BOUND_S, FALL, INTERVAL_S, measure_in_namespace

CPU_SLACK = 3
"""A machine under other load, or a slower one, fails no test; a task a probe would."""

DEATH_SLACK_S = 1.0


@pytest.mark.netns
def test_many_endpoints_are_probed_at_little_cost_and_a_death_is_soon_believed() -> None:
    endpoints = 200

    figures = measure_in_namespace(endpoints, window_s=1.0, deaths=20)

    assert figures.cpu_share < CPU_SLACK * 0.6 * endpoints / 1000
    assert figures.death_to_belief_s[0] > INTERVAL_S * (FALL - 1)
    assert figures.death_to_belief_s[-1] < DEATH_BOUND_S + DEATH_SLACK_S
