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
    with _locked(directory, f"instance {directory.name} is run by", "choose another --instance"):
        yield


@contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Hold the folder with the revisions. Raises ConflictError naming the process that has it."""
    with _locked(directory, f"{directory} holds the state of", "choose another --state"):
        yield


@contextmanager
def _locked(directory: Path, held_by: str, way_out: str) -> Iterator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"{directory}: {error.strerror}; give the daemon a folder that it can write"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = path.read_text().strip()
            holder = f"process {pid}" if pid else "another process"
            raise ConflictError(
                f"{held_by} {holder} already; stop that one, or {way_out}"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
