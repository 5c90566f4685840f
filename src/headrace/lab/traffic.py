"""The prover: live TCP connections through a lab, and the count of how many broke and why.

The programs (`prover_server.py`, `prover_client.py`, `prover_asker.py`) run inside the lab's nodes;
this is their other side.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import ProcessId, kill_child
from headrace.lab.prover_client import FIRST_PORT
from headrace.lab.topology import Topology
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError
from headrace.model.values import IPAddress, Protocol

SEED_SOURCE_PORT = 15402
SEED_CONNECTION_COUNT = 12
"""The seed's own check: so many connections from this source port reach one server."""

SILENCE_S = 15.0
"""Longer than several retransmissions in a row; a shorter limit would count loss as breakage."""

_START_TIMEOUT_S = 10.0
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a lab's client
_ANSWER_TIMEOUT_S = 10.0
_LIMIT_ANSWER_BYTES = 16 * 1024 * 1024
_LIMIT_SOCKETS = 18_000
"""Sockets of one program; the descriptors of a common machine allow 20,000."""


@dataclass(frozen=True, slots=True)
class Group:
    """What became of the connections of one batch that one server answers."""

    batch: int
    server: str | None  # None: those that no server has greeted yet
    live: int
    broken: Mapping[str, int]  # by cause


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all connections."""

    groups: tuple[Group, ...]
    overdue: int  # connections that have waited for an answer for more than a second
    longest_pause_s: float
    answers: int

    @property
    def live(self) -> int:
        """Connections that a server has greeted and that still stand."""
        return sum(group.live for group in self.groups if group.server is not None)

    def broken(self, *, batches: Sequence[int] = (), servers: Sequence[str] = ()) -> int:
        """Connections that broke, of these batches and servers; of all where none is named."""
        return sum(
            sum(group.broken.values())
            for group in self.groups
            if (not batches or group.batch in batches) and (not servers or group.server in servers)
        )

    def causes(self) -> dict[str, int]:
        """Broken connections by cause."""
        causes: dict[str, int] = {}
        for group in self.groups:
            for cause, count in group.broken.items():
                causes[cause] = causes.get(cause, 0) + count
        return causes

    def live_by_server(self) -> dict[str, int]:
        """Live connections by the server that answers them."""
        servers: dict[str, int] = {}
        for group in self.groups:
            if group.server is not None:
                servers[group.server] = servers.get(group.server, 0) + group.live
        return servers


class LiveTraffic:
    """The prover's client on a node, and its standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._next_id = 0
        self._opened = 0
        self._batch = 0

    @classmethod
    async def start(
        cls,
        lab: Laboratory,
        node: str,
        *,
        silence_s: float = SILENCE_S,
        first_port: int = FIRST_PORT,
    ) -> Self:
        """Start the client of the topology's service; no connection is opened yet.

        A message unanswered for `silence_s` breaks its connection. Source ports are taken in turn
        from `first_port` on.
        """
        _raise_descriptor_limit()
        service = (str(lab.topology.vip), str(lab.topology.port))
        argv = python_program("prover_client.py", *service, str(silence_s), str(first_port))
        process = await asyncio.create_subprocess_exec(
            *lab.command(node, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LIMIT_ANSWER_BYTES,
            start_new_session=True,
        )
        return cls(process)

    async def open(self, count: int, *, timeout_s: float) -> int:
        """Open more connections, wait until each is greeted or broken; the batch's number."""
        if self._opened + count > _LIMIT_SOCKETS:
            raise UnavailableError(f"a prover has at most {_LIMIT_SOCKETS} connections")
        self._batch += 1
        self._opened += count
        await self._command(f"open {count} {self._batch}")

        async def probe() -> Report | None:
            report = await self.report()
            return report if report.live + report.broken() >= self._opened else None

        if await poll(probe, timeout_s=timeout_s) is None:
            live = (await self.report()).live
            raise UnavailableError(
                f"after {timeout_s:g} s {live} of {self._opened} connections are live"
            )
        return self._batch

    async def report(self) -> Report:
        """What has become of all connections."""
        answer = await self._command("report")
        groups = tuple(
            Group(entry["batch"], entry["server"], entry["live"], entry["broken"])
            for entry in answer["groups"]
        )
        return Report(groups, answer["overdue"], answer["longest_pause_s"], answer["answers"])

    async def wait_answered(self, *, timeout_s: float) -> Report:
        """Wait until no answer is overdue: each connection goes on or has broken."""

        async def probe() -> Report | None:
            report = await self.report()
            return None if report.overdue else report

        report = await poll(probe, timeout_s=timeout_s)
        if report is None:
            raise UnavailableError(f"after {timeout_s:g} s connections still wait for an answer")
        return report

    async def exchange(self, answers: int, *, timeout_s: float) -> Report:
        """Wait until so many more messages have been answered; what there is when time is over."""
        wanted = (await self.report()).answers + answers

        async def probe() -> Report | None:
            report = await self.report()
            return report if report.answers >= wanted else None

        return await poll(probe, timeout_s=timeout_s) or await self.report()

    async def flows(self) -> dict[int, str]:
        """The server of each live connection, by source port."""
        answer = await self._command("flows")
        return {int(port): str(server) for port, server in answer["flows"]}

    async def mark(self) -> None:
        """Measure the longest pause and count answers from now on."""
        await self._command("mark")

    async def stop(self) -> None:
        """Close every connection and end the client."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            await kill_child(self._process)

    async def _command(self, verb: str) -> dict[str, Any]:
        self._next_id += 1
        assert self._process.stdin is not None  # noqa: S101 - both are pipes: see `start`
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(f"{self._next_id} {verb}\n".encode())
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise UnavailableError("the prover's client has ended; see its message above")
        answer: dict[str, Any] = json.loads(line)
        if answer["id"] != self._next_id or "error" in answer:
            raise UnavailableError(f"the prover's client answers {verb} with {answer}")
        return answer


async def start_server(
    lab: Laboratory,
    node: str,
    name: str,
    *,
    protocol: Protocol = Protocol.TCP,
    address: IPAddress | None = None,
) -> ProcessId:
    """Start the prover's server on a node, on the VIP or another address; wait until it listens."""
    _raise_descriptor_limit()
    arguments = server_arguments(lab.topology, name, protocol, address)
    log_name = f"{node}-server-{protocol}" + (f"-{address}" if address else "")
    log = lab.path / f"{log_name}.log"
    log.unlink(missing_ok=True)  # what an earlier server said there does not count
    process = lab.start(node, python_program("prover_server.py", *arguments), log_name)

    async def probe() -> bool | None:
        if not process.is_alive():
            raise UnavailableError(f"the server on {node} has ended; see {log}")
        return True if "listening" in log.read_text() else None

    if await poll(probe, timeout_s=_START_TIMEOUT_S) is None:
        raise UnavailableError(f"the server on {node} does not listen; see {log}")
    return process


def server_arguments(
    topology: Topology, name: str, protocol: Protocol, address: IPAddress | None
) -> list[str]:
    """How `prover_server.py` is called for the topology's service."""
    return [str(address or topology.vip), str(topology.port), name, str(protocol)]


async def ask_names(
    lab: Laboratory,
    node: str,
    *,
    source_port: int = SEED_SOURCE_PORT,
    count: int = SEED_CONNECTION_COUNT,
) -> list[str | None]:
    """Who answers the VIP on short connections, one after another, all from one source port."""
    vip, port = lab.topology.vip, lab.topology.port
    arguments = (str(vip), str(port), "tcp", "0", _ANY_ADDRESS, *[str(source_port)] * count)
    process = await asyncio.create_subprocess_exec(
        *lab.command(node, python_program("prover_asker.py", *arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        await kill_child(process)
        raise
    names: list[str | None] = json.loads(output)
    return names


def start_sender(
    lab: Laboratory, node: str, *, packets_per_s: int, ports: Sequence[int]
) -> ProcessId:
    """Start datagrams to the topology's service that nobody need answer, until it is ended.

    They come from these source ports in turn; 0 is a free one.
    """
    _raise_descriptor_limit()
    service = (str(lab.topology.vip), str(lab.topology.port))
    argv = python_program("prover_sender.py", *service, str(packets_per_s), *map(str, ports))
    return lab.start(node, argv, f"{node}-sender")


class Crowd:
    """Listeners on many addresses of a node, each of which can be made to die."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, lab: Laboratory, node: str, first: IPAddress, count: int) -> Self:
        """Start them on the topology's port; returns when all listen."""
        port = str(lab.topology.port)
        argv = python_program("prover_crowd.py", str(first), str(count), port)
        process = await asyncio.create_subprocess_exec(
            *lab.command(node, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        crowd = cls(process)
        await crowd._hear()
        return crowd

    async def refuse(self, address: IPAddress) -> float:
        """Have one address refuse connections; the monotonic time right before it does."""
        return await self._command(f"refuse {address}")

    async def silence(self, address: IPAddress) -> float:
        """Have one address answer nothing at all; the monotonic time right before it does."""
        return await self._command(f"silence {address}")

    async def stop(self) -> None:
        """End all of them."""
        await kill_child(self._process)

    async def _command(self, line: str) -> float:
        assert self._process.stdin is not None  # noqa: S101 - a pipe: see `start`
        self._process.stdin.write(f"{line}\n".encode())
        return float(await self._hear())

    async def _hear(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - a pipe: see `start`
        async with asyncio.timeout(_START_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise UnavailableError("the crowd of listeners has ended; see its message above")
        return line


def python_program(file_name: str, *arguments: str) -> list[str]:
    """How one of the prover's programs is called: without packages whose import takes a second."""
    program = Path(__file__).with_name(file_name)
    return [sys.executable, "-I", "-S", str(program), *arguments]


def _raise_descriptor_limit() -> None:
    """Let the programs that we start have as many sockets as the machine grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
