"""Changes under full packet load lose no packet and send none to the wrong endpoint."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace.dataplane import libbpf
from headrace.model import Port

from .changing import CHANGES, GROWTH, Changing, seen
from .rig import LOOPBACK, OWN_MAC

pytestmark = pytest.mark.bpf

REDIRECT = 4
SWITCH_S = 0.0002
"""How long a thread of Python runs at most while the other waits."""
PACKETS_AT_LEAST = 5000


@dataclass(slots=True)
class Load:
    """Packets as fast as one thread can, by the program that is pinned at the moment."""

    changing: Changing
    pin: Path
    stop: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[int, int, int, int, bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Send until told to stop."""
        while not self.stop.is_set():
            for flow, frame in enumerate(self.changing.frames):
                before, program = self.changing.done, self.pin.stat().st_ino
                code, out = self._run_pinned(frame)
                after = self.changing.started
                # Else Python was held up between the two, as no packet is in the kernel.
                if self.pin.stat().st_ino == program:
                    self.seen.append((flow, before, after, code, seen(out)))

    def _run_pinned(self, frame: bytes) -> tuple[int, bytes]:
        fd = libbpf.open_pin(self.pin)
        try:
            return libbpf.run_program(fd, frame, ifindex=LOOPBACK)
        finally:
            os.close(fd)


@pytest.fixture
def switch() -> Iterator[None]:
    """Threads that take turns often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switch")
def test_changes_under_load_lose_and_misdirect_nothing(pins: Path) -> None:
    changing = Changing(pins, Port("lo", LOOPBACK, (OWN_MAC,)))
    lines = line_count(pins)
    load = Load(changing, pins / "programs/headrace")
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        made = sum(1 for _ in changing.changes())
    finally:
        load.stop.set()
        thread.join()

    wrong = [
        each
        for each in load.seen
        if each[3] != REDIRECT or not changing.is_right(each[0], each[4], each[1], each[2])
    ]
    assert wrong == []
    assert made == CHANGES
    assert len(load.seen) >= PACKETS_AT_LEAST
    assert len({before for _, before, after, *_ in load.seen if after > before}) >= CHANGES // 4
    assert line_count(pins) * 16 > sum(GROWTH) > lines * 16
    changing.close()


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with the veth pair v0 and p0."""
    name = f"hr-test-{os.getpid()}-changing"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "name", "v0", "type", "veth", "peer", "name", "p0")
        for end in ("v0", "p0"):
            run("ip", "-n", name, "link", "set", end, "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


@pytest.mark.netns
def test_changes_under_packets_on_a_wire_lose_and_misdirect_nothing(
    namespace: str, pins: Path
) -> None:
    enter = ("nsenter", f"--net=/run/netns/{namespace}")
    told = json.loads(
        run(*enter, sys.executable, "-m", "tests.dataplane.flood", str(pins)).splitlines()[-1]
    )

    assert (told["lost"], told["wrong"], told["dropped"]) == (0, 0, {})
    assert told["changes"] == CHANGES
    assert told["packets"] >= PACKETS_AT_LEAST
    assert told["met"] >= CHANGES // 4


def run(*argv: str) -> str:
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def line_count(pins: Path) -> int:
    fd = libbpf.open_pin(pins / "maps/slot_lines")
    try:
        return int(libbpf.map_info(fd).max_entries)
    finally:
        os.close(fd)
