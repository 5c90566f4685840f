"""Where captured packets go: a pcapng file, or a line each."""

from typing import IO, Protocol

from headrace import __version__
from headrace.capture import pcapng
from headrace.capture.seen import Seen
from headrace.dataplane.layout import SAMPLE_BYTES


class Sink(Protocol):
    """Takes packets one by one."""

    def write(self, seen: Seen) -> None:
        """Take one."""

    def flush(self) -> None:
        """Let whoever reads have all that was taken."""


class PcapngFile:
    """A pcapng file on a stream that is the caller's."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._interfaces: dict[str, int] = {}
        self._stream.write(pcapng.section(f"headrace {__version__}"))
        self._stream.flush()

    def write(self, seen: Seen) -> None:
        """Add a packet, and its interface if it is the first from there."""
        index = self._interfaces.get(seen.interface)
        if index is None:
            index = self._interfaces[seen.interface] = len(self._interfaces)
            self._stream.write(pcapng.interface(seen.interface, SAMPLE_BYTES))
        block = pcapng.packet(index, seen.time_ns, seen.frame, seen.length_bytes, seen.comment)
        self._stream.write(block)

    def flush(self) -> None:
        """Let whoever reads the file have all that was added."""
        self._stream.flush()


class Lines:
    """A line a packet on a stream that is the caller's."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, seen: Seen) -> None:
        """Write a packet's line."""
        self._stream.write(f"{seen.line}\n")

    def flush(self) -> None:
        """Let whoever reads have all lines."""
        self._stream.flush()
