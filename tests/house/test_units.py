"""The systemd units: systemd takes them, the pins outlive them, and a daemon starts as they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.daemon.privileges import KEPT
from tests.conftest import is_required
from tests.house.source import ROOT

UNITS = ["headrace", "tailrace"]
EXPOSURE_TENTHS = 27
"""Of 100, as `systemd-analyze security` counts. What is left needs root, BPF and the network."""

TOOLS = ROOT / ".tools/root"


def unit(name: str) -> Path:
    return ROOT / f"packaging/systemd/{name}.service"


def values(name: str, key: str) -> list[str]:
    """What the unit says under a key, a line each."""
    lines = unit(name).read_text().splitlines()
    return [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]


def runnable(name: str, folder: Path) -> Path:
    """The unit with a program that this machine has."""
    copy = folder / f"{name}.service"
    copy.write_text(unit(name).read_text().replace(f"={name} ", "=/bin/true "))
    return copy


def run(*command: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def analyze(*arguments: str | Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """systemd-analyze of this machine, or the one that set-up unpacked, with its targets."""
    if installed := shutil.which("systemd-analyze"):
        return run(installed, *arguments)
    libraries = next(TOOLS.glob("usr/lib/*/systemd/libsystemd-shared-*"), None)
    if libraries is None and not is_required():
        pytest.skip("there is no systemd-analyze; setup/install unpacks it")
    assert libraries is not None, "setup/install did not unpack systemd-analyze"
    for target in TOOLS.glob("**/lib/systemd/system/*.target"):
        if not target.is_symlink():
            shutil.copy(target, folder)
    search = f"{libraries.parent.parent}:{libraries.parent}"
    return run(
        TOOLS / "usr/bin/systemd-analyze",
        *arguments,
        LD_LIBRARY_PATH=search,
        SYSTEMD_UNIT_PATH=str(folder),
    )


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_about(name: str, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", runnable(name, tmp_path), folder=tmp_path)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_little_of_the_system_is_exposed_to(name: str, tmp_path: Path) -> None:
    limit = ["--offline=true", f"--threshold={EXPOSURE_TENTHS}"]
    done = analyze("security", *limit, runnable(name, tmp_path), folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_command_that_exists(name: str) -> None:
    (line,) = values(name, "ExecStart")
    program, *arguments = line.split()
    fixed = [each for each in arguments if not each.startswith("$")]

    done = run(Path(sys.executable).with_name(Path(program).name), *fixed, "--help")

    assert done.returncode == 0, done.stderr


def test_a_daemon_gets_what_it_keeps_and_one_more_for_its_start() -> None:
    (line,) = values("headrace", "CapabilityBoundingSet")

    assert set(line.split()) == {f"CAP_{each.name}" for each in KEPT} | {"CAP_CHOWN"}


def test_what_a_daemon_leaves_running_is_left_alone() -> None:
    assert values("headrace", "KillMode") == ["process"]
    assert values("headrace", "RuntimeDirectoryPreserve") == ["yes"]


@pytest.mark.netns
@pytest.mark.parametrize("name", UNITS)
def test_the_pins_are_mounted_once_and_outside(name: str, tmp_path: Path) -> None:
    lines = values(name, "ExecStartPre")
    steps = [
        line.removeprefix("+").replace("%t", str(tmp_path)).replace("%%", "%").replace("$$", "$")
        for line in lines
    ]
    script = "\n".join(["set -e", *steps, *steps, f"grep -c {tmp_path} /proc/self/mounts"])

    alone = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"]
    done = run(*alone, "bash", "-c", script)  # which is PID 1 there

    assert all(line.startswith("+") for line in lines)
    assert (done.stdout, done.stderr) == ("1\n", "")
