"""Captures: tcpdump on a node or on a tapped wire, bounded; every packet as text and as bytes.

Sequence numbers are absolute, so that the same packet reads the same wherever it is captured.
"""

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import end_child, signal_child
from headrace.lab.tools import find_tool
from headrace.model.errors import UnavailableError

LIMIT_PACKETS = 1_000
"""Packets of one capture; a dump is for people to read."""

_LIMIT_TEXT_BYTES = 4096 * LIMIT_PACKETS
"""All lines of a capture wait in the pipe's buffer until they are asked for; 16 bytes of a packet
are a line of 50."""

_READY_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One captured packet: as tcpdump reads it, and its bytes from the IP header on."""

    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class CapturePoint:
    """Where to listen: a namespace of the lab (a node, or the wires) and a device, or `any`."""

    node: str
    device: str


class Capture:
    """One running tcpdump; use it as a context manager around what it is to see."""

    def __init__(
        self, lab: Laboratory, point: CapturePoint, filter_text: str, *, count: int = LIMIT_PACKETS
    ) -> None:
        self._lab = lab
        self._point = point
        self._filter = filter_text
        self._count = min(count, LIMIT_PACKETS)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start, and return when packets are really being taken."""
        argv = [
            str(find_tool("tcpdump")),
            "-n",
            "-S",
            "-x",
            "-l",
            "--immediate-mode",
            "-i",
            self._point.device,
        ]
        argv += ["-c", str(self._count), self._filter]
        self._process = await asyncio.create_subprocess_exec(
            *self._lab.command(self._point.node, argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LIMIT_TEXT_BYTES,
            start_new_session=True,
        )
        try:
            await self._wait_listening(self._process)
        except BaseException:
            await end_child(self._process, grace_s=_STOP_TIMEOUT_S)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End tcpdump if it has not ended."""
        if self._process is not None:
            await end_child(self._process, grace_s=_STOP_TIMEOUT_S)

    async def packets(self, *, timeout_s: float) -> list[Packet]:
        """What was captured: all when the count is reached, or what there is when time is over."""
        process = self._process
        assert process is not None  # noqa: S101 - only inside the context
        assert process.stdout is not None  # noqa: S101 - a pipe: see `__aenter__`
        lines: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                await _read_into(lines, process.stdout)
        except TimeoutError:
            signal_child(process.pid, signal.SIGTERM)  # it writes out what it holds
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await _read_into(lines, process.stdout)
        return parse_packets(lines)

    async def _wait_listening(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - a pipe: see `__aenter__`
        said = []
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                while line := (await process.stderr.readline()).decode():
                    if "listening on" in line:
                        return
                    said.append(line.strip())
        except TimeoutError:
            said.append("no word within the time")
        raise UnavailableError(f"tcpdump on {self._point}: {'; '.join(said)}")


def parse_packets(lines: Iterable[str]) -> list[Packet]:
    """The packets in the output of `tcpdump -x`: a line of text each, then lines of bytes."""
    packets: list[Packet] = []
    for line in lines:
        offset, colon, digits = line.partition(":")
        if colon and offset.startswith("\t0x"):
            last = packets[-1]
            packets[-1] = Packet(last.text, last.data + bytes.fromhex(digits))
        else:
            packets.append(Packet(line, b""))
    return packets


async def _read_into(lines: list[str], reader: asyncio.StreamReader) -> None:
    """Add every line until the end; those read before a cancellation are kept."""
    async for line in reader:
        if text := line.decode().rstrip():  # tcpdump ends an interrupted line of a terminal
            lines.append(text)  # noqa: PERF401 - see above
