"""What issue 3 asks of the maps and of changes to them, each figure beside its bound.

`python -m tests.dataplane.prove` writes them; it needs root. The tests hold the same bounds, those
of time with slack for a busy machine.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.dataplane import Dataplane, detach_all, libbpf
from headrace.maglev import FlowHash, Table, build_table, change_down
from headrace.model import NextHop, Reach
from headrace.model import Path as Way
from tests.maglev.evenness import equal_pool
from tests.maglev.prove import Row

SEED = 0x5EED
SLOTS = 65_537
POOLS = 1024
ENDPOINTS = 1000
MEMORY_DEFAULT_MB, MEMORY_POOLS_MB = 25.0, 320.0
COLD_S = 5.0
HEALTH_CHANGE_MS = 3.0
CHANGES = 101

_HOP = NextHop(1, bytes(6), bytes(6))
_MTU = 1500
_STAMPS = 1 << 63


@contextmanager
def opened() -> Iterator[tuple[Dataplane, Path]]:
    """A data plane with nothing on it, and where its maps are pinned."""
    with TemporaryDirectory() as parent:
        directory = Path(parent) / "bpf"
        try:
            plane = Dataplane(directory)
            plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
            yield plane, directory
            plane.close()
        finally:
            detach_all(directory)


def memory_mb(directory: Path) -> float:
    """What all maps pinned there take of the kernel's memory, in 10^6 bytes."""
    return sum(_memory_bytes(pin) for pin in (directory / "maps").iterdir()) / 1e6


def put_endpoints(plane: Dataplane, table: Table) -> list[Reach]:
    """The endpoints of a table, as a data plane has them then."""
    source = IPv4Address("10.255.0.1")
    reaches = [Reach(each.address, source, each.address) for each in table.candidates]
    for reach in reaches:
        plane.put_endpoint(reach, Way(source, reach.endpoint, _HOP, _MTU))
    return reaches


def put_pools(plane: Dataplane, count: int, *, endpoints: int = ENDPOINTS) -> float:
    """Make room for so many pools, then build and write them; in seconds of processor time.

    Each has the same `endpoints`, as many as that, and a table of its own.
    """
    candidates = equal_pool(endpoints)
    reaches = put_endpoints(plane, build_table(SEED, candidates, SLOTS))
    started = time.process_time()
    plane.reserve([SLOTS] * count)
    for number in range(count):
        table = build_table(SEED + number, candidates, SLOTS)
        plane.put_pool(f"pool{number}", reaches, table.owners, table.digest % _STAMPS)
    return time.process_time() - started


def fall(plane: Dataplane, count: int, *, endpoints: int = ENDPOINTS) -> None:
    """Let the first endpoint of `put_pools` fall in the first so many pools."""
    table = build_table(SEED, equal_pool(endpoints), SLOTS)
    reaches = put_endpoints(plane, table)
    down = frozenset({reaches[0].endpoint})
    plane.set_down(down)
    for number in range(count):
        changed = change_down(build_table(SEED + number, equal_pool(endpoints), SLOTS), down)
        plane.put_pool(f"pool{number}", reaches, changed.owners, changed.digest % _STAMPS)


def health_changes_ms(plane: Dataplane, pool: str, changes: int = CHANGES) -> list[float]:
    """What it takes until packets go by another table, when endpoints fall one by one.

    Of processor time, so that a busy machine tells nearly the same as an idle one.
    """
    table = build_table(SEED, equal_pool(ENDPOINTS), SLOTS)
    reaches = put_endpoints(plane, table)
    plane.put_pool(pool, reaches, table.owners, table.digest % _STAMPS)
    return [_change_ms(plane, pool, table, reaches, number) for number in range(changes)]


def _change_ms(
    plane: Dataplane, pool: str, table: Table, reaches: Sequence[Reach], number: int
) -> float:
    started = time.process_time()
    down = frozenset({reaches[number].endpoint})
    plane.set_down(down)
    changed = change_down(table, down)
    plane.put_pool(pool, reaches, changed.owners, changed.digest % _STAMPS)
    return (time.process_time() - started) * 1000


def _memory_bytes(pin: Path) -> int:
    fd = libbpf.open_pin(pin)
    try:
        told = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("memlock"))


def rows() -> Iterator[Row]:
    """Every figure."""
    size = f"{SLOTS:,} slots, {ENDPOINTS:,} endpoints"
    with opened() as (plane, directory):
        yield Row("all maps, nothing configured", memory_mb(directory), MEMORY_DEFAULT_MB, "MB")
        taken_ms = statistics.median(health_changes_ms(plane, "web"))
        yield Row(f"one endpoint falls, {size}", taken_ms, HEALTH_CHANGE_MS, "ms")
    with opened() as (plane, directory):
        taken_s = put_pools(plane, POOLS)
        yield Row(f"{POOLS:,} pools built and written, {size}", taken_s, COLD_S, "s")
        yield Row(f"all maps, {POOLS:,} pools", memory_mb(directory), MEMORY_POOLS_MB, "MB")
        taken_ms = statistics.median(health_changes_ms(plane, "pool0"))
        yield Row(f"one endpoint falls, {size}, {POOLS:,} pools", taken_ms, HEALTH_CHANGE_MS, "ms")
        yield Row(
            f"all maps, {POOLS:,} pools, after {CHANGES} changes in a row",
            memory_mb(directory),
            MEMORY_POOLS_MB,
            "MB",
        )


def main() -> int:
    """Write every figure beside its bound to standard output; 1 if one is broken."""
    broken = 0
    for row in rows():
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        broken += not row.holds
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
