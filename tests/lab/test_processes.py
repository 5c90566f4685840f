"""Exactly the processes that were started are ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.lab.processes import ProcessId, end_processes, kill_processes, start_detached
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
