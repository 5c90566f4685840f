"""What tables cost, loosely; `python -m tests.maglev.prove` measures against the bounds."""

import sys

from tests.maglev.speed import all_figures

SLACK = 5
"""A machine under other load, or a slower one, fails no test; a slower algorithm does."""


def test_tables_and_their_changes_take_milliseconds() -> None:
    took = [(each, each.median_ms()) for each in all_figures() if each.limit_ms is not None]

    for figure, took_ms in took:
        sys.stdout.write(f"{figure.name}: {took_ms:.2f} ms, to be at most {figure.limit_ms} ms\n")
    assert len(took) == 6
    assert [(f.name, ms) for f, ms in took if ms > SLACK * (f.limit_ms or 0)] == []
