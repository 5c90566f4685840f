"""What probing through the tunnel costs, and how soon a death is believed: as tests.health.speed.

A thousand endpoints are addresses of one namespace, which unwraps what the load balancer's sends it
and accepts at the VIP. One dies as a machine does: nothing unwraps what comes to its address. The
share of a core is the probing thread's, wrapping included, and that of the kernel's thread that
takes the answers in; the endpoints' half is another thread's.
"""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory

import structlog

from headrace.daemon.probing import Key, TunnelPaths
from headrace.dataplane import Decapsulation, Decapsulator, detach_all
from headrace.lab.offloads import set_offloads
from headrace.model import Encapsulation, NextHop, Path, Port, Probe, ProbeTarget
from tests.health.listeners import PORT
from tests.health.speed import (
    DEATHS,
    ENDPOINTS,
    FALL,
    INTERVAL_S,
    TIMEOUT_S,
    Figures,
    listeners,
    measure,
    tell,
)
from tests.underlay.network import Namespace, connect, namespaces

VIP = ip_address("20.20.20.1")
BALANCER, FAR, CABLE = ip_address("10.1.0.1"), ip_address("10.1.0.2"), "10.1.0.0/24"
ENDPOINTS_PREFIX = ip_network("10.2.0.0/20")
GUE_PORT = 6080
MTU_BYTES = 1500
AT_ONCE = 10  # endpoints that die together


def address_of(number: int) -> IPv4Address:
    """The address of an endpoint."""
    return IPv4Address("10.2.0.1") + number


class Endpoints:
    """The addresses that one namespace unwraps packets to."""

    def __init__(self, program: Decapsulator, count: int) -> None:
        self._program, self._alive = program, {address_of(number) for number in range(count)}
        self._died_s = 0.0
        self._configure()

    async def kill(self, number: int) -> float:
        """One's tunnel is gone; since when. Those of the next few go with it: it takes 50 ms."""
        if number % AT_ONCE == 0:
            self._alive -= {address_of(each) for each in range(number, number + AT_ONCE)}
            await asyncio.to_thread(self._configure)
            self._died_s = time.monotonic()
        return self._died_s

    def _configure(self) -> None:
        balancers, vips = frozenset({ip_network(CABLE)}), frozenset({ip_network(VIP)})
        self._program.configure(Decapsulation(balancers, frozenset(self._alive), vips, GUE_PORT))


@dataclass(frozen=True, slots=True)
class Site:
    """The two namespaces, the program of the endpoints', and the load balancer's receiver."""

    lb: Namespace
    far: Namespace
    program: Decapsulator
    receiver: int  # the process id of a kernel thread


@contextmanager
def site(pins: FilePath) -> Iterator[Site]:
    """A cable between the load balancer's namespace and the endpoints'."""
    with ExitStack() as stack:
        lb, far = stack.enter_context(namespaces("lb", "far"))
        connect(lb, "p0", far, "p0")
        lb.ip(f"addr add {BALANCER}/24 dev p0")
        far.ip(f"addr add {FAR}/24 dev p0")
        lb.ip(f"route add {ENDPOINTS_PREFIX} via {FAR}")
        far.ip(f"addr add {VIP} dev lo")
        for namespace in (lb, far):
            namespace.inside(lambda: set_offloads("p0", gro=True))
        stack.callback(detach_all, pins)
        program = stack.enter_context(closing(Decapsulator(pins)))
        port = Port("p0", far.index("p0"), (far.mac("p0"),))
        far.inside(lambda: program.attach([port]))
        receive_by_thread(far)
        yield Site(lb, far, program, receive_by_thread(lb))


def receive_by_thread(namespace: Namespace) -> int:
    """Have a kernel thread of its own take in what comes to p0; its process id.

    Else whoever sends does that, too: no processor time could be told from another.
    """
    before = _receivers()
    write = "echo 1 >/sys/class/net/p0/threaded"
    subprocess.run(["ip", "netns", "exec", namespace.name, "sh", "-c", write], check=True)
    (found,) = _receivers() - before
    return found


def _receivers() -> set[int]:
    """The kernel threads that take in what comes to interfaces."""
    found = set()
    for comm in FilePath("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended meanwhile
            if comm.read_text().startswith("napi/p0-"):
                found.add(int(comm.parent.name))
    return found


def measure_in_namespace(endpoints: int, window_s: float, deaths: int) -> Figures:
    """The figures of so many endpoints."""
    with TemporaryDirectory() as folder, site(FilePath(folder) / "pins") as made:
        lb, far = made.lb, made.far
        crowd = Endpoints(made.program, endpoints)
        hop = NextHop(lb.index("p0"), lb.mac("p0"), far.mac("p0"))
        paths: dict[Key, Path] = {
            (address_of(number), Encapsulation.IPIP): Path(
                BALANCER, address_of(number), hop, MTU_BYTES, Encapsulation.IPIP
            )
            for number in range(endpoints)
        }
        check = Probe(interval_s=INTERVAL_S, timeout_s=TIMEOUT_S, rise=1, fall=FALL)
        targets = [
            ProbeTarget("speed", address, VIP, PORT, check, encapsulation)
            for address, encapsulation in paths
        ]

        async def probe() -> Figures:
            with closing(TunnelPaths("speed", lambda: GUE_PORT)) as tunnel:
                await tunnel.set_paths(paths, frozenset({VIP}))
                return await measure(
                    targets,
                    tunnel,
                    crowd.kill,
                    window_s=window_s,
                    deaths=deaths,
                    receiver=made.receiver,
                )

        async def serve_and_probe() -> Figures:
            async with far.inside(lambda: listeners(1, first=VIP)):
                return await asyncio.to_thread(lambda: lb.inside(lambda: asyncio.run(probe())))

        return far.inside(lambda: asyncio.run(serve_and_probe()))


def main() -> int:
    """Measure; 1 if a figure is above its bound."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures = measure_in_namespace(ENDPOINTS, 10.0, DEATHS)
    return int(not tell(f"{ENDPOINTS:,} endpoints, tcp through the tunnel", figures))


if __name__ == "__main__":
    sys.exit(main())
