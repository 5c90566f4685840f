"""The relay's end of the connection to the daemon: finds it, reads, writes, and finds it again."""

import os
import select
import socket
from typing import Protocol

from .messages import MessageError, Side

LIMIT_UNSENT_BYTES = 4 * 1024 * 1024
"""What may wait for a daemon that does not read; then it is dropped, and greeted anew later."""

RECONNECT_S = 0.1
"""How often the relay looks for the daemon: a restart is noticed at once, at 10 calls a second."""

READ_BYTES = 65_536


class Relay(Protocol):
    """What a relay's protocol object has for its loop."""

    handover: str | None

    def connect(self, now: float) -> None:
        """The daemon is there."""

    def disconnect(self, now: float) -> None:
        """The daemon is gone."""

    def receive(self, side: Side, data: bytes, now: float) -> None:
        """Take bytes from one side."""

    def data_to_send(self, side: Side) -> bytes:
        """The bytes for one side since the last call."""

    def note_kept(self, problem: str | None, now: float) -> None:
        """What is handed over is kept, or why it is not."""


class DaemonEnd:
    """A connection that comes and goes."""

    def __init__(self, relay: Relay, socket_path: str) -> None:
        self._relay = relay
        self._path = socket_path
        self._daemon: socket.socket | None = None
        self._unsent = b""

    @property
    def reconnect_s(self) -> float | None:
        """When to look for the daemon again; None while it is there."""
        return RECONNECT_S if self._daemon is None else None

    def find(self, now: float) -> None:
        """Call the daemon, unless it is there."""
        if self._daemon is not None:
            return
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        daemon.settimeout(0)
        try:
            daemon.connect(self._path)
        except OSError:
            daemon.close()
            return
        self._daemon = daemon
        self._relay.connect(now)

    def register(self, poller: "select.poll") -> None:
        """Wait for what it says, and for room where something waits."""
        if self._daemon is not None:
            writable = select.POLLOUT if self._unsent else 0
            poller.register(self._daemon.fileno(), select.POLLIN | writable)

    def read(self, ready: set[int], now: float) -> None:
        """Take what it says; drop it when it talks nonsense."""
        if self._daemon is None or self._daemon.fileno() not in ready:
            return
        try:
            data = self._daemon.recv(READ_BYTES)
            self._relay.receive(Side.DAEMON, data, now)
        except BlockingIOError:
            return
        except (OSError, MessageError):
            data = b""
        if not data:
            self._drop(now)

    def flush(self, now: float) -> None:
        """Say what there is to say; first of all keep what is handed over by it."""
        self._keep_handover(now)
        self._unsent += self._relay.data_to_send(Side.DAEMON)
        if self._daemon is None or not self._unsent:
            return
        try:
            sent = self._daemon.send(self._unsent)
            self._unsent = self._unsent[sent:]
        except BlockingIOError:
            if len(self._unsent) > LIMIT_UNSENT_BYTES:
                self._drop(now)
        except OSError:
            self._drop(now)

    def _keep_handover(self, now: float) -> None:
        if self._relay.handover is None:
            return
        path, problem = handover_path(self._path), None
        try:
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(self._relay.handover)
        except OSError as error:
            problem = unwritten(path, error)
        self._relay.note_kept(problem, now)

    def _drop(self, now: float) -> None:
        if self._daemon is not None:
            self._daemon.close()
        self._daemon = None
        self._unsent = b""
        self._relay.disconnect(now)


def take_handover(socket_path: str) -> str:
    """What a former relay left; nothing the second time."""
    path = handover_path(socket_path)
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            text = file.read()
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return ""
    return text


def handover_path(socket_path: str) -> str:
    """Where a relay leaves its set for the next one."""
    return f"{socket_path}.handover"


def unwritten(path: str, error: OSError) -> str:
    """Why a file could not be written, in words for whoever runs the node."""
    return f"{path} cannot be written: {error.strerror}; make its file system writable, with room"
