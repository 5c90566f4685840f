"""Who holds a folder of an instance: one process, by a lock that the kernel drops when it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.model import ConflictError, UnavailableError

LOCK_NAME = "lock"


@contextmanager
def holding(directory: Path, held_by: str, way_out: str) -> Iterator[None]:
    """Hold a folder during the block. Raises ConflictError naming the process that has it.

    Nothing is written: the disk may be full, or read-only once the lock's file is there.
    """
    path = directory / LOCK_NAME
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
            pid = lock_holder(path)
            who = f"process {pid}" if pid else "another process"
            raise ConflictError(f"{held_by} {who} already; stop that one, or {way_out}") from None
        yield
    finally:
        os.close(descriptor)


def lock_holder(path: Path) -> int | None:
    """The process that has the lock on a file, as the kernel says (proc_locks(5)); None: nobody.

    For those who must not take the lock to look.

    0 where it is in another process namespace. Raises OSError where there is no such file.
    """
    file = path.stat()
    for line in Path("/proc/locks").read_text().splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place.endswith(f":{file.st_ino}"):
                if _has_open(int(pid), file):
                    return int(pid)
    return None


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Whether it is this file: each disk has one of its number, and stacked ones misname theirs."""
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # not for us to look at: the number has to do
        return True
    return any(_is_same(each, file) for each in opened)


def _is_same(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except OSError:  # closed meanwhile
        return False
