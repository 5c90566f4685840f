"""How long tables take, against what issue 3 asks: `python -m tests.maglev.speed`.

Medians of processor time, so that a busy machine tells nearly the same as an idle one.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from headrace.maglev import (
    SLOTS_PER_LINE,
    build_table,
    change_down,
    label,
    settle,
    statics,
    transition,
)
from tests.maglev.evenness import equal_pool


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing to measure, and the most it may take."""

    name: str
    work: Callable[[], object]
    limit_ms: float | None = None
    repeats: int = 21

    def median_ms(self) -> float:
        """What it takes, at the median."""
        return statistics.median(self._once_ms() for _ in range(self.repeats))

    def _once_ms(self) -> float:
        start = time.process_time()
        self.work()
        return (time.process_time() - start) * 1000


def figures(slot_count: int, count: int, build_limit_ms: float) -> list[Figure]:
    """What a pool of so many endpoints costs."""
    pool = equal_pool(count)
    table = build_table(1, pool, slot_count)
    addresses = [candidate.address for candidate in pool]
    change_limit_ms = 3.0 if count <= 1000 else None
    size = f"{slot_count:,} slots, {count:,} endpoints"
    return [
        Figure(f"{size}: build", lambda: build_table(1, pool, slot_count), build_limit_ms),
        Figure(f"{size}: 1 down", lambda: change_down(table, addresses[:1]), change_limit_ms),
        Figure(f"{size}: half down", lambda: change_down(table, addresses[::2]), repeats=5),
        Figure(f"{size}: 99 % down", lambda: change_down(table, addresses[1:-40]), repeats=5),
        Figure(f"{size}: all but 1 down", lambda: change_down(table, addresses[1:]), repeats=3),
        Figure(f"{size}: statics", lambda: statics(table), repeats=5),
    ]


def word_figures(slot_count: int, count: int) -> list[Figure]:
    """What the slot words of a pool cost when one of its endpoints goes down."""
    table = build_table(1, equal_pool(count), slot_count)
    labels = range(count)
    down = [table.candidates[0].address]
    words = label(table.owners, labels)
    owners = label(change_down(table, down).owners, labels)
    lines = range(slot_count // SLOTS_PER_LINE)

    def health_change() -> None:
        transition(words, label(change_down(table, down).owners, labels), {0})

    size = f"{slot_count:,} slots, {count:,} endpoints"
    return [
        Figure(f"{size}: words of a change", lambda: transition(words, owners, {0}), 0.3),
        Figure(f"{size}: settle every line", lambda: settle(words, lines)),
        Figure(f"{size}: 1 down, with its words", health_change, 3.0),
    ]


def all_figures() -> list[Figure]:
    """Every figure, those with a limit among them."""
    sizes = ((65_537, 1000, 2.5), (65_537, 4000, 4.0), (655_373, 4000, 25.0))
    tables = [figure for size in sizes for figure in figures(*size)]
    return [*tables, *word_figures(65_537, 1000)]


def main() -> int:
    """Write every figure to standard output; 1 if one is above its limit."""
    is_slow = False
    for figure in all_figures():
        took_ms = figure.median_ms()
        is_above = figure.limit_ms is not None and took_ms > figure.limit_ms
        limit = f"(at most {figure.limit_ms} ms)" if figure.limit_ms is not None else ""
        remark = "TOO SLOW" if is_above else ""
        sys.stdout.write(f"{figure.name:52}{took_ms:9.2f} ms {limit} {remark}\n")
        is_slow |= is_above
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main())
