"""A process that may be our child or a former daemon's; only it is ever waited for or signalled."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path


class Process:
    """A process held by a pidfd, so that its number may be reused without harm."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def start(
        cls, arguments: list[str], *, environment: Mapping[str, str], output: Path
    ) -> "Process":
        """Start a program in a session of its own, so that it outlives us and our terminal."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        return cls(pid, os.pidfd_open(pid))

    @classmethod
    def find(cls, pidfile: Path, mark: str) -> "Process | None":
        """The living process that a pidfile names, if `mark` is one of its arguments."""
        try:
            pid = int(pidfile.read_text())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError, OverflowError):
            return None
        # The pidfd is open: if the arguments are right now, it is this process that has them.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return cls(pid, pidfd)
        os.close(pidfd)
        return None

    async def wait(self) -> int | None:
        """Return when it has ended: its exit code, minus the signal, or None if not our child."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        return self._reap()

    def _reap(self) -> int | None:
        try:
            _, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of it; it lives on."""
        os.close(self._pidfd)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)
