"""A load balancer, a router and endpoints in namespaces: what probes through the tunnel need."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path as FilePath
from typing import TypeVar

from headrace.daemon.probing import TunnelPaths
from headrace.dataplane import Decapsulation, Decapsulator, detach_all
from headrace.health import ProbeWay
from headrace.lab.offloads import set_offloads
from headrace.model import (
    Encapsulation,
    IPAddress,
    NextHop,
    Path,
    Port,
    Probe,
    ProbeKind,
    ProbeTarget,
)
from tests.underlay.network import Namespace, connect, namespaces

IPIP, GUE, L2 = Encapsulation.IPIP, Encapsulation.GUE, Encapsulation.L2
VIP = {4: ip_address("20.20.20.1"), 6: ip_address("fd20::1")}
OWN = {4: ip_address("10.1.0.1"), 6: ip_address("fd01::1")}
PORT = 8080
GUE_PORT = 6080
MTU = 1500
ANSWER_S = 0.4
"""For a probe: its first packet, and none repeated."""

DIRECT_S = 0.1
"""For an endpoint that is alive to answer at its own address."""

T = TypeVar("T")
Paths = Mapping[tuple[IPAddress, Encapsulation], Path]


@dataclass
class Endpoint:
    """A server of both VIPs behind a router, or on the load balancer's own network."""

    namespace: Namespace
    number: int
    program: Decapsulator | None = None
    servers: list[socket.socket] = field(default_factory=list)

    def address(self, family: int) -> IPAddress:
        return ip_address({4: f"10.{self.number}.0.2", 6: f"fd0{self.number}::2"}[family])

    def serve(self, stack: ExitStack) -> None:
        """Accept connections to every address."""
        for family in (socket.AF_INET, socket.AF_INET6):
            server = self.namespace.inside(lambda family=family: _listen(family))  # type: ignore[misc]
            self.servers.append(stack.enter_context(server))

    def stop_serving(self) -> None:
        for server in self.servers:
            server.close()

    def accepted_from(self) -> list[str]:
        """The clients of all connections since the last call."""
        found: list[str] = []
        for server in self.servers:
            while True:
                try:
                    connection, client = server.accept()
                except BlockingIOError:
                    break
                connection.close()
                found.append(client[0])
        return found

    def unwrap(
        self,
        pins: FilePath,
        balancers: str = "10.1.0.0/24 fd01::/64",
        device: str = "p0",
        address: IPAddress | None = None,
    ) -> None:
        """Take tunnels from these load balancers, on a device, to this address."""
        program = Decapsulator(pins)
        program.configure(
            Decapsulation(
                frozenset(ip_network(each) for each in balancers.split()),
                frozenset({address or self.address(4), self.address(6)}),
                frozenset(ip_network(vip) for vip in VIP.values()),
                GUE_PORT,
            )
        )
        port = Port(device, self.namespace.index(device), (self.namespace.mac(device),))
        self.namespace.inside(lambda: program.attach([port]))
        self.program = program


@dataclass
class Site:
    """The load balancer `lb` (.1), its router, two endpoints behind it, and one beside the lb."""

    lb: Namespace
    router: Namespace
    endpoints: dict[int, Endpoint]
    pins: FilePath

    def path(
        self, number: int, family: int, encapsulation: Encapsulation = IPIP, mtu_bytes: int = MTU
    ) -> Path:
        """How an endpoint is reached, as the underlay would say."""
        if encapsulation is L2:
            far = self.endpoints[number].namespace.mac("p0")
            hop = NextHop(self.lb.index("p1"), self.lb.mac("p1"), far)
            return Path(None, None, hop, mtu_bytes, L2)
        hop = NextHop(self.lb.index("p0"), self.lb.mac("p0"), self.router.mac("lb"))
        remote = self.endpoints[number].address(family)
        return Path(OWN[family], remote, hop, mtu_bytes, encapsulation)

    def target(self, number: int, vip: int = 4, encapsulation: Encapsulation = IPIP) -> ProbeTarget:
        """An endpoint, known by its IPv4 address."""
        address = self.endpoints[number].address(4)
        return ProbeTarget("web", address, VIP[vip], PORT, Probe(ProbeKind.TCP), encapsulation)

    def paths(
        self,
        family: int = 4,
        encapsulation: Encapsulation = IPIP,
        numbers: tuple[int, ...] = (2, 3),
        mtu_bytes: int = MTU,
    ) -> Paths:
        return {
            (self.endpoints[number].address(4), encapsulation): self.path(
                number, family, encapsulation, mtu_bytes
            )
            for number in numbers
        }

    def probing(self, paths: Paths, work: Callable[[TunnelPaths], Awaitable[T]]) -> T:
        """What comes of work on the load balancer, with its probes on these paths."""

        async def run() -> T:
            with closing(TunnelPaths("tests", lambda: GUE_PORT)) as tunnel:
                await tunnel.set_paths(paths, frozenset(VIP.values()))
                return await work(tunnel)

        return self.lb.inside(lambda: asyncio.run(run()))

    def probe(self, paths: Paths, target: ProbeTarget) -> str:
        """What one probe of a target says, in health's words."""
        return self.probing(paths, lambda tunnel: probe(tunnel, target))

    def cause(self, paths: Paths, target: ProbeTarget, failure: str | None = None) -> str:
        """A probe, and what is said of its failure once the endpoint has been asked directly."""

        async def work(tunnel: TunnelPaths) -> str:
            words = failure or await probe(tunnel, target)
            assert words != "connected"
            tunnel.likely_cause(target, words)
            await asyncio.sleep(DIRECT_S)
            return tunnel.likely_cause(target, words)

        return self.probing(paths, work)


def take(prober: socket.socket, way: ProbeWay) -> None:
    """Have a socket's packets go that way."""
    prober.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, way.mark)
    if way.source is not None:
        prober.bind((str(way.source), 0))


async def probe(tunnel: TunnelPaths, target: ProbeTarget) -> str:
    """Connect to the VIP with the target's mark."""
    way = tunnel.way_of(target)
    if way is None:
        return "no path"
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[target.vip.version]
    with socket.socket(family, socket.SOCK_STREAM) as prober:
        prober.setblocking(False)  # noqa: FBT003
        take(prober, way)
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.get_running_loop().sock_connect(
                    prober, (str(target.vip), target.port)
                )
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
    return "connected"


@contextmanager
def probed_site(pins: FilePath) -> Iterator[Site]:
    """A site where all is well."""
    labels = ("lb", "router", "e2", "e3", "e4")
    with ExitStack() as stack:
        lb, router, *others = stack.enter_context(namespaces(*labels))
        endpoints = {number: Endpoint(other, number) for number, other in enumerate(others, 2)}
        _wire(lb, "p0", router, "lb", 1)
        _wire(endpoints[2].namespace, "p0", router, "e2", 2)
        _wire(endpoints[3].namespace, "p0", router, "e3", 3)
        connect(lb, "p1", endpoints[4].namespace, "p0")
        for setting in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            router.sysctl(f"net.{setting}=1")
        for command in ("addr add 10.4.0.1/24 dev p1", "addr add fd04::1/64 dev p1"):
            lb.ip(command)
        for command in ("addr add 10.4.0.2/24 dev p0", "addr add fd04::2/64 dev p0"):
            endpoints[4].namespace.ip(command)
        for endpoint in endpoints.values():
            for vip in VIP.values():
                endpoint.namespace.ip(f"addr add {vip} dev lo")
            endpoint.serve(stack)
        for namespace, device in ((lb, "p0"), (lb, "p1"), (router, "e2"), (router, "e3")):
            namespace.inside(lambda device=device: set_offloads(device, gro=False))  # type: ignore[misc]
        for number in (2, 3):
            directory = pins / str(number)
            stack.callback(detach_all, directory)
            endpoints[number].unwrap(directory)
        try:
            yield Site(lb, router, endpoints, pins)
        finally:
            for endpoint in endpoints.values():
                if endpoint.program is not None:
                    endpoint.program.close()


def _wire(host: Namespace, device: str, router: Namespace, far: str, number: int) -> None:
    """A cable to the router, its addresses, and a default route by it."""
    connect(host, device, router, far)
    near = "1" if number == 1 else "2"
    for prefix, length in ((f"10.{number}.0.", 24), (f"fd0{number}::", 64)):
        host.ip(f"addr add {prefix}{near}/{length} dev {device}")
        router.ip(
            f"addr add {prefix}fe/{length} dev {far}"
            if length == 64
            else f"addr add {prefix}254/{length} dev {far}"
        )
    host.ip(f"route add default via 10.{number}.0.254")
    host.ip(f"-6 route add default via fd0{number}::fe")


def _listen(family: socket.AddressFamily) -> socket.socket:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("", PORT))
    server.listen()
    server.setblocking(False)  # noqa: FBT003
    return server
