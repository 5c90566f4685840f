"""The demo holds what it claims, and leaves nothing, however it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.lab import down, exec_in
from headrace.model.errors import NotFoundError, UnavailableError
from tests.house.source import ROOT
from tests.lab.lines import left_of, own_name

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

CALL = """
import sys
from rich.console import Console
from headrace import lab
console = Console(width=200)
match sys.argv[1:]:
    case ["demo", name]:
        sys.exit(lab.run_demo(console, name=name, connections=400))
    case ["up", name]:
        sys.exit(lab.up("demo", console, name=name))
    case ["exec", name, node, *argv]:
        lab.exec_in(name, node, argv)
"""


PLAY = re.compile(
    r"^## Play with it\n+```sh\n\. \.venv/bin/activate\n(.*?)^```", re.DOTALL | re.MULTILINE
)

PLAY_SHOWS = (
    r"20\.20\.20\.1:8080/tcp +yes +yes",
    r"sent, endpoint 5[678]\.",
    r"nexthop via 11\.11\.11\.1 .*\n.*nexthop via 11\.11\.11\.2 ",
    r"^server[123]$",
)
"""What the README's commands between `lab up` and `lab down` show, one after the other."""


def commands_to_play(name: str) -> list[str]:
    """The README's commands to play with a lab, for a lab of another name."""
    block = PLAY.search((ROOT / "README.md").read_text())
    assert block is not None
    text = block[1].replace("lab up demo", f"lab up demo --lab {name}")
    text = text.replace("lab exec ", f"lab exec --lab {name} ").replace(
        "lab down demo", f"lab down {name}"
    )
    assert text.count(name) == len(text.splitlines())
    return text.splitlines()


def run_shown(command: str) -> str:
    """What a command that a document shows prints, with the programs of this Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def call(*arguments: str) -> list[str]:
    return [sys.executable, "-c", CALL, *arguments]


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
    assert done.stderr == ""
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


def test_a_lab_that_is_up_can_be_played_with_as_the_readme_says(name: str) -> None:
    up, *play, end = commands_to_play(name)

    built = run_shown(up)
    shown = [run_shown(command) for command in play]
    ended = run_shown(end)

    assert f"lab {name} is up: user, r1, llb1, llb2" in built
    for text, expected in zip(shown, PLAY_SHOWS, strict=True):
        assert re.search(expected, text), text
    assert ended == ""
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
