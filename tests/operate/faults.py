"""Kills and failing disks under a daemon that is applying: which revision is there afterwards."""

import json
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from headrace.cli.client import Client, Failure
from headrace.store.revisions import FILE_NAME
from tests.bgp.support import eventually, run
from tests.daemon.node import Daemon, Node
from tests.maglev.prove import Row

KILLS = 50
CUTS = 6
UP_S = 60.0
_DISK_BYTES = 1024 * 1024
_SERVICES = 20


def document(number: int, *, padding: int = 0) -> dict[str, Any]:
    """A document that says which one it is in every service, so that a mixture shows.

    So many characters of each name are noise, which packing makes little smaller.
    """
    noise = random.Random(number).randbytes(padding * _SERVICES // 2).hex()
    service = {"protocol": "udp", "port": 53, "endpoints": [{"address": "56.56.56.1"}]}
    return {
        "node": {"interfaces": ["wan"]},
        "services": [
            service
            | {"vip": f"20.20.20.{n + 1}", "name": f"n{number}-{noise[n * padding :][:padding]}"}
            for n in range(_SERVICES)
        ],
    }


def number_of(found: dict[str, Any]) -> int:
    """Which document this is, whole; -1 for a mixture."""
    names = {each["name"].partition("-")[0] for each in found["services"]}
    whole = len(names) == 1 and len(found["services"]) == _SERVICES
    return int(names.pop().removeprefix("n")) if whole else -1


def rows(directory: Path, kills: int = KILLS) -> Iterator[Row]:
    """Every figure of the store."""
    with ExitStack() as stack:
        node = Node(stack, folder(directory, "kills"))
        lost, torn = killed(node, kills)
    yield Row(f"revisions that were acknowledged and lost, {kills} kills while applying", lost, 0)
    yield Row("documents that were not whole after a kill", torn, 0)
    with ExitStack() as stack:
        node = Node(stack, folder(directory, "full"))
        lost, untold = filled(node, stack.enter_context(small_disk(directory / "full" / "state")))
    yield Row("revisions that were acknowledged and lost, disk full", lost, 0)
    yield Row("refusals for a full disk that do not name file and remedy", untold, 0)
    with ExitStack() as stack:
        node = Node(stack, folder(directory, "read-only"))
        disk = stack.enter_context(small_disk(directory / "read-only" / "state"))
        lost, untold = write_protected(node, disk)
    yield Row("revisions that were acknowledged and lost, disk read-only", lost, 0)
    yield Row(
        "refusals for a read-only disk that do not name file and remedy",
        untold,
        0,
    )
    with ExitStack() as stack:
        node = Node(stack, folder(directory, "damaged"))
        torn, untold, stopped = damaged(node, directory / "damaged" / "state", CUTS)
    name = f"{CUTS} cut logs, cut and random databases"
    yield Row(f"{name}: documents that were not whole", torn, 0)
    yield Row(f"{name}: refusals that do not name file and remedy", untold, 0)
    yield Row(f"{name}: refusals that ended the forwarding", stopped, 0)


def killed(node: Node, kills: int) -> tuple[int, int]:
    """Kill the daemon at random moments while it applies: acknowledged ones lost, torn ones."""
    chance = random.Random(5)
    client = Client(server=None, instance=node.instance, timeout_s=UP_S)
    lost = torn = acknowledged = asked = 0
    for _ in range(kills):
        daemon = started(node, client)
        found = number_of(client.get("/v1/document"))
        torn += found < 0
        lost += found not in {acknowledged, asked} if found >= 0 else 0
        acknowledged = asked = max(found, acknowledged)
        killer = subprocess.Popen(
            ["sh", "-c", f"sleep {chance.uniform(0, 0.4)}; kill -9 {daemon.pid}"]
        )
        with suppress(Failure):
            while True:
                asked += 1
                client.send("PUT", "/v1/document", json.dumps(document(asked)))
                acknowledged = asked
        killer.wait()
        daemon.kill()
    return lost, torn


def filled(node: Node, state: Path) -> tuple[int, int]:
    """Apply until the disk is full, then start again: revisions lost, refusals without remedy."""
    client = Client(server=None, instance=node.instance, timeout_s=UP_S)
    daemon = started(node, client)
    acknowledged, told = 0, ""
    for number in range(1, 1000):
        try:
            client.send("PUT", "/v1/document", json.dumps(document(number, padding=100)))
        except Failure as failure:
            told = str(failure)
            break
        acknowledged = number
    in_force = number_of(client.get("/v1/document"))
    daemon.kill()
    started(node, client)
    after = number_of(client.get("/v1/document"))
    untold = not is_told(told, state, "free some space")
    return int(in_force != acknowledged) + int(after != acknowledged), int(untold)


def write_protected(node: Node, state: Path) -> tuple[int, int]:
    """Start and apply on a disk that has become read-only: revisions lost, refusals untold.

    Under a daemon it cannot become so: a kernel refuses while files are open for writing.
    """
    client = Client(server=None, instance=node.instance, timeout_s=UP_S)
    daemon = started(node, client)
    client.send("PUT", "/v1/document", json.dumps(document(1)))
    daemon.kill()
    run("mount", "-o", "remount,ro", str(state))
    daemon = started(node, client)
    told, lost = "", int(number_of(client.get("/v1/document")) != 1)
    try:
        client.send("PUT", "/v1/document", json.dumps(document(2)))
    except Failure as failure:
        told = str(failure)
    lost += number_of(client.get("/v1/document")) != 1
    daemon.kill()
    run("mount", "-o", "remount,rw", str(state))
    started(node, client)
    lost += number_of(client.get("/v1/document")) != 1
    return lost, int(not is_told(told, state, "mounted for writing"))


def damaged(node: Node, state: Path, cuts: int) -> tuple[int, int, int]:
    """Start on files that were cut or are something else: torn, untold, no longer forwarding."""
    chance = random.Random(6)
    client = Client(server=None, instance=node.instance, timeout_s=UP_S)
    daemon = started(node, client)
    client.send("PUT", "/v1/document", json.dumps(document(1)))
    daemon.kill()
    after_kill = {path: path.read_bytes() for path in state.iterdir()}
    started(node, client).end()
    good = {path: path.read_bytes() for path in state.iterdir()}
    database = state / FILE_NAME
    whole, log = good[database], database.with_name(f"{FILE_NAME}-wal")
    hurts = [
        after_kill | {log: after_kill[log][: chance.randrange(len(after_kill[log]))]}
        for _ in range(cuts)
    ]
    hurts += [good | {database: whole[:size]} for size in (0, 100, len(whole) // 2)]
    hurts.append(good | {database: chance.randbytes(len(whole))})
    torn = untold = stopped = 0
    for files in hurts:
        restore(state, files)
        daemon = node.start(document(0))
        if ends(daemon, client):
            untold += not is_told(daemon.said, state, "put a copy of the file back")
            stopped += not node.runs_xdp()
        else:
            torn += number_of(client.get("/v1/document")) not in {0, 1}
            daemon.kill()
    restore(state, good)
    started(node, client)
    torn += number_of(client.get("/v1/document")) != 1
    return torn, untold, stopped


def ends(daemon: Daemon, client: Client) -> bool:
    """Whether a daemon that starts ends rather than answer."""
    eventually(lambda: daemon.has_ended or answers(client), within_s=UP_S)
    return daemon.has_ended


def restore(state: Path, files: Mapping[Path, bytes]) -> None:
    """Have exactly these files in the folder."""
    for path in state.iterdir():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def is_told(text: str, state: Path, remedy: str) -> bool:
    """Whether an error names the file and what to do."""
    return str(state / FILE_NAME) in text and remedy in text


def started(node: Node, client: Client) -> Daemon:
    """A daemon that answers."""
    daemon = node.start(document(0))
    eventually(lambda: answers(client), within_s=UP_S)
    return daemon


def answers(client: Client) -> bool:
    """Whether the daemon answers."""
    try:
        client.get("/v1/healthz")
    except Failure:
        return False
    return True


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "tmpfs", str(directory))
    try:
        yield directory
    finally:
        run("umount", "--lazy", str(directory))


def folder(directory: Path, name: str) -> Path:
    """A new folder for a node."""
    made = directory / name
    made.mkdir()
    return made
