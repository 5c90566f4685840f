"""What a scrape of a large node takes: `python -m tests.metrics.speed`."""

import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address

from headrace.metrics import read_process, render
from headrace.model import Count, Document, Endpoint, Health, Protocol, Service
from tests.metrics.node import Node

LIMIT_MS = 100.0
SERVICES = 1_000
ENDPOINTS = 10  # of each service, none of them another's
RUNS = 9


def large_node() -> Node:
    """Services with endpoints of their own, all of them checked and up."""
    services = []
    for number in range(SERVICES):
        first = int(ip_address("10.0.0.1")) + number * ENDPOINTS
        addresses = (ip_address(first + n) for n in range(ENDPOINTS))
        services.append(
            Service(
                name=f"service-{number}",
                vip=ip_address(int(ip_address("192.0.2.1")) + number),
                protocol=Protocol.TCP,
                port=443,
                announce=True,
                endpoints=tuple(Endpoint(address=address) for address in addresses),
            )
        )
    document = Document(services=tuple(services))
    endpoints = [(s, e.address) for s in services for e in s.endpoints or ()]
    return Node(
        document,
        received={service.label: Count(10**12, 10**15) for service in services},
        sent={
            (address, document.pool_of(service).encapsulation): Count(10**11, 10**14)
            for service, address in endpoints
        },
        healths={address: Health.UP for _, address in endpoints},
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of each scrape, ascending, and the text of the last."""

    cpu_ms: list[float]  # what it costs: other work on the machine does not count
    wall_ms: list[float]  # what the daemon's loop stands still for
    text: bytes


def measured() -> Figures:
    """Scrape a large node some times."""
    node = large_node()
    status = node.status()
    cpu_ms, wall_ms, text = [], [], b""
    for _ in range(RUNS):
        cpu, wall = time.thread_time(), time.perf_counter()
        text = render(status, node.document, read_process())
        cpu_ms.append((time.thread_time() - cpu) * 1000)
        wall_ms.append((time.perf_counter() - wall) * 1000)
    return Figures(sorted(cpu_ms), sorted(wall_ms), text)


def main() -> None:
    """Show the figures beside the bound."""
    figures = measured()
    samples = sum(not line.startswith(b"#") for line in figures.text.splitlines())
    cpu_ms, wall_ms = figures.cpu_ms[RUNS // 2], figures.wall_ms[RUNS // 2]
    sys.stdout.write(
        f"{SERVICES} services x {ENDPOINTS} endpoints: {samples} samples, "
        f"{len(figures.text) / 1e6:.1f} MB; median {cpu_ms:.0f} ms of processor, "
        f"{wall_ms:.0f} ms by the clock (best {figures.wall_ms[0]:.0f}), "
        f"to be at most {LIMIT_MS:g} ms\n"
    )


if __name__ == "__main__":
    main()
