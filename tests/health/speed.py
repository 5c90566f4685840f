"""What probing costs and how soon a death is believed: `python -m tests.health.speed`.

A thousand TCP listeners on 127.0.0.0/8 of a network namespace, each probed every 250 ms. The share
of a core is the probing thread's own time; on loopback that includes the endpoints' half of each
handshake, which on a network is theirs. Then some listeners die, half of them closed, half of them
silent, at times spread evenly; the time from a death to the belief is shown.
"""

import asyncio
import logging
import os
import resource
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from headrace.health import Checker, ProbeWays
from headrace.model import Health, IPAddress, Probe, ProbePath, ProbeTarget
from tests.health.listeners import FIRST, PORT, address_of, allow_many_files
from tests.health.support import Paths, running
from tests.underlay.network import namespaces

ENDPOINTS = 1000
INTERVAL_S = 0.25
TIMEOUT_S = 0.1
FALL = 3
CPU_BOUND = 0.60
DEATH_BOUND_S = 1.0
DEATHS = 200
DEATHS_EACH_S = 0.03
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    cpu_share: float
    death_to_belief_s: tuple[float, ...]  # ascending

    @property
    def p99_s(self) -> float:
        return self.death_to_belief_s[int(len(self.death_to_belief_s) * 0.99) - 1]


def target(number: int) -> ProbeTarget:
    probe = Probe(
        path=ProbePath.DIRECT, interval_s=INTERVAL_S, timeout_s=TIMEOUT_S, rise=1, fall=FALL
    )
    address = address_of(number)
    return ProbeTarget("speed", address, address, PORT, probe)


def thread_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_utime + usage.ru_stime


@asynccontextmanager
async def listeners(count: int, *, first: IPAddress = FIRST) -> AsyncIterator[Process]:
    """TCP listeners at so many addresses, for as long as the block runs."""
    allow_many_files()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.health.listeners", str(count), str(first)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    await process.stdout.readline()
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def measure(
    targets: Sequence[ProbeTarget],
    paths: ProbeWays,
    kill: Callable[[int], Awaitable[float]],
    *,
    window_s: float,
    deaths: int,
    receiver: int | None = None,
) -> Figures:
    """Probe for a while, then let some die; `kill` ends one and says at which monotonic time.

    `receiver` is the process id of the kernel's thread that takes the answers in, if one does.
    """
    checker = Checker(paths)
    checker.set_targets(frozenset(targets))
    async with running(checker):
        async with asyncio.timeout(PATIENCE_S):
            while any(belief.health is not Health.UP for belief in checker.beliefs.values()):
                await checker.wait()
        share = await cpu_share(window_s, receiver)
        died_s = {}
        for number in range(deaths):
            died_s[number] = await kill(number)
            await asyncio.sleep(DEATHS_EACH_S)
        async with asyncio.timeout(PATIENCE_S):
            while any(checker.beliefs[targets[n]].health is Health.UP for n in died_s):
                await checker.wait()
    beliefs = checker.beliefs
    assert sum(belief.health is Health.DOWN for belief in beliefs.values()) == deaths
    took = (beliefs[targets[number]].since_s - at_s for number, at_s in died_s.items())
    return Figures(share, tuple(sorted(took)))


async def measure_direct(endpoints: int, window_s: float, deaths: int) -> Figures:
    """Endpoints at addresses of loopback, asked there."""
    async with listeners(endpoints) as process:

        async def kill(number: int) -> float:
            assert process.stdin
            assert process.stdout
            word = "silence" if number % 2 else "refuse"
            process.stdin.write(f"{word} {number}\n".encode())
            return float(await process.stdout.readline())

        targets = [target(number) for number in range(endpoints)]
        return await measure(targets, Paths(), kill, window_s=window_s, deaths=deaths)


async def cpu_share(window_s: float, receiver: int | None) -> float:
    """The share of one core that this thread takes, and the receiver."""
    wall_s, own_s = time.monotonic(), thread_s() + kernel_thread_s(receiver)
    await asyncio.sleep(window_s)
    taken_s = thread_s() + kernel_thread_s(receiver) - own_s
    return taken_s / (time.monotonic() - wall_s)


def kernel_thread_s(pid: int | None) -> float:
    """The processor time of a thread of the kernel."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime


def measure_in_namespace(endpoints: int, window_s: float, deaths: int) -> Figures:
    """The same in a network of its own."""
    with namespaces("health") as (namespace,):
        return namespace.inside(lambda: asyncio.run(measure_direct(endpoints, window_s, deaths)))


def tell(title: str, figures: Figures) -> bool:
    """Write every figure beside its bound; whether all are within."""
    rows = (
        ("core while all live", figures.cpu_share * 100, CPU_BOUND * 100, "%"),
        ("death to belief, p99", figures.p99_s * 1000, DEATH_BOUND_S * 1000, "ms"),
        ("death to belief, worst", figures.death_to_belief_s[-1] * 1000, None, "ms"),
    )
    is_within = True
    for name, value, bound, unit in rows:
        remark = f"(at most {bound:.0f} {unit})" if bound is not None else ""
        remark += " MISSED" if bound is not None and value > bound else ""
        is_within &= "MISSED" not in remark
        sys.stdout.write(f"{title}: {name:24}{value:8.1f} {unit:3} {remark}\n")
    return is_within


def main() -> int:
    """Measure; 1 if a figure is above its bound."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = measure_in_namespace(ENDPOINTS, 10.0, DEATHS)
    title = f"{ENDPOINTS:,} endpoints, tcp every {INTERVAL_S * 1000:.0f} ms"
    return int(not tell(title, figures))


if __name__ == "__main__":
    sys.exit(main())
