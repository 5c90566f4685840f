"""One daemon an instance and a state folder: locks that the kernel drops when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.model import ConflictError, UnavailableError


@contextmanager
def instance_lock(directory: Path) -> Iterator[None]:
    """Hold the instance. Raises ConflictError naming the process that has it."""
    with _descriptor(directory, directory / "lock", os.O_RDWR | os.O_CREAT) as descriptor:
        _lock(descriptor, f"instance {directory.name} is run by", "choose another --instance")
        yield


@contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Hold the folder with the revisions. Raises ConflictError naming the process that has it.

    Nothing is written: the disk may be full, or read-only.
    """
    with _descriptor(directory, directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        _lock(descriptor, f"{directory} holds the state of", "choose another --state")
        yield


@contextmanager
def _descriptor(directory: Path, path: Path, flags: int) -> Iterator[int]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"{directory}: {error.strerror}; give the daemon a folder that it can write"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, held_by: str, way_out: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            f"{held_by} {_holder(descriptor)} already; stop that one, or {way_out}"
        ) from None


def _holder(descriptor: int) -> str:
    """Who has the lock, as the kernel says (proc_locks(5))."""
    status = os.fstat(descriptor)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    where = f"{device}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place == where and int(pid) > 0:
                return f"process {pid}"
    return "another process"
