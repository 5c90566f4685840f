"""A privileged test is never lost in silence where it is required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

SKIPPED_TEST = """
import pytest

@pytest.mark.{marker}
def test_that_skips():
    pytest.skip("no device")
"""


def run_skipped_test(folder: Path, *, marker: str, required: str) -> int:
    """The exit code of pytest for one test with this marker that skips itself."""
    (folder / "test_skips.py").write_text(SKIPPED_TEST.format(marker=marker))
    environment = os.environ | {"CI": "", "HEADRACE_REQUIRE_PRIVILEGED": required}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c"]
    command += [str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.parametrize(
    ("marker", "required", "exit_code"),
    [
        pytest.param("bpf", "", pytest.ExitCode.OK, id="skipped where not required"),
        pytest.param("bpf", "1", pytest.ExitCode.TESTS_FAILED, id="failed where required"),
        pytest.param("timeout(9)", "1", pytest.ExitCode.OK, id="other tests may skip"),
    ],
)
def test_a_privileged_test_that_skips_is(
    tmp_path: Path, marker: str, required: str, exit_code: int
) -> None:
    assert run_skipped_test(tmp_path, marker=marker, required=required) == exit_code
