"""The relay as ExaBGP's API process: its stdin and stdout, and the daemon's socket."""

import contextlib
import os
import select
import sys
import time

from .addresses import address_beside
from .daemon_end import READ_BYTES, DaemonEnd, take_handover
from .exabgp import ExabgpRelay
from .messages import MessageError, Side
from .wanted import Wanted


def main(socket_path: str) -> int:
    """Serve ExaBGP until it closes our stdin."""
    if _is_second(f"{socket_path}.ran"):
        # Ending ExaBGP withdraws everything, and its supervisor starts both anew.
        os.write(sys.stdout.fileno(), b"shutdown\n")
        while os.read(sys.stdin.fileno(), READ_BYTES):
            pass
        return 0
    wanted = Wanted()
    wanted.inherit(take_handover(socket_path), time.monotonic())
    relay = ExabgpRelay(exabgp_pid=os.getppid(), wanted=wanted, beside=address_beside)
    # ExaBGP is gone when its end of stdout is.
    with contextlib.suppress(BrokenPipeError):
        _Loop(relay, socket_path).run()
    return 0


class _Loop:
    """Read, feed, send, sleep."""

    def __init__(self, relay: ExabgpRelay, socket_path: str) -> None:
        self._relay = relay
        self._daemon = DaemonEnd(relay, socket_path)
        self._unsent = b""  # to ExaBGP

    def run(self) -> None:
        """Relay until ExaBGP closes its end."""
        os.set_blocking(sys.stdin.fileno(), False)
        os.set_blocking(sys.stdout.fileno(), False)
        while True:
            now = time.monotonic()
            self._relay.tick(now)
            self._daemon.find(now)
            self._daemon.flush(now)
            self._flush_exabgp()
            ready = self._wait()
            if sys.stdin.fileno() in ready and not self._read_exabgp():
                return
            self._daemon.read(ready, time.monotonic())

    def _wait(self) -> set[int]:
        """Sleep until something can be read, or written where something waits, or is due."""
        poller = select.poll()
        poller.register(sys.stdin.fileno(), select.POLLIN)
        if self._unsent:
            poller.register(sys.stdout.fileno(), select.POLLOUT)
        self._daemon.register(poller)
        waits = [self._daemon.reconnect_s] if self._daemon.reconnect_s is not None else []
        deadline = self._relay.next_deadline()
        if deadline is not None:
            waits.append(max(0.0, deadline - time.monotonic()))
        return {fd for fd, _ in poller.poll(int(min(waits) * 1000) + 1 if waits else None)}

    def _read_exabgp(self) -> bool:
        data = os.read(sys.stdin.fileno(), READ_BYTES)
        # A line of ExaBGP's that is too long is none that we asked for; dropping it loses nothing.
        with contextlib.suppress(MessageError):
            self._relay.receive(Side.SPEAKER, data, time.monotonic())
        return bool(data)

    def _flush_exabgp(self) -> None:
        self._unsent += self._relay.data_to_send(Side.SPEAKER)
        with contextlib.suppress(BlockingIOError):
            if self._unsent:
                written = os.write(sys.stdout.fileno(), self._unsent)
                self._unsent = self._unsent[written:]


def _is_second(marker: str) -> bool:
    """Whether this ExaBGP has run a relay before; notes that it has now.

    ExaBGP starts a relay again that died. The new one cannot know what its predecessor announced.
    """
    pid = os.getppid()
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - pathlib is slow
        started = stat.read().rpartition(")")[2].split()[19]
    this_exabgp = f"{pid} {started}"
    with open(marker, "a+", encoding="utf-8") as file:  # noqa: PTH123
        file.seek(0)
        seen = file.read()
        file.truncate(0)
        file.write(this_exabgp)
    return seen == this_exabgp
