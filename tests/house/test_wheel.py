"""The wheel: built from a clean checkout, it runs where no compiler is."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT, project_files, room_names

LIMIT_BUILD_S = 100.0

LOAD_EVERYTHING = """
import ctypes, importlib, pathlib, sys
import headrace

folder = pathlib.Path(headrace.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
for room in {rooms}:
    importlib.import_module(f"headrace.{{room}}")
ctypes.CDLL(str(folder / "maglev/_kernel.so"))
print(*sorted(path.name for path in (folder / "dataplane/objects").iterdir()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from a copy of the tree in which nothing was built before."""
    checkout = tmp_path_factory.mktemp("checkout")
    for path in project_files():
        copy = checkout / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--wheel-dir", str(checkout / "dist"), str(checkout)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_BUILD_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = (checkout / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and the libraries of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    command = [sys.executable, "-m", "pip", "--python", str(python)]
    command += ["install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_fits_one_architecture_and_every_python(wheel: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_")

    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_the_wheel_carries_what_was_compiled(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    programs = {path.stem for path in (ROOT / "src/headrace/dataplane/bpf").glob("*.bpf.c")}

    assert {f"headrace/dataplane/objects/{program}.o" for program in programs} <= set(names)
    assert "headrace/maglev/_kernel.so" in names


def test_the_wheel_runs_without_a_compiler(installed: Path, tmp_path: Path) -> None:
    program = LOAD_EVERYTHING.format(rooms=room_names())
    command = [str(installed / "bin/python"), "-c", program]

    done = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    sources = (ROOT / "src/headrace/dataplane/bpf").glob("*.bpf.c")
    assert done.stdout.split() == sorted(f"{path.stem}.o" for path in sources), done.stderr


@pytest.mark.parametrize("program", ["headrace", "tailrace"])
def test_the_wheel_brings_the_programs(installed: Path, tmp_path: Path, program: str) -> None:
    command = [str(installed / "bin" / program), "--help"]

    done = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
