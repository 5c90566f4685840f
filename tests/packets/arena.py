"""Where the cases are run: a data plane in the kernel, and the reference over the same tables."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.dataplane import Dataplane, Tables, libbpf, reference
from headrace.model import Tuning

from . import services, world
from .case import Case
from .world import STAGES, TUNING, Clock

_ACTIONS = {1: "drop", 2: "pass", 3: "transmit", 4: "redirect"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a packet."""

    verdict: str
    action: str
    packet: bytes
    counts: dict[str, tuple[int, int]]  # packets and bytes by which each verdict's counter moved


def run_program(plane: Dataplane, packet: bytes) -> Seen:
    """Run a packet through a data plane's program in the kernel."""
    before = _counts(plane)
    code, out = libbpf.run_program(plane.program_fd, packet)
    after = _counts(plane)
    moved = {
        name: (after[name][0] - before[name][0], after[name][1] - before[name][1])
        for name in after
        if after[name] != before[name]
    }
    return Seen(",".join(moved), _ACTIONS[code], out, moved)


def _counts(plane: Dataplane) -> dict[str, tuple[int, int]]:
    return {each.name: (each.count.packets, each.count.bytes) for each in plane.verdict_counts()}


class Arena:
    """The world, brought up to its last stage, and both ways to send a packet into it."""

    def __init__(self, directory: Path, cases: Iterable[Case]) -> None:
        self._clock = Clock(time.monotonic)
        self.dataplane = Dataplane(directory, self._clock.now)
        self.memory = reference.Memory()
        every = services.all_services()
        for stage in range(STAGES):
            if stage == STAGES - 1:
                self._send_early(cases)
            world.apply_world(self.dataplane, self._clock, every, stage)
        self._tables = self.dataplane.tables()

    def _send_early(self, cases: Iterable[Case]) -> None:
        self._tables = self.dataplane.tables()
        for case in cases:
            for packet in case.early:
                self.kernel(packet)
                self.reference(packet)

    def run_in_kernel(self, case: Case) -> Seen:
        """Run a case's packets through the program in the kernel; what became of its last."""
        limits = _limits(case)
        if limits != TUNING:
            self.dataplane.set_tuning(limits)
        try:
            for packet in case.before:
                self.kernel(packet)
            return self.kernel(case.packet)
        finally:
            if limits != TUNING:
                self.dataplane.set_tuning(TUNING)

    def kernel(self, packet: bytes) -> Seen:
        """Run one packet through the program in the kernel."""
        return run_program(self.dataplane, packet)

    def run_in_reference(self, case: Case) -> reference.Outcome:
        """Run a case's packets through the reference; what became of its last."""
        tables = replace(self._tables, tuning=_limits(case))
        for packet in case.before:
            self.reference(packet, tables)
        return self.reference(case.packet, tables)

    def reference(
        self, packet: bytes, tables: Tables | None = None, later_s: int = 0
    ) -> reference.Outcome:
        """What the reference makes of a packet, `later_s` seconds from now."""
        now_s = int(time.monotonic()) + later_s
        return reference.process(packet, world.INGRESS, tables or self._tables, self.memory, now_s)


def _limits(case: Case) -> Tuning:
    limits = TUNING
    if case.answers_per_s is not None:
        limits = replace(limits, answers_per_s=case.answers_per_s)
    if case.udp_idle_s is not None:
        limits = replace(limits, udp_idle_s=case.udp_idle_s)
    return limits
