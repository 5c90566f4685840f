"""The demo holds what it claims, and leaves nothing, however it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.lab import down, exec_in
from headrace.lab.namespaces import NETNS_FOLDER
from headrace.lab.state import RUN_FOLDER
from headrace.model.errors import NotFoundError, UnavailableError
from tests.lab.lines import own_name

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

PIN_FOLDERS = (Path("/run/headrace"), Path("/run/tailrace"))

CALL = """
import sys
from rich.console import Console
from headrace import lab
console = Console(width=200)
match sys.argv[1:]:
    case ["demo", name]:
        sys.exit(lab.run_demo(console, name=name))
    case ["up", name]:
        sys.exit(lab.up("demo", console, name=name))
    case ["exec", name, node, *argv]:
        lab.exec_in(name, node, argv)
"""


def call(*arguments: str) -> list[str]:
    return [sys.executable, "-c", CALL, *arguments]


def left_of(name: str) -> list[str]:
    """What there still is of a lab: namespaces, state, pins."""
    found = [*NETNS_FOLDER.glob(f"hr-{name}-*"), *RUN_FOLDER.glob(f"{name}*")]
    for folder in PIN_FOLDERS:
        found += folder.glob(f"{name}-*")
    return [str(path) for path in found]


@pytest.fixture
def name() -> Iterator[str]:
    """A lab name of our own; whatever a test leaves of it is removed."""
    name = own_name("demo")
    yield name
    down(name)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = call(*arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read what a process says until a line that has the text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}")


@pytest.mark.timeout(240)
def test_every_claim_of_the_demo_holds(name: str) -> None:
    done = subprocess.run(call("demo", name), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "claims, all held" in done.stdout
    assert left_of(name) == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGINT, "A router with BGP", id="Ctrl-C while the daemons start"),
        pytest.param(signal.SIGTERM, "live connections", id="SIGTERM under live connections"),
    ],
)
def test_a_demo_that_is_stopped_cleans_up(name: str, number: signal.Signals, moment: str) -> None:
    with running("demo", name) as demo:
        read_until(demo, moment)
        demo.send_signal(number)
        demo.communicate()

    assert demo.returncode == 128 + number
    assert left_of(name) == []


def test_what_a_killed_demo_leaves_is_removed_afterwards(name: str) -> None:
    with running("demo", name) as demo:
        read_until(demo, "yes llb2 runs headrace")
        demo.kill()
        demo.communicate()
    left = left_of(name)

    removed = down(name)

    assert f"/run/headrace/{name}-llb1" in left
    assert removed
    assert left_of(name) == []


def test_a_lab_that_is_up_can_be_played_with_until_it_is_down(name: str) -> None:
    up = subprocess.run(call("up", name), capture_output=True, text=True, check=False)
    status = subprocess.run(
        call("exec", name, "llb2", "headrace", "status", "-o", "json"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert up.returncode == 0, up.stdout + up.stderr
    assert json.loads(status.stdout)["node"] == "llb2"
    assert down(name)
    assert left_of(name) == []


def test_a_command_for_a_lab_that_is_not_there_says_so() -> None:
    with pytest.raises(NotFoundError, match="there is no lab nowhere"):
        exec_in("nowhere", "llb1", ["true"])


def test_without_root_the_demo_says_what_it_needs() -> None:
    program = f"import os\nfrom headrace import lab\nos.setuid(65534)\n{CALL}"
    command = [sys.executable, "-c", program, "demo", own_name("demo")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"{UnavailableError.__name__}: a lab needs root" in done.stderr
