"""What issue 3 asks of the lookup table, each figure beside its bound.

`python -m tests.maglev.prove` writes them. The tests hold the same laws with fewer cases; here are
all of them, in two minutes. A number as argument tries so many random sets of failures instead of
100,000.
"""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from headrace.maglev import Candidate, Table, build_table, change_down, imbalance, oracle, statics
from headrace.model.errors import ConfigError
from tests.maglev.evenness import (
    equal_pool,
    every_view,
    largest_deviation,
    needless_of,
    random_moves,
    random_pool,
)
from tests.maglev.speed import all_figures
from tests.maglev.vectors import GOLDEN, TABLE_CASES, golden_table, text_of

FAILURE_SETS = 100_000
POOLS = 200
SEEDS = (0, 1, 2**63, 2**64 - 1)
TABLE_OF_WEIGHTS = (
    "from tests.maglev.prove import fingerprint, weighted; print(fingerprint(weighted()))"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and the most it may be."""

    name: str
    value: float
    bound: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        """The figure, the bound, and whether it holds, on one line."""
        remark = "" if self.holds else "  BROKEN"
        return f"{self.name:76}{self.value:12,.6g} <= {self.bound:<8,.5g}{self.unit}{remark}"


def speed() -> Iterator[Row]:
    """How long tables take, in milliseconds of processor time at the median."""
    for figure in all_figures():
        if figure.limit_ms is not None:
            yield Row(figure.name, figure.median_ms(), figure.limit_ms, "ms")


def nobody_else_moves(failure_sets: int) -> Iterator[Row]:
    """Slots that failures move though neither end of the move failed or returned."""
    moves = list(random_moves(3, failure_sets))
    needless = sum(moved.needless for moved in moves)
    yield Row(f"slots moved needlessly by {len(moves):,} random failure sets", needless, 0)
    table = build_table(5, equal_pool(14), 1021)
    needless = sum(needless_of(table, view) for view in every_view(table))
    yield Row("slots moved needlessly by each of 16,384 failure sets of 14", needless, 0)


def evenness() -> Iterator[Row]:
    """The busiest endpoint over the mean, among 100 equal ones and 65,537 slots."""
    tables = [build_table(seed, equal_pool(100), 65_537) for seed in SEEDS]
    yield Row("max/mean, 100 healthy", max(map(imbalance, tables)), 1.001)
    yield Row("max/mean, each one of 100 down", _worst(tables, 1, 100), 1.01)
    yield Row("max/mean, 10 of 100 down, 1,000 sets", _worst(tables, 10, 250), 1.04)


def weights() -> Iterator[Row]:
    """Shares by weight, and who would have none."""
    chance = random.Random(4)
    deviations, without, refused = [], 0, 0
    for _ in range(POOLS):
        pool = [
            replace(each, weight=chance.randint(1, 256), drained=False)
            for each in random_pool(chance)
        ]
        try:
            table = build_table(chance.getrandbits(64), pool, chance.choice([251, 1021, 65_537]))
        except ConfigError:
            refused += 1
            continue
        deviations.append(largest_deviation(table))
        without += len(pool) - len(set(table.owners))
    yield Row(
        f"slots off the exact share, {len(deviations)} pools of random weights", max(deviations), 1
    )
    yield Row(f"endpoints without a slot there ({refused} more pools were refused)", without, 0)


def one_answer() -> Iterator[Row]:
    """Tables that differ where they must not."""
    table = weighted()
    chance = random.Random(6)
    differing = 0
    for _ in range(POOLS):
        pool = list(table.candidates)
        chance.shuffle(pool)
        differing += fingerprint(build_table(table.seed, pool, table.slot_count)) != fingerprint(
            table
        )
    yield Row(f"other bytes from {POOLS} other orders", differing, 0)
    down = [each.address for each in table.candidates if each.down]
    differing = 0
    for _ in range(POOLS):
        other = change_down(table, [each.address for each in chance.sample(table.candidates, 30)])
        differing += fingerprint(change_down(other, down)) != fingerprint(table)
    yield Row(f"other bytes after {POOLS} histories", differing, 0)
    differing = sum(in_another_process(hash_seed) != fingerprint(table) for hash_seed in "0123")
    yield Row("other bytes in 4 processes with other hash seeds of Python's", differing, 0)


def agreement() -> Iterator[Row]:
    """The C kernel against the reference in Python, and both against what was kept."""
    chance = random.Random(8)
    differing = 0
    for _ in range(POOLS):
        seed = chance.getrandbits(64)
        table = build_table(seed, random_pool(chance), 251)
        down = chance.sample(table.candidates, chance.randint(0, len(table.candidates)))
        table = change_down(table, [each.address for each in down])
        base = oracle.base_owners(seed, table.records, 251)
        differing += (table.base, table.owners, statics(table)) != (
            base,
            oracle.owners(seed, table.records, base),
            oracle.statics(seed, table.records, base),
        )
    yield Row(f"tables that C and Python disagree on, of {POOLS}", differing, 0)
    differing = sum(
        text_of(golden_table(case)) != (GOLDEN / f"{case.name}.json").read_text()
        for case in TABLE_CASES
    )
    yield Row(f"golden files that changed, of {len(TABLE_CASES)}", differing, 0)


def weighted() -> Table:
    """A table with all that can make a difference: weights, drains, failures, both families."""
    pool = [
        Candidate(
            ip_address(0x0A000001 + i if i % 3 else 2**125 + i),
            i % 5,
            drained=i % 11 == 0,
            down=i % 13 == 0,
        )
        for i in range(100)
    ]
    return build_table(0x0123_4567_89AB_CDEF, pool, 4093)


def fingerprint(table: Table) -> str:
    """All bytes of a table, in short."""
    content = table.base.tobytes() + table.owners.tobytes() + statics(table).tobytes()
    return hashlib.sha256(content + table.records + table.digest.to_bytes(8)).hexdigest()


def _worst(tables: list[Table], down: int, sets: int) -> float:
    """The worst evenness with so many down: each endpoint by itself, or random sets."""
    chance = random.Random(down)
    worst = 0.0
    for table in tables:
        for index in range(sets):
            failed = (
                [table.candidates[index]] if down == 1 else chance.sample(table.candidates, down)
            )
            worst = max(worst, imbalance(change_down(table, [each.address for each in failed])))
    return worst


def in_another_process(hash_seed: str) -> str:
    """The fingerprint of the same table, built by a Python that hashes strings otherwise."""
    return subprocess.run(
        [sys.executable, "-c", TABLE_OF_WEIGHTS],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def rows(failure_sets: int) -> Iterator[Row]:
    """Every figure."""
    yield from speed()
    yield from nobody_else_moves(failure_sets)
    yield from evenness()
    yield from weights()
    yield from one_answer()
    yield from agreement()


def main() -> int:
    """Write every figure beside its bound to standard output; 1 if one is broken."""
    failure_sets = int(sys.argv[1]) if len(sys.argv) > 1 else FAILURE_SETS
    broken = 0
    for row in rows(failure_sets):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        broken += not row.holds
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
