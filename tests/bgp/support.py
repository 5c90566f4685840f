"""Networks for the end-to-end tests: namespaces of their own, BIRD routers, a speaker's host."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from headrace.lab.tools import find_tool

HOST = Path(__file__).with_name("speaker_host.py")
DEADLINE_S = 15.0

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within_s: float = DEADLINE_S) -> T:
    """The first true value that `look` gives; fails when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (value := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last seen: {value!r}")
        time.sleep(0.02)
    return value


def run(*command: str) -> str:
    """What a command prints; fails with it."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


class Namespace:
    """A network namespace of the test's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    @contextmanager
    def running(self, *command: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
        """A process inside, which does not outlive the block."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", *command]
        with subprocess.Popen(inside, text=True, **options) as process:
            try:
                yield process
            finally:
                process.kill()


class Router:
    """BIRD in a namespace: AS 65001, 10.9.N.254 and fd09:N::254; its peer is .1 in AS 64512."""

    def __init__(self, number: int, namespace: Namespace, directory: Path) -> None:
        self.address = f"10.9.{number}.254"
        self.address6 = f"fd09:{number}::254"
        self.namespace = namespace
        self.log = directory / "bird.log"
        self._control = directory / "bird.ctl"
        self._configuration = directory / "bird.conf"

    def start(self, stack: ExitStack, options: str) -> None:
        """Run BIRD until the stack ends."""
        self._configuration.write_text(_bird_configuration(self, options))
        log = stack.enter_context(self.log.open("w"))
        bird = [str(find_tool("bird")), "-f", "-c", str(self._configuration)]
        stack.enter_context(
            self.namespace.running(*bird, "-s", str(self._control), stdout=log, stderr=log)
        )
        eventually(self._control.exists)

    def ask(self, *command: str) -> str:
        """What BIRD's control client prints."""
        return run(str(find_tool("birdc")), "-s", str(self._control), *command)

    def has(self, prefix: str) -> bool:
        """Whether BIRD has put a route into the kernel."""
        family = "-6" if ":" in prefix else "-4"
        routes = self.namespace.ip(family, "route", "show", "proto", "bird")
        return any(line.split()[0] == prefix for line in routes.splitlines())

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """What happens to the kernel's routes during the block, a line each."""
        lines: list[str] = []
        command = ["ip", "-o", "monitor", "route"]
        with self.namespace.running(*command, stdout=subprocess.PIPE) as monitor:
            reader = threading.Thread(target=lambda: lines.extend(monitor.stdout or ()))
            reader.start()
            self.namespace.ip("route", "add", "192.0.2.1/32", "dev", "lo")
            eventually(lambda: lines)  # it watches: it has seen the route above
            lines.clear()
            yield lines
        reader.join(timeout=10)


class Host:
    """A process that runs a speaker, as the daemon does."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.events: list[list[str]] = []
        self._process = process
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def tell(self, **order: object) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def ask(self, **order: object) -> Any:
        """Have something done; what came of it."""
        self.tell(**order)
        answer = self.next_answer()
        assert "done" in answer, answer
        return answer["done"]

    def next_answer(self) -> dict[str, Any]:
        """What came of the order told first that has no answer yet."""
        return self._answers.get(timeout=DEADLINE_S)

    def announce(self, *announcements: Any) -> None:
        """Make this the whole set: prefixes, or lists of prefix, MED and communities."""
        whole = [[each, None, []] if isinstance(each, str) else each for each in announcements]
        self.ask(do="announce", announcements=whole)

    def is_up(self, peer: str) -> bool:
        """Whether the speaker says that a session is up."""
        return any(entry[:2] == [peer, "up"] for entry in self.ask(do="sessions"))

    def kill(self) -> None:
        """The daemon dies without a word."""
        self._process.kill()
        self.wait()

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if not line.startswith("{"):
                continue  # a log line
            message = json.loads(line)
            if "event" in message:
                self.events.append(message["event"])
            else:
                self._answers.put(message)


class Network:
    """A load balancer's namespace and those of its routers; all of it goes with the stack."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._tag = f"hr{uuid4().hex[:6]}"
        self.state = directory / "bgp"
        self.lb = self._namespace("lb")
        stack.callback(self._end_orphan)

    def router(self, number: int = 1, *, options: str = "") -> Router:
        """A router on a link of its own, running; `options` go into BIRD's session."""
        name = f"r{number}"
        namespace = self._namespace(name)
        peer = ["type", "veth", "peer", "lb", "netns", namespace.name]
        self.lb.ip("link", "add", name, *peer)
        for end, device, host in ((self.lb, name, "1"), (namespace, "lb", "254")):
            end.ip("address", "add", f"10.9.{number}.{host}/24", "dev", device)
            end.ip("address", "add", f"fd09:{number}::{host}/64", "dev", device, "nodad")
            end.ip("link", "set", device, "up")
        directory = self._directory / name
        directory.mkdir()
        router = Router(number, namespace, directory)
        router.start(self._stack, options)
        return router

    def host(
        self, bgp: dict[str, Any] | None, *, keep_s: float = 60.0, patience_s: float = DEADLINE_S
    ) -> Host:
        """Start a daemon's process in the load balancer's namespace.

        `patience_s` is how long it waits for an ExaBGP that hangs.
        """
        command = [sys.executable, str(HOST), str(self.state), str(keep_s), str(patience_s)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self._stack.enter_context(self.lb.running(*command, **pipes))
        host = Host(process)
        host.tell(bgp=bgp)
        return host

    def exabgp_pid(self) -> int:
        """The number of the ExaBGP that runs."""
        return int((self.state / "exabgp.pid").read_text())

    def relay_pid(self) -> int:
        """The number of ExaBGP's only child."""
        pid = self.exabgp_pid()
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def processes(self) -> list[int]:
        """Every process in the load balancer's namespace."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.lb.name).split()]

    def _namespace(self, name: str) -> Namespace:
        namespace = Namespace(f"{self._tag}-{name}")
        run("ip", "netns", "add", namespace.name)
        self._stack.callback(run, "ip", "netns", "delete", namespace.name)
        namespace.ip("link", "set", "lo", "up")
        return namespace

    def _end_orphan(self) -> None:
        """End what a killed daemon left running; nothing else is in that namespace."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def bgp_section(*routers: Router, **peer_options: Any) -> dict[str, Any]:
    """The document's section for IPv4 sessions with these routers."""
    peers = [{"address": router.address, "as": 65001} | peer_options for router in routers]
    return {"as": 64512, "router_id": "10.9.1.1", "peers": peers}


def _bird_configuration(router: Router, options: str) -> str:
    kernel = "".join(
        f"protocol kernel {{ {family} {{ export all; import none; }}; }}\n"
        for family in ("ipv4", "ipv6")
    )
    sessions = "".join(
        f"""protocol bgp lb_{family} {{
            local {ours} as 65001;
            neighbor {peer} as 64512;
            error wait time 1,2; connect delay time 1; connect retry time 1;
            {family} {{ import all; export none; }};
            {options}
        }}\n"""
        for family, ours, peer in (
            ("ipv4", router.address, router.address.replace("254", "1")),
            ("ipv6", router.address6, router.address6.replace("254", "1")),
        )
    )
    return f"router id {router.address};\nprotocol device {{}}\n{kernel}{sessions}"
