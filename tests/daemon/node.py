"""A load balancer's node for tests: its daemon in a namespace of its own, a router beside it."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from headrace.cli.client import RUNTIME_ROOT, Client, Failure
from headrace.daemon.settings import bpf_dir
from headrace.dataplane import detach_all
from headrace.lab.balancer import own_program
from headrace.lab.namespaces import (
    command_in_namespace,
    create_namespace,
    processes_in_namespaces,
    remove_namespace,
    run_in_namespace,
)
from headrace.lab.offloads import set_offloads
from tests.bgp.support import eventually, run
from tests.daemon.router import PORT, Router

VIP = "20.20.20.1"
PREFIX = f"{VIP}/32"
DNS = 53
FLOW_COUNT = 200
END_S = 20.0
"""For a daemon to end: a silent speaker takes it 6 s."""

ROUTER_ADDRESS = "10.9.1.254"
_NUMBERS = itertools.count()

DOCUMENT: dict[str, Any] = {
    "services": [
        {
            "vip": VIP,
            "protocol": "udp",
            "port": DNS,
            "announce": True,
            "endpoints": [{"address": f"56.56.56.{n}"} for n in (1, 2, 3)],
        }
    ],
    "node": {
        "tunnels": [
            {"endpoint": f"56.56.56.{n}", "local": "10.9.1.1", "remote": ROUTER_ADDRESS}
            for n in (1, 2, 3)
        ]
    },
}
BGP = {
    "as": 64512,
    "router_id": "10.9.1.1",
    "peers": [{"address": ROUTER_ADDRESS, "as": 65001}],
}


class Daemon:
    """`headrace run`, and what it writes to stderr."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def said(self) -> str:
        """Everything on its stderr."""
        return self._log.read_text()

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """It dies without a word."""
        self._process.kill()
        self._process.wait(END_S)

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(END_S)


class Node:
    """The namespaces, the instance and its files; all of it goes with the stack."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.instance = f"hr-test-{os.getpid()}-{next(_NUMBERS)}"
        self.runtime_dir = Path(RUNTIME_ROOT) / self.instance
        self._stack = stack
        self._directory = directory
        self._inodes: dict[str, int] = {}
        self._balancer = self._namespace("lb")
        self._router = self._namespace("r")
        stack.callback(self._remove)
        self._connect()

    def start(
        self, document: dict[str, Any] = DOCUMENT, *options: str, listen: str = "none"
    ) -> Daemon:
        """Start the daemon; it may not be up yet. The document counts at the first start."""
        (self._directory / "document.json").write_text(json.dumps(document))
        places = ["--state", self._directory / "state"]
        source = ["--document", self._directory / "document.json"]
        arguments = ["run", "--instance", self.instance, "--listen", listen, *places, *source]
        log = self._directory / f"daemon-{next(_NUMBERS)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(self._command(*map(str, arguments), *options), stderr=stderr)
        self._stack.callback(process.wait, END_S)
        self._stack.callback(process.kill)
        return Daemon(process, log)

    def start_up(self, document: dict[str, Any] = DOCUMENT, *options: str) -> Daemon:
        """Start the daemon; it forwards to every endpoint when this returns."""
        daemon = self.start(document, *options)
        eventually(self._forwards)
        return daemon

    def headrace(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on the node."""
        command = self._command(*arguments, "--instance", self.instance)
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    @contextmanager
    def router(self) -> Iterator[Router]:
        """The node's BGP peer, during the block."""
        listener = run_in_namespace(
            self._router, lambda: socket.create_server((ROUTER_ADDRESS, PORT))
        )
        with Router(listener, 65001, IPv4Address(ROUTER_ADDRESS)).running() as router:
            yield router

    @contextmanager
    def taken_port(self) -> Iterator[int]:
        """A TCP port on the node's loopback that another program has."""
        server = run_in_namespace(self._balancer, lambda: socket.create_server(("127.0.0.1", 0)))
        with server:
            yield server.getsockname()[1]

    @contextmanager
    def serving_endpoint(self, port: int) -> Iterator[None]:
        """A TCP server at the router's address, where probes of an endpoint there find it."""
        server = run_in_namespace(
            self._router, lambda: socket.create_server((ROUTER_ADDRESS, port))
        )
        with server:
            yield

    def send_packets(self, count: int) -> None:
        """Send packets to the service, each of a flow of its own, from the router."""
        run_in_namespace(self._router, lambda: _send_flows(count))

    def sent_packets(self) -> int:
        """How many packets the data plane says it has sent to endpoints."""
        (sent,) = (each for each in self._status()["verdicts"] if each["name"] == "sent")
        return int(sent["count"]["packets"])

    def explained(self) -> list[Any]:
        """Where the data plane sends each of some flows."""
        flows = [
            {
                "protocol": "udp",
                "source": "1.1.1.1",
                "source_port": port,
                "destination": VIP,
                "destination_port": DNS,
            }
            for port in range(1024, 1024 + FLOW_COUNT)
        ]
        answer = self._client().send("POST", "/v1/explain", json.dumps({"flows": flows}))
        return [explanation["endpoint"] for explanation in answer]

    def why_not(self) -> str:
        """What keeps the service from being announced."""
        return str(self._status()["services"][0]["why_not"])

    def pins(self) -> list[str]:
        """Every map, program and link that is pinned."""
        folder = bpf_dir(self.runtime_dir)
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def runs_xdp(self) -> bool:
        """Whether the interface towards the router has an XDP program."""
        (link,) = json.loads(run("ip", "-n", self._balancer, "-j", "link", "show", "wan"))
        return "xdp" in link

    def exabgp_pid(self) -> int:
        """The number of the ExaBGP that the daemon started."""
        return int((self.runtime_dir / "exabgp/exabgp.pid").read_text())

    def processes(self) -> list[int]:
        """Every process on the node."""
        return processes_in_namespaces([self._inodes[self._balancer]])

    def _namespace(self, suffix: str) -> str:
        name = f"{self.instance}-{suffix}"
        self._inodes[name] = create_namespace(name)
        self._stack.callback(remove_namespace, name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def _connect(self) -> None:
        """A link `wan` towards the router, where the VIP is routed back to us."""
        peer = ["type", "veth", "peer", "name", "lb", "netns", self._router]
        run("ip", "-n", self._balancer, "link", "add", "wan", *peer)
        for name, device, address in (
            (self._balancer, "wan", "10.9.1.1/24"),
            (self._router, "lb", f"{ROUTER_ADDRESS}/24"),
        ):
            run("ip", "-n", name, "address", "add", address, "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", self._router, "route", "add", PREFIX, "via", "10.9.1.1")
        run_in_namespace(self._router, lambda: set_offloads("lb", gro=True))

    def _command(self, *arguments: str) -> list[str]:
        return command_in_namespace(self._balancer, [*own_program("headrace"), *arguments])

    def _client(self) -> Client:
        return Client(server=None, instance=self.instance, timeout_s=10.0)

    def _status(self) -> Any:
        return self._client().get("/v1/status")

    def _forwards(self) -> bool:
        try:
            status = self._status()
        except Failure:
            return False
        return bool(status["services"]) and _forwards(status)

    def _remove(self) -> None:
        """End what is left on the node, and take out what outlives it."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        detach_all(bpf_dir(self.runtime_dir))
        shutil.rmtree(self.runtime_dir, ignore_errors=True)


def _forwards(status: dict[str, Any]) -> bool:
    return all(service["forwarding"] for service in status["services"]) and all(
        endpoint["reachable"] for pool in status["pools"] for endpoint in pool["endpoints"]
    )


def _send_flows(count: int) -> None:
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", (VIP, DNS))
