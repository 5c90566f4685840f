"""Whether an endpoint is alive at its own address, where a probe through the tunnel failed."""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from headrace.model import IPAddress

LIMIT_PENDING = 64
"""Connections being tried at one time: a hint is not worth more sockets, and a site can be dead."""

LIMIT_KNOWN = 4_096
"""Answers remembered; the oldest go first."""

WAIT_S = 1.0
"""A host that has not answered by then is called silent."""

FRESH_S = 5.0
"""An answer is used for so long before it is asked for again."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direct(StrEnum):
    """What an endpoint said at its own address."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(slots=True)
class _Pending:
    socket: socket.socket
    timer: asyncio.TimerHandle


class DirectChecks:
    """Tries connections in the running event loop, and says what came of them."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pending: dict[tuple[IPAddress, int], _Pending] = {}
        self._known: dict[tuple[IPAddress, int], tuple[float, Direct]] = {}

    def close(self) -> None:
        """Give up what is being tried."""
        for key in list(self._pending):
            self._take(key).close()

    def ask(self, endpoint: IPAddress, port: int) -> Direct:
        """What is known now, UNKNOWN at first; does not block, but finds out for the next call."""
        key = endpoint, port
        known_s, direct = self._known.get(key, (0.0, Direct.UNKNOWN))
        fresh = direct is not Direct.UNKNOWN and self._now() - known_s <= FRESH_S
        if not fresh and key not in self._pending and len(self._pending) < LIMIT_PENDING:
            self._try(key)
        return direct

    def _try(self, key: tuple[IPAddress, int]) -> None:
        endpoint, port = key
        family = socket.AF_INET if endpoint.version == 4 else socket.AF_INET6
        try:
            opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptors left: there will be no hint
            return
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        code = opened.connect_ex((str(endpoint), port))
        if code != errno.EINPROGRESS:
            opened.close()
            self._learn(key, _direct_of(code))
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WAIT_S, self._give_up, key)
        self._pending[key] = _Pending(opened, timer)
        loop.add_writer(opened, self._finish, key)

    def _finish(self, key: tuple[IPAddress, int]) -> None:
        with self._take(key) as opened:
            code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._learn(key, _direct_of(code))

    def _give_up(self, key: tuple[IPAddress, int]) -> None:
        self._take(key).close()
        self._learn(key, Direct.SILENT)

    def _take(self, key: tuple[IPAddress, int]) -> socket.socket:
        """The socket of a try that is over."""
        pending = self._pending.pop(key)
        pending.timer.cancel()
        asyncio.get_running_loop().remove_writer(pending.socket)
        return pending.socket

    def _learn(self, key: tuple[IPAddress, int], direct: Direct) -> None:
        self._known.pop(key, None)
        self._known[key] = self._now(), direct
        if len(self._known) > LIMIT_KNOWN:
            del self._known[next(iter(self._known))]


def _direct_of(code: int) -> Direct:
    """What an errno of connect() says."""
    if code in {0, errno.ECONNREFUSED}:
        return Direct.ACCEPTED if code == 0 else Direct.REFUSED
    return Direct.SILENT
