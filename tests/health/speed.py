"""What probing costs and how soon a death is believed: `python -m tests.health.speed`.

A thousand TCP listeners on 127.0.0.0/8 of a network namespace, each probed every 250 ms. The share
of a core is the probing thread's own time; on loopback that includes the endpoints' half of each
handshake, which on a network is theirs. Then some listeners die, half of them closed, half of them
silent, at times spread evenly; the time from a death to the belief is shown.
"""

import asyncio
import logging
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import structlog

from headrace.health import Checker
from headrace.model import Health, Probe, ProbePath, ProbeTarget
from tests.health.listeners import PORT, address_of, allow_many_files
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


async def measure(endpoints: int, window_s: float, deaths: int) -> Figures:
    """Probe for a while, then let some die."""
    allow_many_files()
    server = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.health.listeners", str(endpoints)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    await server.stdout.readline()
    checker = Checker(Paths())
    checker.set_targets(frozenset(target(number) for number in range(endpoints)))
    try:
        async with running(checker):
            await asyncio.sleep(4 * INTERVAL_S)  # by then each has passed once
            assert {belief.health for belief in checker.beliefs.values()} == {Health.UP}
            share = await cpu_share(window_s)
            died_s = {}
            for number in range(deaths):
                word = "silence" if number % 2 else "refuse"
                server.stdin.write(f"{word} {number}\n".encode())
                died_s[number] = float(await server.stdout.readline())
                await asyncio.sleep(DEATHS_EACH_S)
            async with asyncio.timeout(10):
                while any(checker.beliefs[target(n)].health is Health.UP for n in died_s):
                    await checker.wait()
    finally:
        server.stdin.close()
        await server.wait()
    beliefs = checker.beliefs
    assert sum(belief.health is Health.DOWN for belief in beliefs.values()) == deaths
    took = (beliefs[target(number)].since_s - at_s for number, at_s in died_s.items())
    return Figures(share, tuple(sorted(took)))


async def cpu_share(window_s: float) -> float:
    """The share of one core that this thread takes."""
    wall_s, own_s = time.monotonic(), thread_s()
    await asyncio.sleep(window_s)
    return (thread_s() - own_s) / (time.monotonic() - wall_s)


def measure_in_namespace(endpoints: int, window_s: float, deaths: int) -> Figures:
    """The same in a network of its own."""
    with namespaces("health") as (namespace,):
        return namespace.inside(lambda: asyncio.run(measure(endpoints, window_s, deaths)))


def main() -> int:
    """Write every figure beside its bound; 1 if one is above it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = measure_in_namespace(ENDPOINTS, 10.0, DEATHS)
    rows = (
        ("core while all live", figures.cpu_share * 100, CPU_BOUND * 100, "%"),
        ("death to belief, p99", figures.p99_s * 1000, DEATH_BOUND_S * 1000, "ms"),
        ("death to belief, worst", figures.death_to_belief_s[-1] * 1000, None, "ms"),
    )
    is_above = False
    title = f"{ENDPOINTS:,} endpoints, tcp every {INTERVAL_S * 1000:.0f} ms"
    for name, value, bound, unit in rows:
        remark = f"(at most {bound:.0f} {unit})" if bound is not None else ""
        remark += " MISSED" if bound is not None and value > bound else ""
        is_above |= "MISSED" in remark
        sys.stdout.write(f"{title}: {name:24}{value:8.1f} {unit:3} {remark}\n")
    return int(is_above)


if __name__ == "__main__":
    sys.exit(main())
