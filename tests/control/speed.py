"""From a belief to the data plane, with 1,000 endpoints: `python -m tests.control.speed`.

Wall-clock time, since a packet waits no less while the processor does something else. The data
plane is real, on a device of a network namespace.
"""

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from headrace.control import Controller, World
from headrace.dataplane import Dataplane, detach_all
from headrace.model import Document, Health, Port, Reach, parse_document
from tests.underlay.network import Namespace, namespaces

from .fakes import FakeChecker, FakeProbePaths, FakeSpeaker, FakeStore, FakeUnderlay, Journal

DEVICE = "port"
LIMIT_MS = 50.0
ENDPOINTS = 1000
TABLES = 2  # that name an endpoint
CHANGES = 300


class TimedDataplane(Dataplane):
    """Notes when a table was written."""

    written_s: float = 0.0
    written: int = 0

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        super().put_pool(name, reaches, owners, stamp)
        self.written_s = time.perf_counter()
        self.written += 1


class OneDevice(FakeUnderlay):
    """Has one device to attach to, which is there."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index

    async def ports(self, names: Sequence[str] | None) -> list[Port]:
        return [Port(DEVICE, self._index, (bytes(6),))]


def document() -> Document:
    """Ten pools of a hundred checked endpoints and one of all, a service each."""
    lines = ["services:"]
    lines += [
        f"- {{vip: 20.20.20.1, protocol: tcp, port: {80 + n}, announce: true, pool: p{n}}}"
        for n in range(11)
    ]
    lines += ["pools:"]
    for n in range(11):
        numbers = range(ENDPOINTS) if n == 10 else range(100 * n, 100 * n + 100)
        endpoints = ", ".join(f"{{address: 10.1.{i >> 8}.{i & 255}}}" for i in numbers if i & 255)
        lines.append(f"  p{n}: {{health: {{interval_s: 0.25}}, endpoints: [{endpoints}]}}")
    return parse_document("\n".join(lines))


async def measure(directory: Path, device_index: int) -> list[float]:
    """How long each of many changes of one endpoint's belief took, in ms."""
    found = document()
    dataplane, checker = TimedDataplane(directory), FakeChecker()
    speaker = FakeSpeaker(Journal())
    underlay = OneDevice(device_index)
    world = World(FakeStore(), dataplane, underlay, speaker, checker, FakeProbePaths())
    controller = Controller(world, found, 1)
    addresses = sorted({str(e.address) for e in found.pools["p10"].endpoints})
    draw = random.Random(1)
    took = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(controller.run())
        while not controller.status().services[0].forwarding:
            await asyncio.sleep(0.05)
        checker.believe(Health.UP)
        await asyncio.sleep(0.5)
        for _ in range(CHANGES):
            address = draw.choice(addresses)
            for health in (Health.DOWN, Health.UP):
                expected = dataplane.written + TABLES
                begin_s = time.perf_counter()
                checker.believe(health, address)
                while dataplane.written < expected:
                    await asyncio.sleep(0)
                took.append(1000 * (dataplane.written_s - begin_s))
        task.cancel()
    dataplane.close()
    return took


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all does not exceed."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def measured() -> list[float]:
    """The figures, by a data plane and a network of their own."""
    with namespaces("control") as (namespace,):
        namespace.ip(f"link add {DEVICE} type veth peer name far")
        return namespace.inside(lambda: _measured(namespace))


def _measured(namespace: Namespace) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "bpf"
        try:
            return asyncio.run(measure(directory, namespace.index(DEVICE)))
        finally:
            detach_all(directory)


def main() -> int:
    """Write the figures; 1 if the 99th percentile is above its limit."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    took = measured()
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    sys.stdout.write(
        f"belief to data plane, {ENDPOINTS} endpoints, {len(took)} changes: "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms (at most {LIMIT_MS:g} ms), max {max(took):.1f} ms\n"
    )
    return int(p99 > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
