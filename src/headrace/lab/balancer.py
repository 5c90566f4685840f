"""The `headrace` daemon on a balancer node, and the command line that one has there."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from headrace.lab.commands import run_command
from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import ProcessId
from headrace.lab.router import HOLD_TIME_S
from headrace.lab.topology import Bgp, BgpPeer, Node, Role, Topology
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError
from headrace.model.values import Encapsulation, Flow, IPAddress

_HASH_SEED = 0x4845_4144_5241_4345
"""Any number will do, as long as all balancers of a cluster have the same."""


STATUS_POLL_S = 0.1
"""An answer costs the daemon up to 10 ms, which more of them would take from its work."""

_ASK_STATUS = b"GET /v1/status HTTP/1.0\r\nHost: localhost\r\n\r\n"
_ANSWER_TIMEOUT_S = 20.0


class Balancer:
    """One node's daemon: its own state folder, its own instance, its own pins."""

    def __init__(self, lab: Laboratory, node: Node) -> None:
        self._lab = lab
        self.node = node
        self._program = own_program("headrace")

    @property
    def instance(self) -> str:
        """What sets this node's sockets and pins apart from all others on the machine."""
        return f"{self._lab.name}-{self.node.name}"

    @property
    def _runtime_folder(self) -> Path:
        return Path("/run/headrace") / self.instance

    @property
    def _socket(self) -> Path:
        """Where the daemon's API will be."""
        return self._runtime_folder / "api.sock"

    @property
    def leg(self) -> IPv4Address:
        """The address that routers send to: the next hop of its announcements."""
        if self.node.bgp is None:
            raise UnavailableError(f"node {self.node.name} has no BGP in its topology")
        return self.node.bgp.router_id

    def document(self) -> dict[str, Any]:
        """The node's part of the document, as the topology has it."""
        return render_document(self._lab.topology, self.node, has_ipip=self._lab.has_ipip)

    def start(self, document: dict[str, Any] | None = None) -> ProcessId:
        """Start the daemon for the first time, with this document or the topology's."""
        path = self._write(document or self.document())
        variables = {"HEADRACE_INSTANCE": self.instance}
        self._lab.set_environment(self.node.name, variables)
        self._lab.remove_at_end(self._runtime_folder)
        return self._run("--document", str(path))

    def restart(self) -> ProcessId:
        """Start the daemon again: it knows its document from its state folder."""
        return self._run()

    async def wait_up(self, *, timeout_s: float) -> dict[str, Any]:
        """Wait until the daemon answers and all its BGP sessions are up; its status."""
        reason = "it has not been asked"

        async def probe() -> dict[str, Any] | None:
            nonlocal reason
            try:
                status = await self.status()
            except UnavailableError as error:
                reason = str(error)
                return None
            states = [peer["state"] for peer in status["peers"]]
            reason = f"its sessions are {', '.join(states)}"
            return status if all(state == "up" for state in states) else None

        status = await poll(probe, timeout_s=timeout_s, every_s=STATUS_POLL_S)
        if status is None:
            raise UnavailableError(f"after {timeout_s:g} s {self.node.name} is not up: {reason}")
        return status

    async def wait_forwarding(self, *, timeout_s: float) -> bool:
        """Wait until each service is in the data plane and reaches all its endpoints."""

        async def probe() -> bool | None:
            return True if _forwards(await self.status()) else None

        return await poll(probe, timeout_s=timeout_s, every_s=STATUS_POLL_S) is not None

    async def status(self) -> dict[str, Any]:
        """What `headrace status` says, without a start of that program."""
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(_ASK_STATUS)
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"{self.node.name} does not answer: {error!r}") from error
        if not head.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
            raise UnavailableError(f"{self.node.name} answers {head!r} with {body!r}")
        status: dict[str, Any] = json.loads(body)
        return status

    async def sent_packets(self) -> int:
        """How many packets the node has sent to endpoints so far."""
        verdicts = (await self.status())["verdicts"]
        return sum(entry["count"]["packets"] for entry in verdicts if entry["name"] == "sent")

    async def apply(self, document: dict[str, Any]) -> None:
        """Put a whole document in force."""
        await self.headrace("apply", "-f", str(self._write(document)))

    async def create_rule(self, endpoints: Sequence[IPAddress]) -> None:
        """Make or replace the rule of the topology's service, as the seed does."""
        await self.headrace(*rule_arguments(self._lab.topology, endpoints))

    async def explain(self, flows: Sequence[Flow]) -> list[str | None]:
        """The endpoint that the data plane chooses for each flow."""
        lines = "".join(json.dumps(_flow_json(flow)) + "\n" for flow in flows)
        arguments = ("explain", "--flows", "-", "-o", "json")
        answer = json.loads(await self.headrace(*arguments, stdin=lines.encode()))
        return [explanation["endpoint"] for explanation in answer]

    async def headrace(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run the command line on the node; what it prints."""
        argv = [*self._program, *arguments]
        return await run_command(self._lab, self.node.name, argv, stdin=stdin)

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """What the daemon has logged under a name since its first start."""
        lines = (self._lab.path / f"{self.node.name}.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if event.get("event") == name]

    def _write(self, document: dict[str, Any]) -> Path:
        path = self._lab.path / f"{self.node.name}.json"
        path.write_text(json.dumps(document))
        return path

    def _run(self, *arguments: str) -> ProcessId:
        state = self._lab.path / self.node.name
        argv = [*self._program, "run", "--instance", self.instance, "--state", str(state)]
        return self._lab.start(self.node.name, [*argv, *arguments], self.node.name)


def rule_arguments(topology: Topology, endpoints: Sequence[IPAddress]) -> list[str]:
    """The seed's command after the program's name."""
    weighted = ",".join(f"{address}:1" for address in endpoints)
    ports = f"{topology.port}:{topology.port}"
    rule = ["--select=hash", f"--tcp={ports}", f"--endpoints={weighted}", "--mode=dsr", "--bgp"]
    return ["create", "lb", str(topology.vip), *rule]


def render_document(topology: Topology, node: Node, *, has_ipip: bool) -> dict[str, Any]:
    """What a balancer must know: about itself and, where no BGP is there to wait for, the service.

    Where the kernel has `ipip` devices, the daemon finds them by the routes through them; where it
    has none, the document says what they would be.
    """
    feeding = {peer.name for peer in topology.nodes if peer.role in {Role.ROUTER, Role.CLIENT}}
    ends = topology.link_ends(node.name)
    tunnels = [
        {
            "endpoint": str(tunnel.endpoint),
            "local": str(tunnel.local),
            "remote": str(tunnel.remote),
        }
        for tunnel in topology.tunnels_of(node.name)
        if not (has_ipip and tunnel.local.version == tunnel.endpoint.version == 4)
    ]
    document: dict[str, Any] = {
        "node": {
            "name": node.name,
            "interfaces": [end.device for end in ends if end.peer_node in feeding],
            "tunnels": tunnels,
        },
        "cluster": {"hash_seed": _HASH_SEED},
    }
    return document | (render_services(topology) if node.bgp is None else _render_bgp(node.bgp))


def _render_bgp(bgp: Bgp) -> dict[str, Any]:
    return {
        "bgp": {
            "as": bgp.as_number,
            "router_id": str(bgp.router_id),
            "peers": [_render_peer(peer) for peer in bgp.peers],
        },
    }


def _render_peer(peer: BgpPeer) -> dict[str, Any]:
    told = {"address": str(peer.address), "as": peer.as_number, "hold_time_s": HOLD_TIME_S}
    return told | ({"password": peer.password} if peer.password else {})


def render_services(topology: Topology) -> dict[str, Any]:
    """One service a protocol, all of one pool."""
    endpoints = [{"address": str(node.identity)} for node in topology.with_role(Role.ENDPOINT)]
    pool: dict[str, Any] = {"endpoints": endpoints}
    if topology.encapsulation is not Encapsulation.IPIP:
        pool["encapsulation"] = str(topology.encapsulation)
    service = {"vip": str(topology.vip), "port": topology.port, "pool": "servers"}
    return {
        "pools": {"servers": pool},
        "services": [service | {"protocol": str(protocol)} for protocol in topology.protocols],
    }


def own_program(name: str) -> list[str]:
    """How one of our two programs is called: as installed beside this Python, or by its module."""
    if found := shutil.which(name, path=str(Path(sys.executable).parent)):
        return [found]
    module = {"headrace": "main", "tailrace": "tailrace"}[name]
    return [sys.executable, "-c", f"from headrace.cli.{module} import main; main()"]


def _forwards(status: dict[str, Any]) -> bool:
    """Whether every service is in the data plane, and every endpoint's next hop is known."""
    return all(service["forwarding"] for service in status["services"]) and all(
        endpoint["reachable"] for pool in status["pools"] for endpoint in pool["endpoints"]
    )


def _flow_json(flow: Flow) -> dict[str, str | int]:
    return {
        "protocol": str(flow.protocol),
        "source": str(flow.source),
        "source_port": flow.source_port,
        "destination": str(flow.destination),
        "destination_port": flow.destination_port,
    }
