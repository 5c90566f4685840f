"""Exactly the processes that were started are ended."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.lab.processes import (
    ProcessId,
    end_child,
    end_processes,
    kill_processes,
    signal_child,
    start_detached,
)
from headrace.model.errors import UnavailableError

DEAF_PROGRAM = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
signal.pause()
"""


def start(tmp_path: Path, *argv: str) -> ProcessId:
    return start_detached(argv, tmp_path / "log", os.environ)


def test_a_process_that_was_started_is_ended(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    was_alive = process.is_alive()

    end_processes([process])

    assert was_alive
    assert not process.is_alive()


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, sys.executable, "-c", DEAF_PROGRAM)
    while "deaf" not in (tmp_path / "log").read_text():
        assert process.is_alive()

    end_processes([process], grace_s=0.1)

    assert not process.is_alive()


def test_the_time_that_a_process_has_used_grows_with_its_work() -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    before_s = own.cpu_s()

    while (used_s := own.cpu_s() - before_s) <= 0:
        pass

    assert used_s < 10


def test_an_ended_process_has_no_time_to_tell_of(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    end_processes([process])

    with pytest.raises(UnavailableError, match="has ended"):
        ProcessId(process.pid, process.start_ticks - 1).cpu_s()


def test_a_process_that_took_over_the_pid_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        real = ProcessId.of(other.pid)
        assert real is not None
        impostor = ProcessId(real.pid, real.start_ticks - 1)

        end_processes([impostor])
        kill_processes([impostor])

        assert other.poll() is None
        other.kill()


def test_a_process_that_has_ended_is_not_missed(tmp_path: Path) -> None:
    process = start(tmp_path, "true")

    end_processes([process])

    assert not process.is_alive()


def test_a_signal_leaves_the_exit_status_of_a_child_to_whoever_waits_for_it() -> None:
    pid = os.posix_spawnp("true", ["true"], os.environ)
    os.waitid(
        os.P_PID, pid, os.WEXITED | os.WNOWAIT
    )  # it has ended, and nobody has taken its status

    signal_child(pid, signal.SIGTERM)

    assert os.waitpid(pid, 0) == (pid, 0)


def test_a_signal_for_a_child_that_was_waited_for_goes_nowhere() -> None:
    pid = os.posix_spawnp("true", ["true"], os.environ)
    os.waitpid(pid, 0)

    signal_child(pid, signal.SIGKILL)

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        pytest.param(["sleep", "60"], -signal.SIGTERM, id="asked"),
        pytest.param([sys.executable, "-c", DEAF_PROGRAM], -signal.SIGKILL, id="killed"),
        pytest.param(["echo"], 0, id="ended by itself"),
    ],
)
async def test_a_child_of_asyncio_ends_with_its_own_exit_status(
    argv: list[str], status: int
) -> None:
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    if argv[0] != "sleep":
        await child.stdout.readline()
    if argv[0] == "echo":
        await child.wait()

    await end_child(child, grace_s=0.5)
    await end_child(child, grace_s=0.5)

    assert child.returncode == status


def test_output_and_complaints_go_to_the_log(tmp_path: Path) -> None:
    process = start(
        tmp_path, sys.executable, "-c", "import os; os.write(1, b'a'); os.write(2, b'b')"
    )
    while process.is_alive():
        pass

    assert (tmp_path / "log").read_bytes() == b"ab"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nosuchprogram is not installed"):
        start(tmp_path, "nosuchprogram")
