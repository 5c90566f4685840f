"""Processes of ours and of a former daemon's."""

import os
import signal
import sys
from pathlib import Path

import pytest

from headrace.bgp.process import Process
from tests.bgp.support import eventually

SLEEPER = [sys.executable, "-S", "-c", "import signal; signal.pause()", "the-mark"]


def start(tmp_path: Path, *arguments: str) -> Process:
    command = list(arguments) or SLEEPER
    return Process.start(command, environment=os.environ, output=tmp_path / "out")


async def test_the_exit_code_and_the_output_are_known(tmp_path: Path) -> None:
    script = "import sys; print('so long'); sys.exit(3)"

    process = start(tmp_path, sys.executable, "-S", "-c", script)

    assert await process.wait() == 3
    assert (tmp_path / "out").read_text() == "so long\n"
    process.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_can_be_ended(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)

    if number is signal.SIGTERM:
        process.terminate()
    else:
        process.kill()

    assert await process.wait() == -number
    process.terminate()  # a dead process is not an error
    process.close()


async def test_it_is_found_by_its_pidfile_and_an_argument(tmp_path: Path) -> None:
    process = start(tmp_path)
    pidfile = tmp_path / "pid"
    pidfile.write_text(f"{process.pid}\n")

    found = eventually(lambda: Process.find(pidfile, "the-mark"))  # it takes its arguments late
    stranger = Process.find(pidfile, "another-mark")

    assert found is not None
    assert found.pid == process.pid
    assert stranger is None
    found.kill()
    assert await process.wait() == -signal.SIGKILL
    assert Process.find(pidfile, "the-mark") is None
    found.close()
    process.close()


@pytest.mark.parametrize("content", [None, "", "many", "-1", "0", "99999999999"])
def test_a_pidfile_that_names_nobody_finds_nobody(tmp_path: Path, content: str | None) -> None:
    pidfile = tmp_path / "pid"
    if content is not None:
        pidfile.write_text(content)

    assert Process.find(pidfile, "mark") is None
