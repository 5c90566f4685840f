"""A BGP router that only listens, and notes in which order it hears what (RFC 4271, section 4)."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
HEADER_BYTES = 19
PORT = 179

_MARKER = b"\xff" * 16
_READ_TIMEOUT_S = 60.0  # of a socket, so that no thread outlives its test by much
_CAPABILITIES = bytes.fromhex("0104 0001 0001")  # IPv4 unicast (RFC 4760)


class Heard(NamedTuple):
    """Something that the router heard: announce, withdraw, notification or end."""

    what: str
    prefixes: tuple[IPv4Network, ...] = ()


class Router:
    """One session after the other from a listening socket, in a thread of its own."""

    def __init__(self, listener: socket.socket, as_number: int, identifier: IPv4Address) -> None:
        self.heard: list[Heard] = []
        self._listener = listener
        self._as_number = as_number
        self._identifier = identifier
        self._session: socket.socket | None = None

    @contextmanager
    def running(self) -> Iterator["Router"]:
        """Speak BGP during the block."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            for end in (self._listener, self._session):
                if end is not None:
                    _wake(end)
            thread.join(timeout=10)
            self._listener.close()

    def hears(self, what: str, prefix: str) -> bool:
        """Whether the router was told so."""
        return any(
            each.what == what and IPv4Network(prefix) in each.prefixes for each in self.heard
        )

    def _run(self) -> None:
        while True:
            try:
                session, _ = self._listener.accept()
            except OSError:
                return
            self._session = session
            with session:
                session.settimeout(_READ_TIMEOUT_S)
                try:
                    self._converse(session)
                except OSError:
                    self.heard.append(Heard("end"))

    def _converse(self, session: socket.socket) -> None:
        """Answer an OPEN by ours, each KEEPALIVE by one, and note the rest."""
        while (message := _read_message(session)) is not None:
            kind, body = message
            if kind == OPEN:
                session.sendall(_message(OPEN, self._open_body()) + _message(KEEPALIVE))
            elif kind == KEEPALIVE:
                session.sendall(_message(KEEPALIVE))
            elif kind == NOTIFICATION:
                self.heard.append(Heard("notification"))
            elif kind == UPDATE:
                self.heard.extend(_decode_update(body))
        self.heard.append(Heard("end"))

    def _open_body(self) -> bytes:
        parameter = bytes([2, len(_CAPABILITIES)]) + _CAPABILITIES
        hold_time_s = 90
        return b"".join(
            [
                b"\x04",
                self._as_number.to_bytes(2),
                hold_time_s.to_bytes(2),
                self._identifier.packed,
                bytes([len(parameter)]),
                parameter,
            ]
        )


def _wake(end: socket.socket) -> None:
    """Have the thread that waits for this socket see its end."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


def _message(kind: int, body: bytes = b"") -> bytes:
    return _MARKER + (HEADER_BYTES + len(body)).to_bytes(2) + bytes([kind]) + body


def _read_message(session: socket.socket) -> tuple[int, bytes] | None:
    """The next message's type and body; None at the end."""
    header = _read_exactly(session, HEADER_BYTES)
    if header is None:
        return None
    body = _read_exactly(session, int.from_bytes(header[16:18]) - HEADER_BYTES)
    return None if body is None else (header[18], body)


def _read_exactly(session: socket.socket, size_bytes: int) -> bytes | None:
    data = b""
    while len(data) < size_bytes:
        part = session.recv(size_bytes - len(data))
        if not part:
            return None
        data += part
    return data


def _decode_update(body: bytes) -> Iterator[Heard]:
    """What an UPDATE says; nothing for the End-of-RIB marker (RFC 4724, section 2)."""
    withdrawn_end = 2 + int.from_bytes(body[:2])
    attributes_end = withdrawn_end + 2 + int.from_bytes(body[withdrawn_end : withdrawn_end + 2])
    for what, data in (("withdraw", body[2:withdrawn_end]), ("announce", body[attributes_end:])):
        if data:
            yield Heard(what, tuple(_decode_prefixes(data)))


def _decode_prefixes(data: bytes) -> Iterator[IPv4Network]:
    while data:
        size_bytes = (data[0] + 7) // 8
        address = data[1 : 1 + size_bytes].ljust(4, b"\0")
        yield IPv4Network((address, data[0]))
        data = data[1 + size_bytes :]
