"""Source trees of their own, each with the objects of one compiler."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from headrace.model import UnavailableError

ROOT = Path(__file__).resolve().parents[2]
_TOOLS = ROOT / ".tools"
_TREES = ROOT / "build" / "kernels"
_BUILD = "hatch_build.py"
_LIBRARIES = f"usr/lib/{os.uname().machine}-linux-gnu"
_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root")


@dataclass(frozen=True, slots=True)
class Compiler:
    """One version of clang, installed or unpacked."""

    version: int

    @property
    def name(self) -> str:
        """The program and its package are both called so."""
        return f"clang-{self.version}"

    def command(self) -> str:
        """How it is called, as the build's variable CLANG takes it; unpacked where it is missing.

        Its package is never installed: the one that `clang` names must stay.
        """
        if shutil.which(self.name):
            return self.name
        folder = _TOOLS / self.name
        program = folder / "usr" / "bin" / self.name
        if not program.exists():
            _unpack(self.name, folder)
        libraries = f"{folder / _LIBRARIES}:{folder / f'usr/lib/llvm-{self.version}/lib'}"
        return f"env LD_LIBRARY_PATH={libraries} {program}"

    def build_tree(self) -> Path:
        """A copy of the sources and tests, with the objects that this compiler makes of them."""
        tree = _TREES / self.name
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        shutil.copy2(ROOT / _BUILD, tree)
        leave = shutil.ignore_patterns("*.bpf.o", "__pycache__")
        for folder in ("src", "tests"):
            shutil.copytree(ROOT / folder, tree / folder, ignore=leave)
        environment = os.environ | {"CLANG": self.command()}
        _run([sys.executable, _BUILD], tree, environment)
        return tree


def _unpack(package: str, folder: Path) -> None:
    """Download a package and all that it needs and this machine lacks, and unpack them there."""
    cache = _TOOLS / f"{package}-cache"
    unfinished = _TOOLS / f"{package}-unfinished"
    for left in (cache, unfinished):
        shutil.rmtree(left, ignore_errors=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    options = ("-o", f"Dir::Cache={cache}", "--no-install-recommends", "--download-only")
    _run([*_APT, "update"], ROOT)
    _run([*_APT, *options, "install", package], ROOT)
    for archive in sorted((cache / "archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(unfinished)], ROOT)
    unfinished.rename(folder)
    shutil.rmtree(cache)


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"{command} failed:\n{done.stdout}{done.stderr}")
