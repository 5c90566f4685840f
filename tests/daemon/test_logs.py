"""The log has one form, whoever writes to it."""

import json
import subprocess
import sys
from typing import Any

import pytest

BEGIN = """
import asyncio, logging, warnings
from headrace.control import LogLevel
from headrace.control.log_level import Level
from headrace.daemon.logs import configure_logs
configure_logs(LogLevel(Level.DEBUG))
async def fail():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
"""


def logged(program: str) -> list[dict[str, Any]]:
    """The lines on stderr of a process that logs as the daemon does."""
    command = [sys.executable, "-c", BEGIN + program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("program", "level", "library", "said"),
    [
        pytest.param("asyncio.run(fail())", "error", "asyncio", "Exception in", id="asyncio"),
        pytest.param(
            "logging.getLogger('a.b').critical('it is %s', 'bad')",
            "error",
            "a.b",
            "it is bad",
            id="a package",
        ),
        pytest.param(
            "logging.getLogger('a.b').warning('odd')", "warning", "a.b", "odd", id="a warning"
        ),
        pytest.param(
            "logging.getLogger('uvicorn.error').warning('Invalid HTTP request received.')",
            "debug",
            "uvicorn.error",
            "Invalid HTTP",
            id="of what a client sends",
        ),
        pytest.param(
            "logging.warning('odd')", "warning", "root", "odd", id="a logger without a name"
        ),
        pytest.param(
            "warnings.warn('odd')", "warning", "py.warnings", "<string>:", id="Python itself"
        ),
    ],
)
def test_what_libraries_log_is_told_as_one_event(
    program: str, level: str, library: str, said: str
) -> None:
    (event,) = logged(program)

    assert (event["level"], event["library"]) == (level, library)
    assert event["event"] == ("library_failed" if level == "error" else "library_warned")
    assert event["said"].startswith(said)


def test_an_error_of_a_library_has_its_traceback() -> None:
    (event,) = logged("asyncio.run(fail())")

    assert event["exception"].endswith("ZeroDivisionError: division by zero")


def test_setting_up_twice_tells_once() -> None:
    assert len(logged("configure_logs(); logging.getLogger('a').warning('odd')")) == 1
