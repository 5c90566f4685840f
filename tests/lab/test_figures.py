"""A figure is told beside its bound, the worst of all runs, and fails when it misses it."""

from io import StringIO

import pytest
from rich.console import Console

from headrace.lab.claims import ClaimView
from headrace.lab.proofs.figures import Bound, Figures, quantile, shown

FAST = Bound("it is fast", 0.1)
WAITS = Bound("it waits", 4.0, least_s=3.0)


def told(bound: Bound, values_s: list[float]) -> tuple[bool, str]:
    out = StringIO()
    view = ClaimView(Console(file=out, width=120))
    figures = Figures(view)
    figures.add(bound, "here", values_s)
    figures.tell()
    return view.all_held, out.getvalue()


@pytest.mark.parametrize(
    ("bound", "values_s", "held", "text"),
    [
        pytest.param(
            FAST,
            [0.03, 0.1],
            True,
            "it is fast (here): <= 100 ms: 100 ms, the worst of 2; median 100 ms",
            id="at",
        ),
        pytest.param(FAST, [0.11, 0.02], False, "110 ms, the worst of 2", id="one run too slow"),
        pytest.param(
            WAITS,
            [3.5, 3.0],
            True,
            "3.00 s to 4.00 s: 3.50 s, the worst of 2; median 3.50 s; least 3.00 s",
            id="in between",
        ),
        pytest.param(WAITS, [2.9, 3.5], False, "least 2.90 s", id="one run too early"),
    ],
)
def test_a_bound_holds_for_the_worst_of_all_runs(
    bound: Bound, values_s: list[float], text: str, *, held: bool
) -> None:
    assert told(bound, values_s)[0] is held
    assert text in told(bound, values_s)[1]


def test_what_was_told_is_not_told_again() -> None:
    out = StringIO()
    figures = Figures(ClaimView(Console(file=out, width=120)))
    figures.add(FAST, "here", [0.5])
    figures.tell()
    out.truncate(0)

    figures.tell()

    assert "fast" not in out.getvalue()


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile(range(100), 0.99) == 99
    assert quantile([3.0], 0.5) == 3.0


def test_times_are_shown_as_people_read_them() -> None:
    assert [shown(value) for value in (0.0042, 1.5, 3.0)] == ["4 ms", "1500 ms", "3.00 s"]
