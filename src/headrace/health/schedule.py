"""When to ask. Pure.

Each target is asked at the instants of its own grid, one interval apart. A try that outlasts its
interval is followed by the next instant of the grid, so it counts once and the spread over the
interval stays.
"""

from math import floor

LIMIT_STRETCH = 8
"""The long dead are asked this many times more seldom: cheap, and still soon found alive."""

LIMIT_STRETCHED_S = 60.0
"""An interval is not stretched beyond this: nobody waits longer for an endpoint's return."""

FAILURES_BEFORE_STRETCH = 30
"""After so many failures beyond those that meant down, and again after as many, it doubles."""

_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, fill an interval evenly however many there are."""


def start_s(number: int, interval_s: float, phase: float) -> float:
    """How long the target of this number waits for its first try; less than an interval.

    `phase`, 0..1, is one node's own, so that nodes do not ask at the same instants.
    """
    return (phase + number * _GOLDEN) % 1.0 * interval_s


def stretch(interval_s: float, failures: int, fall: int) -> int:
    """How many intervals apart the tries are after so many failures in a row."""
    doublings = max(0, failures - fall) // FAILURES_BEFORE_STRETCH
    longest = min(LIMIT_STRETCH, max(1, floor(LIMIT_STRETCHED_S / interval_s)))
    return int(min(longest, 1 << min(doublings, LIMIT_STRETCH)))


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """The first instant after `now_s` and after `due_s`, the instant the last try was due."""
    count = max(1, floor((now_s - due_s) / interval_s) + 1)
    following_s = due_s + count * interval_s
    return following_s if following_s > now_s else following_s + interval_s
