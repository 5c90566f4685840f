"""The relay as BIRD's parent: the control socket, the child, and the daemon's socket.

BIRD ends with its relay, whatever becomes of that: it must not announce what nobody looks after.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import time

from .bird import BirdRelay
from .daemon_end import READ_BYTES, DaemonEnd, take_handover, unwritten
from .messages import MessageError, Side
from .wanted import Wanted

STOP_S = 2.0
"""For each step of stopping: to withdraw, to end."""

GREET_S = 0.02
"""How often the control socket of a BIRD that starts is looked for."""

_PR_SET_PDEATHSIG = 1


def main(socket_path: str, pidfile: str, bird: str, configuration: str, *options: str) -> int:
    """Run BIRD until it ends, or until SIGTERM; what BIRD ended with."""
    lock = os.open(pidfile, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 1  # another relay has this directory
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    wanted = Wanted()
    wanted.inherit(take_handover(socket_path), time.monotonic())
    relay = BirdRelay(own_pid=os.getpid(), wanted=wanted)
    loop = _Loop(relay, socket_path, configuration)
    loop.write_routes()
    control = f"{configuration}.ctl"
    command = [bird, "-f", "-c", configuration, "-s", control, *options]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(control)  # noqa: PTH108 - pathlib is slow
    return loop.run(_start(command), control)


def _start(command: list[str]) -> int:
    """Start a program that the kernel kills when we end; its pid."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.execv(command[0], command)  # noqa: S606 - no shell is the point
        os._exit(1)
    return pid


class _Loop:
    """Read, feed, send, sleep."""

    def __init__(self, relay: BirdRelay, socket_path: str, configuration: str) -> None:
        self._relay = relay
        self._daemon = DaemonEnd(relay, socket_path)
        self._routes = f"{configuration}.vips"
        self._control: socket.socket | None = None
        self._unsent = b""  # to BIRD
        self._stopping = False  # somebody sent SIGTERM
        self._steps: list[tuple[float, signal.Signals]] = []  # what is left to do to BIRD, and when

    def run(self, bird: int, control: str) -> int:
        """Relay until BIRD ends; its exit code."""
        waker, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, self._begin_stop)
        child = os.pidfd_open(bird)
        while True:
            now = time.monotonic()
            self._look_after(child, now)
            self._find_bird(control)
            if self._control is not None:
                self._daemon.find(now)
            self._daemon.flush(now)
            self._flush_bird()
            ready = self._wait(child, waker)
            if child in ready:
                _, status = os.waitpid(bird, 0)
                return abs(os.waitstatus_to_exitcode(status))
            if waker in ready:
                os.read(waker, READ_BYTES)
            self._read_bird(ready)
            self._daemon.read(ready, time.monotonic())

    def write_routes(self) -> None:
        """Put the file in place that BIRD includes. Raises OSError."""
        if self._relay.routes_file is None:
            return
        with open(f"{self._routes}.new", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(self._relay.routes_file)
        os.replace(f"{self._routes}.new", self._routes)  # noqa: PTH105
        self._relay.note_written(None)

    def _begin_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True  # no more: this may be in the middle of anything

    def _look_after(self, child: int, now: float) -> None:
        """Do what is due, and end a BIRD that is to end or that does not answer."""
        if self._stopping:
            self._stopping = False
            self._relay.withdraw(now)
            self._steps = [(now + STOP_S, signal.SIGTERM), (now + 2 * STOP_S, signal.SIGKILL)]
        self._relay.tick(now)
        if self._relay.is_deaf(now):
            signal.pidfd_send_signal(child, signal.SIGKILL)
        while self._steps and (now > self._steps[0][0] or self._is_withdrawn()):
            signal.pidfd_send_signal(child, self._steps.pop(0)[1])

    def _is_withdrawn(self) -> bool:
        """Whether BIRD has taken the last withdrawal and has not been asked to end yet."""
        return len(self._steps) == 2 and self._relay.is_settled

    def _find_bird(self, path: str) -> None:
        if self._control is not None:
            return
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            control.connect(path)
        except OSError:
            control.close()
            return
        control.settimeout(0)
        self._control = control

    def _wait(self, child: int, waker: int) -> set[int]:
        """Sleep until something can be read, or written where something waits, or is due."""
        poller = select.poll()
        poller.register(child, select.POLLIN)
        poller.register(waker, select.POLLIN)
        if self._control is not None:
            writable = select.POLLOUT if self._unsent else 0
            poller.register(self._control.fileno(), select.POLLIN | writable)
        self._daemon.register(poller)
        dues = [self._relay.next_deadline(), *(at for at, _ in self._steps)]
        waits = [max(0.0, min(dues) - time.monotonic())]
        if self._control is None:
            waits.append(GREET_S)
        elif self._daemon.reconnect_s is not None:
            waits.append(self._daemon.reconnect_s)
        return {fd for fd, _ in poller.poll(int(min(waits) * 1000) + 1)}

    def _read_bird(self, ready: set[int]) -> None:
        if self._control is None or self._control.fileno() not in ready:
            return
        data = b""
        with contextlib.suppress(OSError):
            data = self._control.recv(READ_BYTES)
        if not data:
            return  # it ends: the next thing to be ready is its pidfd
        with contextlib.suppress(MessageError):
            self._relay.receive(Side.SPEAKER, data, time.monotonic())

    def _flush_bird(self) -> None:
        try:
            self.write_routes()
        except OSError as error:  # what BIRD announces stays, and so must we
            self._relay.note_written(unwritten(self._routes, error))
        self._unsent += self._relay.data_to_send(Side.SPEAKER)
        if self._control is None or not self._unsent:
            return
        with contextlib.suppress(OSError):  # full for now, or gone, as its pidfd will say
            sent = self._control.send(self._unsent)
            self._unsent = self._unsent[sent:]
