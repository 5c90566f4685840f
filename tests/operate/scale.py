"""A large node, figures by the clock: what an operator waits for, and what an idle daemon takes."""

import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from math import inf
from pathlib import Path
from typing import Any

from headrace.cli.client import Client
from headrace.cli.unix_socket import exchange
from tests.bgp.support import eventually
from tests.daemon.node import ROUTER_ADDRESS, Daemon, Node
from tests.maglev.prove import Row
from tests.operate.sites import key_of, large_document, service

LARGE, USUAL = 4_096, 1_000  # services
POOLS, ENDPOINTS = 128, 8
CHANGES = 300
IDLE_S = 20.0
COLD_S = 5.0
LIST_MS, CHANGE_MS, START_MS = 100.0, 20.0, 150.0
PROCESSOR_PERCENT, MEMORY_MB = 1.0, 120.0
_ASKED = 15
_MAPPING = re.compile("[0-9a-f]+-[0-9a-f]+ ")
_EMPTY: dict[str, Any] = {"node": {"interfaces": ["wan"]}}
_BGP: dict[str, Any] = {
    "as": 64512,
    "router_id": "10.9.1.1",
    "peers": [{"address": ROUTER_ADDRESS, "as": 64600}],
}


def rows(directory: Path) -> Iterator[Row]:
    """Every figure of scale."""
    with ExitStack() as stack:
        yield from _large_rows(Node(stack, _folder(directory, "large")))
    with ExitStack() as stack:
        yield from _usual_rows(Node(stack, _folder(directory, "usual")))


def _large_rows(node: Node) -> Iterator[Row]:
    started(node, _EMPTY)
    document = large_document(LARGE, pools=POOLS, endpoints=ENDPOINTS)
    taken_s = apply_s(node, document)
    yield Row(
        f"{LARGE:,} services, {POOLS} pools of {ENDPOINTS}, applied cold", taken_s, COLD_S, "s"
    )
    taken_ms = statistics.median(
        timed_ms(lambda: read_whole(node, "/v1/services")) for _ in range(_ASKED)
    )
    yield Row(f"GET /v1/services of {LARGE:,}, median", taken_ms, LIST_MS, "ms")


def _usual_rows(node: Node) -> Iterator[Row]:
    daemon = started(node, _EMPTY)
    listing = ("get", "lb")
    yield Row("headrace get lb, its start, median", command_ms(node, *listing), START_MS, "ms")
    apply_s(node, large_document(USUAL, pools=POOLS, endpoints=ENDPOINTS))
    yield Row(f"the same with {USUAL:,} rules to list", command_ms(node, *listing), inf, "ms")
    taken = changes_ms(node, CHANGES)
    yield Row(
        f"a change of {USUAL:,} services by REST, p99 of {CHANGES}", p99(taken), CHANGE_MS, "ms"
    )
    percent = processor_percent(daemon.pid, IDLE_S)
    yield Row(f"processor of the idle daemon, {USUAL:,} services", percent, PROCESSOR_PERCENT, "%")
    yield Row(f"its own memory, {USUAL:,} services", memory_mb(daemon.pid), MEMORY_MB, "MB")
    document = large_document(USUAL, pools=POOLS, endpoints=ENDPOINTS) | {"bgp": _BGP}
    apply_s(node, document)
    eventually(lambda: not _is_silent(node))
    taken = announced_ms(node, CHANGES)
    median, slow = statistics.median(taken), p99(taken)
    yield Row(f"the same where ExaBGP is told, median of {CHANGES}", median, CHANGE_MS, "ms")
    yield Row(f"the same, p99 of {CHANGES}", slow, inf, "ms")


def started(node: Node, document: dict[str, Any]) -> Daemon:
    """The node's daemon, once it answers."""
    daemon = node.start(document)
    eventually(lambda: (node.runtime_dir / "api.sock").exists() and node.headrace("version"))
    return daemon


def client_of(node: Node) -> Client:
    return Client(server=None, instance=node.instance, timeout_s=60.0)


def read_whole(node: Node, path: str) -> bytes:
    """What is at a path, to its last byte."""
    socket_path = str(node.runtime_dir / "api.sock")
    status, body = exchange(socket_path, 60.0, ("GET", path, {"Connection": "close"}, b""))
    assert status == HTTPStatus.OK
    return body


def timed_ms(work: Callable[[], object]) -> float:
    """How long a call takes by the clock, in milliseconds."""
    begin_s = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin_s)


def apply_s(node: Node, document: dict[str, Any]) -> float:
    """Until a whole document is in force, in seconds."""
    text = json.dumps(document)
    return timed_ms(lambda: client_of(node).send("PUT", "/v1/document", text)) / 1000


def changes_ms(node: Node, count: int) -> list[float]:
    """Services added, changed and removed, each until the kernel was read back."""
    client = client_of(node)
    taken = []
    for number in range(count):
        round_, kind = divmod(number, 3)
        body = service(LARGE + round_, pool=round_ % POOLS) | (
            {"hold_down_s": 5.0} if kind == 1 else {}
        )
        path = f"/v1/services/{key_of(body)}"
        method, text = ("DELETE", None) if kind == 2 else ("PUT", json.dumps(body))
        taken.append(timed_ms(partial(client.send, method, path, text)))
    return taken


def announced_ms(node: Node, count: int) -> list[float]:
    """Services added and changed, each until the speaker has taken it.

    None is removed: that waits until routers have acted on the withdrawal.
    """
    client = client_of(node)
    taken = []
    for number in range(count):
        round_, kind = divmod(number, 2)
        body = service(LARGE + round_, pool=round_ % POOLS) | ({"med": 5} if kind else {})
        path = f"/v1/services/{key_of(body)}"
        taken.append(timed_ms(partial(client.send, "PUT", path, json.dumps(body))))
    return taken


def _is_silent(node: Node) -> bool:
    """Whether the speaker has not taken the set yet."""
    problems = client_of(node).get("/v1/status")["problems"]
    return any("speaker" in problem for problem in problems)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def processor_percent(pid: int, seconds: float) -> float:
    """What share of one processor a process takes over so long."""
    before = _ticks(pid)
    begin_s = time.perf_counter()
    time.sleep(seconds)
    passed_s = time.perf_counter() - begin_s
    return 100 * (_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / passed_s


def memory_mb(pid: int) -> float:
    """A process's resident memory in 10^6 bytes, but for the maps of the data plane.

    Those stay when the daemon ends; what it has mapped of them is no memory of its own.
    """
    resident, is_own = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if _MAPPING.match(line):
            is_own = not line.endswith("bpf-map")
        elif is_own and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
    return resident / 1e6


def command_ms(node: Node, *arguments: str) -> float:
    """The median time that a command takes, in milliseconds."""
    return statistics.median(timed_ms(lambda: node.headrace(*arguments)) for _ in range(_ASKED))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime, stime


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
