"""Daemons that end, die and are exchanged under full load, and what is left behind."""

import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from headrace.cli.client import RUNTIME_ROOT
from headrace.daemon.settings import bpf_dir
from headrace.dataplane import lock_holder
from headrace.dataplane.pins import read_links
from headrace.lab.namespaces import command_in_namespace
from tests.bgp.support import eventually, run
from tests.conftest import ROOT
from tests.daemon.node import ROUTER_ADDRESS, Daemon, Node
from tests.maglev.prove import Row
from tests.operate.load import FLOWS
from tests.operate.other_version import ENDPOINTS, SERVICES, build_version, variables_of

CYCLES = 100
UP_S = 60.0
_REMOTES = ("10.9.1.251", "10.9.1.252", "10.9.1.253")  # of the endpoints, all at the router
_IDLE_S = 5.0
_VIPS = "20.20.16.0/20"

_SERVICE: dict[str, Any] = {"protocol": "udp", "port": 53, "pool": "all"}
_SOME_CLIENTS = {"sources": [f"{ROUTER_ADDRESS}/32"]}
SITE: dict[str, Any] = {
    "services": [
        _SERVICE | {"vip": "20.20.20.1"},
        _SERVICE | {"vip": "20.20.21.0/24"},
        _SERVICE | {"vip": "20.20.22.1", "port": "any"},
        _SERVICE | {"vip": "20.20.23.1"} | _SOME_CLIENTS,
        _SERVICE | {"vip": "20.20.24.0/28", "port": "any"} | _SOME_CLIENTS,
    ],
    "pools": {"all": {"endpoints": [{"address": f"56.56.56.{n}"} for n in (1, 2, 3)]}},
    "node": {
        "interfaces": ["wan"],
        "tunnels": [
            {"endpoint": f"56.56.56.{n}", "local": "10.9.1.1", "remote": remote}
            for n, remote in enumerate(_REMOTES, start=1)
        ],
    },
}


class Site(Node):
    """A node whose endpoints are told apart by their outer address, of any version."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.source: Path | None = None  # of a version that is not this tree
        super().__init__(stack, directory)
        for remote in _REMOTES:
            run("ip", "-n", self._router, "address", "add", f"{remote}/24", "dev", "lb")
        run("ip", "-n", self._router, "route", "add", _VIPS, "via", "10.9.1.1")

    def begin(self, document: dict[str, Any] = SITE) -> Daemon:
        """Start a daemon; its data plane is as the document says when this returns."""
        daemon = self.start(document)
        eventually(lambda: self.answers(daemon), within_s=UP_S)
        return daemon

    def answers(self, daemon: Daemon) -> bool:
        """Whether it is this daemon that forwards."""
        lock = self.runtime_dir / "lock"
        return (
            '"started"' in daemon.said
            and lock.exists()
            and lock_holder(lock) == daemon.pid
            and self._forwards()
        )

    @contextmanager
    def load(self) -> Iterator[Callable[[], Counter[str]]]:
        """Full load meanwhile; call what is given to see what came of it so far."""
        command = [sys.executable, "-m", "tests.operate.load", "lb"]
        process = subprocess.Popen(
            command_in_namespace(self._router, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def tell() -> Counter[str]:
            asked.write("\n")
            asked.flush()
            return Counter(json.loads(answers.readline()))

        with process:
            try:
                yield tell
            finally:
                process.kill()

    def links(self) -> dict[str, int]:
        """The interfaces with a pinned link that the kernel runs a program on, too."""
        shown = {link["ifname"]: link for link in json.loads(self.ip("-j", "link"))}
        return {
            name: index
            for name, index in read_links(bpf_dir(self.runtime_dir)).items()
            if name in shown and shown[name]["ifindex"] == index and "xdp" in shown[name]
        }

    def ip(self, *arguments: str) -> str:
        """Run `ip` on the node."""
        return run("ip", "-n", self._balancer, *arguments)

    def _command(self, *arguments: str) -> list[str]:
        command = super()._command(*arguments)
        if self.source is None:
            return command
        index = command.index("--") + 1
        return [*command[:index], *variables_of(self.source), *command[index:]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One way for a daemon to make room for the next one."""

    name: str
    signal: str = ""  # for a stop as the service manager's
    changes_version: bool = False
    kills_next: bool = False  # at some moment of its start; another follows


EXCHANGES = (
    Exchange("stopped"),
    Exchange("killed", "KILL"),
    Exchange("crashed", "SEGV"),
    Exchange("stopped for another version", changes_version=True),
    Exchange("killed for another version", "KILL", changes_version=True),
    Exchange("killed while it starts", "KILL", kills_next=True),
    Exchange("killed while another version starts", "KILL", changes_version=True, kills_next=True),
)


def rows(directory: Path, cycles: int = CYCLES) -> Iterator[Row]:
    """Every figure of restarts: of all ways in turn, in an order of chance."""
    versions = [
        build_version(directory / name, changes)
        for name, changes in (("this", {}), ("services", SERVICES), ("endpoints", ENDPOINTS))
    ]
    with ExitStack() as stack:
        site = Site(stack, directory)
        site.source = versions[0]
        with _Course(site, versions).running() as course:
            yield from course.idle_rows()
            schedule = [EXCHANGES[n % len(EXCHANGES)] for n in range(cycles)]
            course.chance.shuffle(schedule)
            for exchange in schedule:
                course.cycle(exchange)
            yield from course.rows()


class _Course:
    """Daemons that follow each other under full load, and what came of it by the way they did."""

    def __init__(self, site: Site, versions: Sequence[Path]) -> None:
        self.chance = random.Random(5)
        self._site, self._versions = site, versions
        self._daemon = site.begin()
        self._counted: defaultdict[Exchange, Counter[str]] = defaultdict(Counter)
        self._tell: Callable[[], Counter[str]] = Counter
        self._up_s = 2.0

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Under load meanwhile."""
        with self._site.load() as self._tell:
            yield self

    def idle_rows(self) -> Iterator[Row]:
        """The sender itself, while nothing happens."""
        before = self._tell()
        begin_s = time.monotonic()
        time.sleep(_IDLE_S)
        told = self._tell()
        told.subtract(before)
        rate = told["sent"] / (time.monotonic() - begin_s)
        yield Row(f"nothing happens, {rate:,.0f} packets/s: lost", told["lost"], 0)

    def cycle(self, exchange: Exchange) -> None:
        """One daemon makes room for the next one."""
        before, begin_s = self._tell(), time.monotonic()
        _end(self._daemon, exchange.signal)
        if exchange.changes_version:
            others = [each for each in self._versions if each != self._site.source]
            self._site.source = self.chance.choice(others)
        if exchange.kills_next:
            killed = self._site.start(SITE)
            time.sleep(self.chance.uniform(0, self._up_s))
            killed.kill()
        up_s = time.monotonic()
        self._daemon = self._site.begin()
        self._up_s = time.monotonic() - up_s
        counted = self._counted[exchange]
        counted.update(self._tell())
        counted.subtract(before)
        counted.update(cycles=1, ms=round(1000 * (time.monotonic() - begin_s)))

    def rows(self) -> Iterator[Row]:
        """What came of each way."""
        told = self._tell()
        assert told["flows"] == FLOWS, told
        assert told["endpoints"] == len(_REMOTES), told
        for exchange in EXCHANGES:
            counted = self._counted[exchange]
            rate = 1000 * counted["sent"] / max(counted["ms"], 1)
            name = f"{counted['cycles']} daemons {exchange.name}, {rate:,.0f} packets/s"
            yield Row(f"{name}: lost", counted["lost"], 0)
            yield Row(f"{name}: misdirected", counted["misdirected"], 0)


def _end(daemon: Daemon, signal: str) -> None:
    if signal:
        run("kill", f"-{signal}", str(daemon.pid))
        daemon.wait()
    else:
        assert daemon.end() == 0, daemon.said


def traces(site: Site) -> dict[str, Any]:
    """All that an instance can leave behind, on the node and on the host."""
    families: tuple[tuple[str, ...], ...] = ((), ("-6",))
    return {
        "links": [
            link["ifname"] + str("xdp" in link) for link in json.loads(site.ip("-j", "link"))
        ],
        "addresses": site.ip("-o", "address", "show", "dev", "wan").count("\n"),
        "routes": [  # the kernel adds those of link-local addresses when it likes
            line
            for family in families
            for line in site.ip(*family, "route", "show", "table", "all").splitlines()
            if "fe80:" not in line
        ],
        "rules": [site.ip(*family, "rule", "show") for family in families],
        "mounts": Path("/proc/mounts").read_text().count(site.instance),
        "files": sorted(map(str, Path(RUNTIME_ROOT).glob(f"{site.instance}*"))),
        "processes": site.processes(),
    }
