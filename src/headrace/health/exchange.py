"""One exchange with an endpoint: a socket, and what is said on it.

A talk is a generator: it yields the epoll events that it waits for and is resumed with those that
came. It returns the words of success, or raises ProbeFailure or OSError. Whoever drives it throws
TimeoutError into it when its time is over, and closes the socket.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from select import EPOLLOUT
from typing import TypeVar

from headrace.model import IPAddress, ProbePath, ProbeTarget

T = TypeVar("T")
Steps = Generator[int, int, T]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s
_CLOSE_ON_EXEC_NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


@dataclass(frozen=True, slots=True)
class Exchange:
    """The socket that an exchange needs, and its talk."""

    socket_type: int
    protocol: int
    talk: Callable[[socket.socket, ProbeTarget], Steps[str]]


def destination_of(target: ProbeTarget) -> IPAddress:
    """The address that is probed: the VIP, which the tunnel leads to the endpoint, or its own."""
    return target.vip if target.probe.path is ProbePath.TUNNEL else target.endpoint


def port_of(target: ProbeTarget) -> int:
    """The port that is probed."""
    return target.probe.port or target.port


def open_socket(exchange: Exchange, target: ProbeTarget, mark: int | None) -> socket.socket:
    """A socket that does not block and, if it is a stream, leaves no TIME_WAIT. Raises OSError."""
    family = socket.AF_INET if destination_of(target).version == 4 else socket.AF_INET6
    sock = socket.socket(family, exchange.socket_type | _CLOSE_ON_EXEC_NONBLOCK, exchange.protocol)
    try:
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        if exchange.socket_type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        sock.close()
        raise
    return sock


def connect(sock: socket.socket, target: ProbeTarget, port: int) -> Steps[None]:
    """Connect to what is probed."""
    code = sock.connect_ex((str(destination_of(target)), port))
    if code == errno.EINPROGRESS:
        yield EPOLLOUT
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
