"""Targets, paths and waiting for the tests of health."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from headrace.health import Checker, ProbeWay
from headrace.model import Belief, Health, Probe, ProbePath, ProbeTarget

FAST = Probe(path=ProbePath.DIRECT, interval_s=0.02, timeout_s=0.2, rise=1, fall=1)
"""Believes each result, so that a test need not wait."""

PATIENCE_S = 10.0
"""What a test waits for comes within this even on a busy machine."""


@dataclass(slots=True)
class Paths:
    """Paths as a test wants them."""

    way: ProbeWay | None = None
    cause: str = ""
    asked: list[tuple[ProbeTarget, str]] = field(default_factory=list)

    def way_of(self, target: ProbeTarget) -> ProbeWay | None:
        return self.way

    def likely_cause(self, target: ProbeTarget, failure: str) -> str:
        self.asked.append((target, failure))
        return self.cause


def direct(port: int, probe: Probe = FAST, address: str = "127.0.0.1") -> ProbeTarget:
    """An endpoint on loopback, probed directly; the VIP is one that nobody has."""
    return ProbeTarget("pool", ip_address(address), ip_address("192.0.2.1"), port, probe)


def like(probe: Probe = FAST, **changes: object) -> Probe:
    """A probe that differs in this."""
    return replace(probe, **changes)  # type: ignore[arg-type]  # a test's own arguments


@contextlib.asynccontextmanager
async def running(checker: Checker) -> AsyncIterator[None]:
    """The checker at work for as long as the block runs."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(checker.run())
        try:
            yield
        finally:
            task.cancel()


async def believed(checker: Checker, target: ProbeTarget, *healths: Health) -> Belief:
    """What is believed of a target as soon as its health is one of these."""
    async with asyncio.timeout(PATIENCE_S):
        while checker.beliefs[target].health not in healths:
            await checker.wait()
    return checker.beliefs[target]


async def first_belief(target: ProbeTarget, paths: Paths | None = None) -> Belief:
    """What a checker of its own comes to believe first."""
    checker = Checker(paths or Paths())
    checker.set_targets(frozenset({target}))
    async with running(checker):
        return await believed(checker, target, Health.UP, Health.DOWN)


@contextlib.contextmanager
def listening(address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A TCP listener that accepts in the kernel only."""
    with socket.create_server((address, 0), backlog=128) as listener:
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def unused_port() -> int:
    """A port that refuses."""
    with listening() as listener:
        return port_of(listener)
