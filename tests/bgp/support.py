"""Networks for the end-to-end tests: a load balancer's namespace, its routers, a speaker's host."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from headrace.lab.tools import find_tool
from tests.bgp.namespaces import DEADLINE_S, Namespace, eventually, run
from tests.bgp.routers import BirdRouter, FrrRouter, Router, Wishes

__all__ = ["Host", "Network", "bgp_section", "eventually", "run", "whole"]

HOST = Path(__file__).with_name("speaker_host.py")


def whole(announcement: "str | dict[str, Any]") -> list[Any]:
    """All fields of an announcement, as the relay reads them; a prefix has none but itself."""
    given = {"prefix": announcement} if isinstance(announcement, str) else announcement
    fields: dict[str, Any] = {
        "prefix": None,
        "med": None,
        "communities": [],
        "prepend": 0,
        "local_pref": None,
        "next_hop": None,
    }
    return list((fields | given).values())


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
        """Make this the whole set: prefixes, or mappings of an announcement's fields."""
        self.ask(do="announce", announcements=[whole(each) for each in announcements])

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

    def router(self, number: int = 1, **wishes: Any) -> BirdRouter:
        """A BIRD on a link of its own, running."""
        router = BirdRouter(*self._place(number))
        router.start(self._stack, Wishes(**wishes))
        return router

    def frr(self, number: int = 1, **wishes: Any) -> FrrRouter:
        """An FRR on a link of its own, running."""
        router = FrrRouter(*self._place(number))
        router.start(self._stack, Wishes(**wishes))
        return router

    def host(
        self,
        bgp: dict[str, Any] | None,
        *,
        patience_s: float = DEADLINE_S,
        programs: Path | None = None,
    ) -> Host:
        """Start a daemon's process in the load balancer's namespace.

        `patience_s` is how long it waits for a speaker that hangs, `programs` where it finds BIRD.
        """
        command = [sys.executable, str(HOST), str(self.state), str(patience_s)]
        path = os.pathsep.join((str(programs or find_tool("bird").parent), os.environ["PATH"]))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self._stack.enter_context(
            self.lb.running(*command, env=os.environ | {"PATH": path}, **pipes)
        )
        host = Host(process)
        host.tell(bgp=bgp)
        return host

    def speaker_pid(self) -> int:
        """The number of the process that the daemon supervises: ExaBGP, or BIRD's relay."""
        pidfiles = [self.state / "exabgp.pid", self.state / "bird.pid"]
        texts = [path.read_text() for path in pidfiles if path.exists()]
        return next(pid for pid in map(int, texts) if pid in self.lb.processes)

    def child_pid(self) -> int:
        """The number of its only child: ExaBGP's relay, or BIRD."""
        pid = self.speaker_pid()
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def helper_pid(self) -> int:
        """The number of the relay of the BFD helper."""
        return int((self.state / "bfd" / "bird.pid").read_text())

    def kill(self, pid: int) -> None:
        """End a process of the load balancer's without a word."""
        assert pid in self.lb.processes
        os.kill(pid, signal.SIGKILL)

    def _place(self, number: int) -> tuple[int, Namespace, Path]:
        """A link to a new namespace, and a directory for what runs there."""
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
        return number, namespace, directory

    def _namespace(self, name: str) -> Namespace:
        namespace = Namespace(f"{self._tag}-{name}")
        run("ip", "netns", "add", namespace.name)
        self._stack.callback(run, "ip", "netns", "delete", namespace.name)
        namespace.ip("link", "set", "lo", "up")
        return namespace

    def _end_orphan(self) -> None:
        """End what a killed daemon left running; nothing else is in that namespace."""
        for pid in self.lb.processes:
            os.kill(pid, signal.SIGKILL)


def bgp_section(*routers: Router, speaker: str = "exabgp", **peer_options: Any) -> dict[str, Any]:
    """The document's section for IPv4 sessions with these routers."""
    peers = [{"address": router.address, "as": 65001} | peer_options for router in routers]
    return {"as": 64512, "router_id": "10.9.1.1", "speaker": speaker, "peers": peers}
