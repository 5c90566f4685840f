"""Links that somebody severs under a running daemon: how soon they are there again."""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from headrace.daemon.settings import bpf_dir
from headrace.dataplane import libbpf
from tests.bgp.support import eventually
from tests.daemon.node import Node
from tests.maglev.prove import Row

SEVERED = 10
BOUND_S = 2.0
"""A look each second; the kernel tells nobody."""


def rows(directory: Path) -> Iterator[Row]:
    """Every figure of links."""
    with ExitStack() as stack:
        node = Node(stack, directory)
        node.start_up()
        longest_s = max(severed_s(node) for _ in range(SEVERED))
    yield Row(f"an XDP link severed {SEVERED} times: longest until it is again", longest_s, BOUND_S)


def severed_s(node: Node) -> float:
    """How long packets are not forwarded after the link of `wan` was severed, in seconds."""
    sever(bpf_dir(node.runtime_dir), "wan")
    begin_s = time.monotonic()
    assert not node.runs_xdp()
    eventually(node.runs_xdp)
    return time.monotonic() - begin_s


def sever(pins: Path, interface: str) -> None:
    """Detach an interface's link as `bpftool link detach` does, behind the daemon's back."""
    link = libbpf.open_pin(pins / "links" / interface)
    try:
        assert ctypes.CDLL("libbpf.so.1").bpf_link_detach(link) == 0
    finally:
        os.close(link)


def object_ids(pins: Path) -> set[tuple[str, int]]:
    """The kernel's numbers of everything that is pinned there, with their kinds."""
    found = set()
    for path in pins.glob("*/*"):
        fd = libbpf.open_pin(path)
        told = dict(
            line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        )
        os.close(fd)
        kind = next(kind for kind in ("link", "map", "prog") if f"{kind}_id" in told)
        if kind == "link":
            found.add(("prog", int(told["prog_id"])))
        found.add((kind, int(told[f"{kind}_id"])))
    return found


def exists(kind: str, number: int) -> bool:
    """Whether the kernel has an object of this kind and number."""
    fd = ctypes.CDLL("libbpf.so.1")[f"bpf_{kind}_get_fd_by_id"](number)
    if fd >= 0:
        os.close(fd)
    return int(fd) >= 0
