"""Programs that a lab starts: known by pid and start time, so that no other is ever ended."""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from headrace.model.errors import UnavailableError

GRACE_S = 3.0
"""How long a program may take to end after SIGTERM; BIRD and the daemon need well under one."""

# Fields 3, 14, 15 and 22 of proc(5), counted after the name.
_STAT_STATE, _STAT_USER, _STAT_SYSTEM, _STAT_START = 0, 11, 12, 19


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for all time: a pid is used again, a pid with its start time is not."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The identity of a process; None when there is none of that pid."""
        stat = _read_stat(pid)
        return None if stat is None else cls(pid, int(stat[_STAT_START]))

    def is_alive(self) -> bool:
        """Whether the process still runs; one that only waits to be reaped does not."""
        stat = _read_stat(self.pid)
        if stat is None or stat[_STAT_STATE] in "ZX":
            return False
        return int(stat[_STAT_START]) == self.start_ticks

    def cpu_s(self) -> float:
        """The processor time that it has used. Raises UnavailableError when it has ended."""
        stat = _read_stat(self.pid)
        if stat is None or int(stat[_STAT_START]) != self.start_ticks:
            raise UnavailableError(f"process {self.pid} has ended")
        ticks = int(stat[_STAT_USER]) + int(stat[_STAT_SYSTEM])
        return ticks / os.sysconf("SC_CLK_TCK")


def start_detached(argv: Sequence[str], log: Path, env: Mapping[str, str]) -> ProcessId:
    """Start a program that outlives us, in a session of its own, writing to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"{argv[0]} is not installed") from error
    process = ProcessId.of(pid)
    if process is None:
        raise UnavailableError(f"{' '.join(argv)} ended at once; see {log}")
    return process


def end_processes(processes: Iterable[ProcessId], *, grace_s: float = GRACE_S) -> None:
    """Ask each to end, all at once, and kill those that have not after the grace time."""
    asked = [process for process in processes if _send(process, signal.SIGTERM)]
    still = _wait_ended(asked, grace_s)
    kill_processes(still)


def kill_processes(processes: Iterable[ProcessId]) -> None:
    """End each by SIGKILL and wait until it has ended."""
    killed = [process for process in processes if _send(process, signal.SIGKILL)]
    _wait_ended(killed, GRACE_S)


def signal_processes(processes: Iterable[ProcessId], number: signal.Signals) -> None:
    """Signal each, and wait for nothing."""
    for process in processes:
        _send(process, number)


async def end_child(child: asyncio.subprocess.Process, *, grace_s: float = GRACE_S) -> None:
    """Have a child of asyncio's end; kill it if it does not."""
    signal_child(child.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await child.wait()
    except TimeoutError:
        await kill_child(child)


async def kill_child(child: asyncio.subprocess.Process) -> None:
    """End a child of asyncio's by SIGKILL and wait until it has ended."""
    signal_child(child.pid, signal.SIGKILL)
    await child.wait()


def signal_child(pid: int, number: signal.Signals) -> None:
    """Signal a child of ours that somebody else waits for; nothing if it has been waited for.

    asyncio's own `send_signal` first looks whether the child has ended, which takes the exit status
    away from its own watcher ("Unknown child process pid N, will report returncode 255").
    """
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        fd = os.pidfd_open(pid)
        try:
            os.waitid(
                os.P_PIDFD, fd, os.WEXITED | os.WNOHANG | os.WNOWAIT
            )  # only looks: is it ours?
            signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def _send(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly this process: the pidfd is taken before its start time is compared."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.is_alive():
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def _wait_ended(processes: Sequence[ProcessId], timeout_s: float) -> list[ProcessId]:
    """Those that still run when all have ended or the time is over."""
    deadline = monotonic() + timeout_s
    alive = [process for process in processes if process.is_alive()]
    while alive and (left_s := deadline - monotonic()) > 0:
        _wait_any(alive, left_s)
        alive = [process for process in alive if process.is_alive()]
    return alive


def _wait_any(processes: Sequence[ProcessId], timeout_s: float) -> None:
    """Sleep until one of them ends (its pidfd becomes readable) or the time is over."""
    with contextlib.ExitStack() as stack:
        fds = []
        for process in processes:
            try:
                fd = os.pidfd_open(process.pid)
            except ProcessLookupError:
                return
            stack.callback(os.close, fd)
            fds.append(fd)
        select.select(fds, [], [], timeout_s)


def _read_stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the name may hold spaces and parentheses
