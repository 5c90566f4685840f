"""Whether a packet of the path's full size arrives."""

import fcntl
import socket
import struct
import termios
from select import EPOLLERR, EPOLLIN

from headrace.health.exchange import Steps
from headrace.health.result import ProbeFailure

_IP_MTU_DISCOVER, _IP_MTU = 10, 14  # linux/in.h; Python names none of these
_IPV6_MTU_DISCOVER, _IPV6_MTU = 23, 24  # linux/in6.h
_PMTUDISC_DO = 2
_SO_TIMESTAMPING = 37
_TELL_WHEN_ACKNOWLEDGED = 1 << 9 | 1 << 4 | 1 << 11  # TX_ACK, SOFTWARE, OPT_TSONLY
_DISCARDED_BYTES = 65_536


def path_mtu_bytes(sock: socket.socket, room_bytes: int | None) -> int:
    """The MTU of the path that a connected socket's packets take, as far as this node knows.

    It is that of the route, unless the way to this endpoint has less room.
    """
    if sock.family == socket.AF_INET:
        mtu_bytes = sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    else:
        mtu_bytes = sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
    return mtu_bytes if room_bytes is None else min(mtu_bytes, room_bytes)


def forbid_fragments(sock: socket.socket) -> None:
    """Send each packet of a socket whole or not at all."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)


def segment_bytes(sock: socket.socket) -> int:
    """What one full segment of a connection carries, its options taken off."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def announce_acknowledgement(sock: socket.socket) -> None:
    """Make the socket report an event when what is sent from now on has been acknowledged."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _TELL_WHEN_ACKNOWLEDGED)


def until_acknowledged(sock: socket.socket) -> Steps[None]:
    """Return when the endpoint has acknowledged all that was sent, whatever it answers."""
    wants = EPOLLIN
    while _unacknowledged_bytes(sock):
        ready = yield wants
        if ready & EPOLLIN and not sock.recv(_DISCARDED_BYTES):
            wants = 0  # the endpoint says no more; its acknowledgement is an error event
        if ready & EPOLLERR:
            _take_error(sock)


def until_arrived(sock: socket.socket, room_bytes: int | None) -> Steps[str]:
    """Pass when the full segment, just sent, is acknowledged.

    A reset is an answer, too: the same endpoint has just passed the small exchange.
    """
    mtu_bytes = path_mtu_bytes(sock, room_bytes)
    try:
        yield from until_acknowledged(sock)
    except TimeoutError as error:
        raise too_small(mtu_bytes) from error
    except ConnectionError:
        return "reset at full size"
    return "full size arrived"


def too_small(mtu_bytes: int) -> ProbeFailure:
    """Why only the large exchange failed."""
    return ProbeFailure(f"path MTU too small: a packet of {mtu_bytes} bytes did not arrive")


def _unacknowledged_bytes(sock: socket.socket) -> int:
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("i", answer)[0])


def _take_error(sock: socket.socket) -> None:
    """Read the report of an acknowledgement, or raise the connection's error."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "")
    sock.recvmsg(0, socket.CMSG_SPACE(128), socket.MSG_ERRQUEUE)
