"""Bring the demo's network up and to work: steps 1 to 4, which `headrace lab up` takes as well."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network

from headrace.lab.balancer import Balancer, own_program, rule_arguments
from headrace.lab.claims import ClaimView
from headrace.lab.endpoint import prepare_endpoint, start_decapsulation, tunnel_devices
from headrace.lab.laboratory import Laboratory
from headrace.lab.network import has_xdp, is_up
from headrace.lab.processes import ProcessId
from headrace.lab.router import Router
from headrace.lab.routers import make_router
from headrace.lab.topology import Node, Role
from headrace.lab.traffic import start_server
from headrace.lab.waiting import poll, together
from headrace.model.errors import UnavailableError
from headrace.model.values import Flow, IPAddress, Protocol

_DAEMON_TIMEOUT_S = 20.0
_ROUTE_TIMEOUT_S = 15.0
_XDP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class DemoNetwork:
    """The demo's lab and what runs in it."""

    lab: Laboratory
    view: ClaimView
    router: Router = field(init=False)
    balancers: list[Balancer] = field(init=False)
    endpoints: tuple[Node, ...] = field(init=False)
    servers: dict[str, ProcessId] = field(init=False, default_factory=dict)  # by node

    def __post_init__(self) -> None:
        """Find the nodes that do something."""
        topology = self.lab.topology
        self.router = make_router(self.lab, _bgp_router(topology.with_role(Role.ROUTER)))
        self.balancers = [Balancer(self.lab, node) for node in topology.with_role(Role.BALANCER)]
        self.endpoints = topology.with_role(Role.ENDPOINT)

    @property
    def client(self) -> str:
        """The node that connects."""
        return self.lab.topology.with_role(Role.CLIENT)[0].name

    def flow(self, source_port: int) -> Flow:
        """The client's connection to the service from one of its ports."""
        topology = self.lab.topology
        client: IPAddress = topology.node(self.client).addresses[0].interface.ip
        return Flow(Protocol.TCP, client, source_port, topology.vip, topology.port)

    @property
    def vip_prefix(self) -> IPv4Network:
        """The VIP as BGP announces it."""
        return IPv4Network(f"{self.lab.topology.vip}/32")

    @property
    def identities(self) -> list[IPAddress]:
        """The addresses that rules name the endpoints by, in the topology's order."""
        return [node.identity for node in self.endpoints if node.identity is not None]

    def server_name(self, identity: IPAddress) -> str:
        """What the server of an endpoint calls itself, as in the seed."""
        return f"server{self.identities.index(identity) + 1}"

    async def start_router_and_daemons(self) -> None:
        """Step 1: BIRD, one daemon a balancer, their sessions."""
        self.view.step(1, "A router with BGP and ECMP, and one daemon on each load balancer")
        self.router.start()
        for balancer in self.balancers:
            balancer.start()
        waits = [balancer.wait_up(timeout_s=_DAEMON_TIMEOUT_S) for balancer in self.balancers]
        for balancer, status in zip(self.balancers, await together(waits), strict=True):
            ports = ", ".join(f"{port['name']} ({port['mode']})" for port in status["ports"])
            peers = ", ".join(str(peer["address"]) for peer in status["peers"])
            self.view.check(
                f"{balancer.node.name} runs headrace and has a BGP session with BIRD",
                held=bool(status["peers"]),
                seen=f"session with {peers} is up; XDP on {ports or 'nothing yet'}",
            )

    async def prepare_endpoints(self) -> None:
        """Step 2: the VIP on each endpoint, the end of the tunnel, a server."""
        self.view.step(2, "Endpoints as in the seed: VIP on lo, rp_filter, arp_*, a tunnel's end")
        works = await self.start_endpoints()
        names = ", ".join(node.name for node in self.endpoints)
        means = (
            "the kernel's ipip devices"
            if self.lab.has_ipip
            else "tailrace's XDP decapsulation (this kernel has no ipip device)"
        )
        self.view.check(
            "the endpoints can take packets out of tunnels",
            held=bool(works) and all(works),
            seen=f"{means} works on {sum(works)} of {len(works)} devices",
        )
        self.view.note(f"{names} serve {self.lab.topology.vip}:{self.lab.topology.port}")

    async def start_endpoints(self) -> list[bool]:
        """Have every endpoint take packets and serve; of each tunnel's end, whether it works."""
        for node in self.endpoints:
            prepare_endpoint(self.lab, node)
        if not self.lab.has_ipip:
            await self._start_decapsulation()
        await together([self.start_server(node) for node in self.endpoints])
        return [end for node in self.endpoints for end in self._tunnel_ends(node)]

    async def create_rules(self) -> None:
        """Step 3: the seed's command on every balancer, the endpoints in another order on each."""
        self.view.step(3, "The seed's command on both load balancers")
        orders = [self._order(index) for index in range(len(self.balancers))]
        for balancer, order in zip(self.balancers, orders, strict=True):
            self.view.command(balancer.node.name, rule_arguments(self.lab.topology, order))
        pairs = zip(self.balancers, orders, strict=True)
        await together([balancer.create_rule(order) for balancer, order in pairs])
        for balancer in self.balancers:
            services = (await balancer.status())["services"]
            state = [bool(service["forwarding"]) for service in services]
            self.view.check(
                f"{balancer.node.name} forwards for the VIP",
                held=state == [True],
                seen=", ".join(str(service["key"]) for service in services) or "no service",
            )

    async def wait_routes(self) -> None:
        """Step 4: the router forwards to every balancer."""
        count = len(self.balancers)
        self.view.step(4, "The router learns the VIP from both")
        await self.router.wait_next_hops(self.vip_prefix, count, timeout_s=_ROUTE_TIMEOUT_S)
        hops = self.router.next_hops(self.vip_prefix)
        self.view.check(
            f"the router's kernel route to {self.lab.topology.vip} has {count} next hops",
            held=len(hops) == count,
            seen=" and ".join(hops),
        )

    async def start_server(self, node: Node) -> None:
        """Have an endpoint serve the VIP; returns when it does."""
        if node.identity is not None:
            name = self.server_name(node.identity)
            self.servers[node.name] = await start_server(self.lab, node.name, name)

    def _order(self, index: int) -> list[IPAddress]:
        """The endpoints as the seed has them; reversed on every second balancer."""
        return self.identities[::-1] if index % 2 else self.identities

    async def _start_decapsulation(self) -> None:
        program = own_program("tailrace")
        for node in self.endpoints:
            start_decapsulation(self.lab, node, program)
        for node in self.endpoints:
            if await poll(partial(self._decapsulates, node), timeout_s=_XDP_TIMEOUT_S) is None:
                raise UnavailableError(f"tailrace attaches no program on {node.name}")

    async def _decapsulates(self, node: Node) -> bool | None:
        return True if all(self._tunnel_ends(node)) else None

    def _tunnel_ends(self, node: Node) -> list[bool]:
        """For each device of an endpoint that ends a tunnel: whether it does."""
        namespace = self.lab.namespace(node.name)
        if self.lab.has_ipip:
            return [is_up(namespace, tunnel.name) for tunnel in node.tunnels]
        return [has_xdp(namespace, device) for device in tunnel_devices(self.lab.topology, node)]


def _bgp_router(routers: Sequence[Node]) -> Node:
    """The router that the balancers talk to."""
    for node in routers:
        if node.bgp is not None:
            return node
    raise UnavailableError("the topology has no router with BGP")
