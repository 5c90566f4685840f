"""Sends packets through the kernel's program and the reference, and holds one to the other."""

import ctypes
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.dataplane import Dataplane, all_verdicts, detach_all, layout, libbpf, reference
from headrace.dataplane.maps import Counters, HashMap, SharedArray
from tests.packets import services, world
from tests.packets.every import CASES

_INDEXES = {verdict.name: index for index, verdict in enumerate(all_verdicts())}
_ACTIONS = {1: "drop", 2: "pass", 3: "leave", 4: "leave"}
FORGET_AFTER = 20_000
"""Packets after which notes and fragments are forgotten: the kernel's tables never fill up."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A packet on which the two disagree, or that left broken."""

    packet: bytes
    what: str


class Comparison:
    """The packet cases' world in the kernel, and the reference over the same tables."""

    def __init__(self, directory: Path) -> None:
        clock = world.Clock(time.monotonic)
        self._plane = Dataplane(directory, clock.now)
        every = services.all_services()
        for stage in range(world.STAGES):
            world.apply_world(self._plane, clock, every, stage)
        self._tables = self._plane.tables()
        self._counters = Counters(libbpf.open_pin(directory / "maps" / "verdict_counts"))
        self._kept = [
            HashMap(libbpf.open_pin(directory / "maps" / name), key, value)
            for name, key, value in (
                ("notes", layout.FlowKey, layout.Note),
                ("fragments", layout.FragmentKey, layout.Fragment),
            )
        ]
        self._sketches = SharedArray(
            libbpf.open_pin(directory / "maps" / "flow_sketches"), layout.FlowSketch
        )
        self._memory = reference.Memory()
        self._counted = self._counts()
        self._since_forgotten = 0
        self.verdicts = dict.fromkeys(self._counted, 0)

    def close(self) -> None:
        """Let go of the kernel's objects."""
        self._plane.close()

    def send(self, packet: bytes) -> Difference | None:
        """Send a packet both ways; what is wrong, if anything."""
        before_s = int(time.monotonic())
        code, frame = self._plane.run(packet, world.INGRESS)
        if int(time.monotonic()) != before_s:  # which second the kernel saw is not known
            self.forget()
            return None
        outcome = reference.process(packet, world.INGRESS, self._tables, self._memory, before_s)
        what = self._judge(packet, outcome, code, frame)
        self._since_forgotten += 1
        if self._since_forgotten >= FORGET_AFTER:
            what = what or self._judge_flows()
        if what or self._since_forgotten >= FORGET_AFTER:
            self.forget()
        return Difference(packet, what) if what else None

    def _judge_flows(self) -> str:
        """Whether both have seen the same flows at the same endpoints."""
        seen = {i: bytes(each) for i, each in enumerate(self._sketches.values) if any(each.ranks)}
        if seen == self._memory.sketches:
            return ""
        return f"the kernel saw flows at {seen}, the reference at {self._memory.sketches}"

    def forget(self) -> None:
        """Empty what packets left behind, on both sides."""
        ctypes.memset(self._sketches.values, 0, ctypes.sizeof(self._sketches.values))
        for kept in self._kept:
            kept.clear()
        self._memory = reference.Memory()
        self._counted = self._counts()
        self._since_forgotten = 0

    def _judge(self, packet: bytes, outcome: reference.Outcome, code: int, frame: bytes) -> str:
        self.verdicts[outcome.verdict] += 1
        self._counted[outcome.verdict] += 1
        count = self._counters.read(_INDEXES[outcome.verdict])
        if count.packets != self._counted[outcome.verdict]:
            seen = [name for name, count in self._counts().items() if count != self._counted[name]]
            return f"the reference says {outcome.verdict}, the kernel otherwise: {seen}"
        wanted = "leave" if outcome.ifindex is not None else outcome.verdict.partition("_")[0]
        if _ACTIONS.get(code) != wanted:
            return f"{outcome.verdict} ended in XDP code {code}"
        if frame != outcome.packet:
            return f"{outcome.verdict}: the kernel made {frame.hex()}, not {outcome.packet.hex()}"
        return broken_outer(packet, frame) if outcome.verdict == "sent" else ""

    def _counts(self) -> dict[str, int]:
        return {each.name: each.count.packets for each in self._plane.verdict_counts()}


def broken_outer(packet: bytes, frame: bytes) -> str:
    """What is wrong with the outermost header of a frame that was sent, whatever made it."""
    at = 18 if frame[12:14] == b"\x81\x00" else 14
    ethertype = frame[at - 2 : at]
    if packet.endswith(frame[at:]):
        return ""  # nothing was put in front: the client's own header, right or wrong
    if ethertype == b"\x08\x00":
        header = frame[at : at + 4 * (frame[at] & 0xF)]
        (length,) = struct.unpack_from("!H", frame, at + 2)
        if reference.checksum(header):
            return f"a wrong checksum in {frame.hex()}"
    else:
        length = 40 + struct.unpack_from("!H", frame, at + 4)[0]
    return f"longer than the frame: {frame.hex()}" if at + length > len(frame) else ""


@contextmanager
def comparison() -> Iterator[Comparison]:
    """A comparison in a data plane of its own, removed afterwards."""
    with TemporaryDirectory(prefix="headrace-fuzz-") as folder:
        directory = Path(folder) / "pins"
        try:
            compared = Comparison(directory)
            yield compared
            compared.close()
        finally:
            detach_all(directory)


def bases() -> Sequence[bytes]:
    """The packets that random ones are made from: those of the packet cases."""
    return [packet for case in CASES for packet in (case.packet, *case.before, *case.early)]
