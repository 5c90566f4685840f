"""A trial on this machine's kernel, and on Debian's in an emulator.

The guest's file system is in memory and holds the files that the trial here had loaded, no others.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_path

from headrace.lab.emulator import INIT_START, base_archive, emulator_command, interpreter
from headrace.model import UnavailableError
from tests.packets.world import LONG_AGO_S

from .cargo import Cargo
from .trial import Trial

_MEMORY_MB = 768
LIMIT_GUEST_S = 1200.0
"""All cases take 30 s on an idle machine; only a guest that hangs takes this."""
_LIMIT_SAID = 3000

_WITH_OWN_CLOCK = ["-icount", "shift=0,sleep=off"]
"""The guest's seconds are its instructions, so that one that sleeps has slept at once."""

_INIT_END = """\
ip link set lo up
sleep {sleep_s}
cd {tree}
PYTHONPATH={path} {python} -S -m tests.kernels.trial {cargo} >/dev/ttyS1
poweroff -f
"""


def run_both(tree: Path, cargo: Cargo, folder: Path) -> tuple[Trial, Trial]:
    """Try the objects of a source tree here and in the guest; `folder` is for what that needs."""
    carried = folder / "cargo.pickle"
    carried.write_bytes(pickle.dumps(cargo))
    here = _run_here(tree, carried)
    files = [*map(Path, here.files), carried]
    return here, _run_in_guest(tree, files, folder, has_past=cargo.has_past)


def _run_here(tree: Path, cargo: Path) -> Trial:
    command = [sys.executable, "-m", "tests.kernels.trial", str(cargo)]
    environment = os.environ | {"PYTHONPATH": _python_path(tree)}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"the trial ended with {done.returncode}:\n{done.stderr}")
    return Trial.from_json(done.stdout)


def _run_in_guest(tree: Path, files: list[Path], folder: Path, *, has_past: bool) -> Trial:
    """Boot, wait until the kernel is old enough to have a past, try, power off."""
    archive, console, answer = folder / "guest.cpio", folder / "console.log", folder / "trial.json"
    archive.write_bytes(_build_archive(tree, files, LONG_AGO_S if has_past else 0))
    serials = [f"file:{console}", f"file:{answer}"]
    command = emulator_command(archive, memory_mb=_MEMORY_MB, serials=serials)
    if has_past:
        command += _WITH_OWN_CLOCK
    said = _run_emulator(command)
    text = answer.read_text() if answer.exists() else ""
    if not text.endswith("\n"):
        said += console.read_text(errors="replace") if console.exists() else ""
        raise UnavailableError(f"the guest did not finish the trial:\n{said[-_LIMIT_SAID:]}")
    return Trial.from_json(text)


def _run_emulator(command: list[str]) -> str:
    """What it has to say, once the guest has powered off or has taken too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_GUEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT_GUEST_S:.0f} s\n"
    return done.stderr


def _build_archive(tree: Path, files: list[Path], sleep_s: int) -> bytes:
    """A file system whose init tries the last of the files, the cargo, and ends."""
    archive = base_archive(["sctp"])
    for path in (*files, *_files_of_scapy()):
        archive.add_copy(path)
    init = INIT_START + _INIT_END.format(
        tree=tree, path=_python_path(tree), python=interpreter(), cargo=files[-1], sleep_s=sleep_s
    )
    archive.add_file("/init", init.encode())
    return archive.finish()


def _files_of_scapy() -> Iterator[Path]:
    """Names of protocols, which scapy had in its cache here: the system's, or its own."""
    names = (Path("/etc") / name for name in ("ethertypes", "protocols", "services"))
    yield from (path for path in names if path.exists())
    yield from Path(get_path("purelib")).glob("scapy/libs/*.py")


def _python_path(tree: Path) -> str:
    return f"{tree}:{tree / 'src'}:{get_path('purelib')}"
