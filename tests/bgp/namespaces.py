"""Network namespaces of the tests' own, and waiting for what happens in them."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

DEADLINE_S = 45.0

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

    def inside(self, *command: str) -> str:
        """What a command prints that runs inside."""
        return run("nsenter", f"--net=/run/netns/{self.name}", *command)

    @property
    def processes(self) -> list[int]:
        """The numbers of all inside."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    @contextmanager
    def running(self, *command: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
        """A process inside, which does not outlive the block."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", *command]
        with subprocess.Popen(inside, text=True, **options) as process:
            try:
                yield process
            finally:
                process.kill()
