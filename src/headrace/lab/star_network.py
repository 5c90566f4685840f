"""Bring a star up: endpoints first, in namespaces or in a virtual machine, then the daemon."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from headrace.lab.balancer import Balancer, own_program
from headrace.lab.claims import ClaimView
from headrace.lab.commands import run_command
from headrace.lab.endpoint import prepare_endpoint, start_decapsulation, tunnel_devices
from headrace.lab.laboratory import Laboratory
from headrace.lab.machine import Machine, guest_program
from headrace.lab.network import has_xdp
from headrace.lab.topology import Node, Role
from headrace.lab.traffic import python_program, server_arguments, start_server
from headrace.lab.waiting import poll, together
from headrace.model.errors import UnavailableError
from headrace.model.values import Encapsulation, Flow, IPAddress, Protocol

_DAEMON_TIMEOUT_S = 60.0
_XDP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class StarNetwork:
    """A star's lab and what runs in it."""

    lab: Laboratory
    view: ClaimView
    machine: Machine | None = None
    client: Node = field(init=False)
    balancer: Balancer = field(init=False)
    endpoints: tuple[Node, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find the nodes that do something."""
        topology = self.lab.topology
        (self.client,) = topology.with_role(Role.CLIENT)
        (balancer,) = topology.with_role(Role.BALANCER)
        self.balancer = Balancer(self.lab, balancer)
        self.endpoints = topology.with_role(Role.ENDPOINT)

    async def bring_up(self) -> None:
        """Everything that the checks need; one claim says whether the balancer forwards."""
        topology = self.lab.topology
        self.balancer.start()
        if topology.guests:
            started = monotonic()
            self.machine = await Machine.start(self.lab)
            names = ", ".join(node.name for node in topology.guests)
            kernel = (await self.run(self.endpoints[0], ["uname", "-r"])).strip()
            took_s = monotonic() - started
            self.view.note(f"{names} are in a virtual machine: Linux {kernel}, {took_s:.1f} s")
        for node in self.endpoints:
            if not node.guest:
                prepare_endpoint(self.lab, node)
        await self._start_decapsulation()
        await together([self._start_servers(node) for node in self.endpoints])
        await self._wait_forwarding()

    async def close(self) -> None:
        """Let go of the virtual machine; the lab's removal ends it."""
        if self.machine is not None:
            await self.machine.close()

    async def run(self, node: Node, argv: Sequence[str]) -> str:
        """What a command on a node prints, wherever the node is."""
        if node.guest:
            return await self._inside.run(node.name, argv)
        return (await run_command(self.lab, node.name, argv)).decode()

    async def ask(
        self,
        protocol: Protocol,
        source_ports: Sequence[int],
        *,
        payload_bytes: int = 0,
        address: IPAddress | None = None,
    ) -> list[str | None]:
        """Who answers the client on the VIP or another address, one conversation a source port."""
        topology = self.lab.topology
        spoken = "http" if topology.http and protocol is Protocol.TCP else str(protocol)
        service = (str(address or topology.vip), str(topology.port))
        arguments = (*service, spoken, str(payload_bytes), str(self._client_address))
        program = guest_program if self.client.guest else python_program
        argv = program("prover_asker.py", *arguments, *map(str, source_ports))
        names: list[str | None] = json.loads(await self.run(self.client, argv))
        return names

    async def explained(self, source_ports: Sequence[int]) -> dict[tuple[Protocol, int], str]:
        """The server that the data plane says each flow of the client goes to.

        Asked once for all protocols, since a command line takes most of a second to start.
        """
        topology = self.lab.topology
        keys = [(protocol, port) for protocol in topology.protocols for port in source_ports]
        flows = [
            Flow(item, self._client_address, p, topology.vip, topology.port) for item, p in keys
        ]
        names = {str(node.identity): server_name(node) for node in self.endpoints}
        chosen = await self.balancer.explain(flows)
        return {
            key: names.get(str(endpoint), f"no server ({endpoint})")
            for key, endpoint in zip(keys, chosen, strict=True)
        }

    def own_address(self, node: Node) -> IPAddress:
        """Where an endpoint answers without the load balancer: an address of the VIP's family."""
        version = self.lab.topology.vip.version
        return next(a.interface.ip for a in node.addresses if a.interface.version == version)

    @property
    def _client_address(self) -> IPAddress:
        """The client's address on its link to the load balancer."""
        return self.client.addresses[0].interface.ip

    @property
    def _inside(self) -> Machine:
        if self.machine is None:
            raise UnavailableError(f"the virtual machine of lab {self.lab.name} does not run")
        return self.machine

    async def _start_servers(self, node: Node) -> None:
        """The service on the VIP, and its first protocol on the endpoint's own address too."""
        topology = self.lab.topology
        if topology.http:
            await self._inside.serve_http(node.name, server_name(node), topology.port)
            return
        first = (topology.protocols[0], self.own_address(node))
        for protocol, address in (first, *((item, None) for item in topology.protocols)):
            arguments = server_arguments(topology, server_name(node), protocol, address)
            if node.guest:
                argv = guest_program("prover_server.py", *arguments)
                await self._inside.start_server(node.name, argv)
            else:
                name = server_name(node)
                await start_server(self.lab, node.name, name, protocol=protocol, address=address)

    async def _start_decapsulation(self) -> None:
        """Tailrace where a kernel's tunnel device does not do it."""
        topology = self.lab.topology
        if topology.encapsulation is Encapsulation.L2:
            return
        nodes = [node for node in self.endpoints if not node.guest and not self._has_devices(node)]
        for node in nodes:
            start_decapsulation(self.lab, node, own_program("tailrace"))
        for node in nodes:
            if await poll(partial(self._decapsulates, node), timeout_s=_XDP_TIMEOUT_S) is None:
                raise UnavailableError(f"tailrace attaches no program on {node.name}")

    def _has_devices(self, node: Node) -> bool:
        """Whether the kernel made the tunnels of a node that is no guest."""
        return self.lab.has_ipip and any(tunnel.kind == "ipip" for tunnel in node.tunnels)

    async def _decapsulates(self, node: Node) -> bool | None:
        namespace = self.lab.namespace(node.name)
        devices = tunnel_devices(self.lab.topology, node)
        return True if all(has_xdp(namespace, device) for device in devices) else None

    async def _wait_forwarding(self) -> None:
        await self.balancer.wait_up(timeout_s=_DAEMON_TIMEOUT_S)
        forwards = await self.balancer.wait_forwarding(timeout_s=_DAEMON_TIMEOUT_S)
        status = await self.balancer.status()
        keys = ", ".join(str(entry["key"]) for entry in status["services"] if entry["forwarding"])
        ports = ", ".join(f"{port['name']} ({port['mode']})" for port in status["ports"])
        self.view.check(
            f"{self.balancer.node.name} forwards for every service, to every endpoint",
            held=forwards and len(status["services"]) == len(self.lab.topology.protocols),
            seen=f"{keys or 'none'}; XDP on {ports or 'nothing'}",
        )


def server_name(node: Node) -> str:
    """What the server of an endpoint calls itself, as in the seed: `server1` on `ep1`."""
    return f"server{node.name.removeprefix('ep')}"
