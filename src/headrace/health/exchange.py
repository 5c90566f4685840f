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

from headrace.health.ways import ProbeWay
from headrace.model import IPAddress, ProbePath, ProbeTarget

T = TypeVar("T")
Steps = Generator[int, int, T]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: connect() finds a port that is free towards the VIP
_HEADERS_BYTES = {socket.AF_INET: 40, socket.AF_INET6: 60}  # of IP and TCP without options
_LIMIT_SEGMENT_BYTES = 32_767  # MAX_TCP_WINDOW: what TCP_MAXSEG takes at most
_CLOSE_ON_EXEC_NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


@dataclass(frozen=True, slots=True)
class Exchange:
    """The socket that an exchange needs, and its talk."""

    socket_type: int
    protocol: int
    talk: Callable[[socket.socket, ProbeTarget, int | None], Steps[str]]
    """Its last argument is the largest packet that fits the way; None: as the route says."""


def destination_of(target: ProbeTarget) -> IPAddress:
    """The address that is probed: the VIP, which the tunnel leads to the endpoint, or its own."""
    return target.vip if target.probe.path is ProbePath.TUNNEL else target.endpoint


def port_of(target: ProbeTarget) -> int:
    """The port that is probed."""
    return target.probe.port or target.port


def open_socket(exchange: Exchange, target: ProbeTarget, way: ProbeWay | None) -> socket.socket:
    """A socket that does not block and, if it is a stream, leaves no TIME_WAIT. Raises OSError."""
    family = socket.AF_INET if destination_of(target).version == 4 else socket.AF_INET6
    sock = socket.socket(family, exchange.socket_type | _CLOSE_ON_EXEC_NONBLOCK, exchange.protocol)
    try:
        if way is not None:
            _take(sock, way)
        if exchange.socket_type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        sock.close()
        raise
    return sock


def _take(sock: socket.socket, way: ProbeWay) -> None:
    """Have a socket's packets go that way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, way.mark)
    if way.source is not None:
        if sock.type != socket.SOCK_RAW:  # which has no port
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((str(way.source), 0))
    if way.room_bytes is not None and sock.proto == socket.IPPROTO_TCP:
        headers_bytes = _HEADERS_BYTES[sock.family]
        size_bytes = min(way.room_bytes - headers_bytes, _LIMIT_SEGMENT_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, size_bytes)


def connect(sock: socket.socket, target: ProbeTarget, port: int) -> Steps[None]:
    """Connect to what is probed."""
    code = sock.connect_ex((str(destination_of(target)), port))
    if code == errno.EINPROGRESS:
        ready = yield EPOLLOUT
        code = 0 if ready == EPOLLOUT else sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
