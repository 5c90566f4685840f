"""Two rtnetlink sockets of this thread's network namespace: one asks, one listens.

pyroute2's own sockets are not used: one of theirs is lost after an overflow (ENOBUFS), and each
thread opens its own, in whatever network namespace it happens to be.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from struct import Struct

from pyroute2.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    rtnl,
)

from headrace.model import KernelError
from headrace.underlay.wire import RTNLGRP_NEXTHOP, Message, encode_request, split_messages

ANSWER_TIMEOUT_S = 2.0
"""The kernel answers in microseconds, or in a second behind someone who holds its RTNL lock."""

LIMIT_DUMP_ATTEMPTS = 5
"""A table that changes during a dump is dumped again; then what was read must do."""

LIMIT_PENDING_DATAGRAMS = 4_096
"""Events kept while nobody looks; beyond it they only say that everything may have changed."""

EVENT_BUFFER_BYTES = 4 * 1024 * 1024
"""A full BGP table's change at once; an overflow is survived, but costs a look at everything."""

_DATAGRAM_BYTES = 64 * 1024
_ERROR = Struct("=i")
_SO_RCVBUFFORCE = 33
_GROUPS = (
    rtnl.RTMGRP_LINK
    | rtnl.RTMGRP_NEIGH
    | rtnl.RTMGRP_IPV4_IFADDR
    | rtnl.RTMGRP_IPV4_ROUTE
    | rtnl.RTMGRP_IPV4_RULE
    | rtnl.RTMGRP_IPV6_IFADDR
    | rtnl.RTMGRP_IPV6_ROUTE
    | rtnl.RTMGRP_IPV6_RULE
    | 1 << (RTNLGRP_NEXTHOP - 1)
)


class RequestSocket:
    """Asks the kernel and waits for its answer. Blocks; any thread may use it."""

    def __init__(self) -> None:
        self._socket = _open(groups=0)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._lock = threading.Lock()
        self._sequence = 0
        self._buffer = bytearray(_DATAGRAM_BYTES)

    def close(self) -> None:
        """Give the socket back, once no thread uses it."""
        with self._lock:
            self._socket.close()

    def ask(self, operation: str, kind: int, body: bytes, flags: int = 0) -> Message | None:
        """The kernel's answer; None when it only says that it is done.

        Raises KernelError with the kernel's errno when it refuses.
        """
        with self._lock:
            for message in self._exchange(operation, kind, body, flags):
                if message.type != NLMSG_ERROR:
                    return message
                _raise_refusal(operation, message)
                break
        return None

    def do(self, operation: str, kind: int, body: bytes, flags: int = 0) -> None:
        """Have the kernel do something. Raises KernelError when it refuses."""
        self.ask(operation, kind, body, flags | NLM_F_ACK)

    def dump(self, operation: str, kind: int, body: bytes) -> list[Message]:
        """All entries of a table. Raises KernelError when the kernel refuses."""
        messages: list[Message] = []
        with self._lock:
            for _attempt in range(LIMIT_DUMP_ATTEMPTS):
                messages = list(self._dump_once(operation, kind, body))
                if not any(message.flags & NLM_F_DUMP_INTR for message in messages):
                    break
        return messages

    def entries(self, operation: str, kind: int, body: bytes) -> Generator[Message, None, None]:
        """The entries of a table as they come, for as long as the caller wants them.

        Nothing else can be asked, and the socket not be closed, until it is read or closed.
        """
        with self._lock:
            yield from self._dump_once(operation, kind, body)

    def _dump_once(self, operation: str, kind: int, body: bytes) -> Iterator[Message]:
        for message in self._exchange(operation, kind, body, NLM_F_DUMP):
            if message.type == NLMSG_DONE:
                return
            if message.type == NLMSG_ERROR:
                _raise_refusal(operation, message)
            yield message

    def _exchange(self, operation: str, kind: int, body: bytes, flags: int) -> Iterator[Message]:
        """Send a request; the messages that answer it, for as long as the caller wants them."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        try:
            self._socket.send(encode_request(kind, flags, self._sequence, body))
            while True:
                size = self._socket.recv_into(self._buffer)
                for message in split_messages(bytes(memoryview(self._buffer)[:size])):
                    if message.sequence == self._sequence:
                        yield message
        except TimeoutError as error:
            raise KernelError(operation, errno.ETIMEDOUT) from error
        except OSError as error:
            raise KernelError(operation, error.errno or errno.EIO) from error


class EventSocket:
    """Listens to the kernel's changes from its construction on."""

    def __init__(self) -> None:
        self._socket = _open(groups=_GROUPS)
        self._socket.settimeout(0)
        self._pending: list[bytes] = []
        self._overflowed = False

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def start(self, on_readable: Callable[[], None]) -> None:
        """Collect datagrams in the running event loop, and say so after each."""
        asyncio.get_running_loop().add_reader(self._socket, self._collect, on_readable)

    def stop(self) -> None:
        """Stop collecting; what comes meanwhile waits in the socket."""
        asyncio.get_running_loop().remove_reader(self._socket)

    def take(self) -> list[bytes] | None:
        """The datagrams since the last call, to the last one sent; None when some were lost.

        Where they come faster than they are read, some count as lost.
        """
        left = LIMIT_PENDING_DATAGRAMS
        while left and self._receive():
            left -= 1
        self._overflowed |= not left
        pending, self._pending = self._pending, []
        overflowed, self._overflowed = self._overflowed, False
        return None if overflowed else pending

    def _collect(self, on_readable: Callable[[], None]) -> None:
        if self._receive():
            on_readable()

    def _receive(self) -> bool:
        """Keep one datagram; False when there is none."""
        try:
            datagram = self._socket.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._overflowed = True  # the kernel dropped events; the socket goes on
            return True
        if len(self._pending) < LIMIT_PENDING_DATAGRAMS:
            self._pending.append(datagram)
        else:
            self._overflowed = True
        return True


def _raise_refusal(operation: str, message: Message) -> None:
    """Raise the error of an answer, unless it is a plain acknowledgement."""
    code = -_ERROR.unpack_from(message.body)[0]
    if code:
        raise KernelError(operation, code)


def _open(*, groups: int) -> socket.socket:
    """A socket of rtnetlink that hears these groups."""
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        if groups:
            _enlarge(opened)
        opened.bind((0, groups))
    except OSError as error:
        raise KernelError("open rtnetlink", error.errno or errno.EIO) from error
    return opened


def _enlarge(opened: socket.socket) -> None:
    """Give the socket a large buffer; without CAP_NET_ADMIN, what the system allows."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, EVENT_BUFFER_BYTES)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER_BYTES)
