"""One daemon an instance and a state folder: locks that the kernel drops when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.model import ConflictError, UnavailableError

FILE_NAME = "lock"


@contextmanager
def instance_lock(directory: Path) -> Iterator[None]:
    """Hold the instance. Raises ConflictError naming the process that has it."""
    with _locked(directory, f"instance {directory.name} is run by", "choose another --instance"):
        yield


@contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Hold the folder with the revisions. Raises ConflictError naming the process that has it."""
    with _locked(directory, f"{directory} holds the state of", "choose another --state"):
        yield


def holder(path: Path) -> int | None:
    """The process that has the lock on a file, as the kernel says (proc_locks(5))."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place.rpartition(":")[2] == inode:
                return int(pid)
    return None


@contextmanager
def _locked(directory: Path, held_by: str, way_out: str) -> Iterator[None]:
    """Nothing is written: the disk may be full, or read-only once the file is there."""
    path = directory / FILE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"{directory}: {error.strerror}; give the daemon a folder that it can write"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = holder(path)
            who = f"process {pid}" if pid else "another process"
            raise ConflictError(f"{held_by} {who} already; stop that one, or {way_out}") from None
        yield
    finally:
        os.close(descriptor)
