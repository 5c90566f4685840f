"""Bytes to and from a connected socket, in the clear or in TLS."""

import socket
import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from select import EPOLLIN, EPOLLOUT
from typing import Protocol

from headrace.health.exchange import Steps
from headrace.health.result import ProbeFailure

_READ_BYTES = 65_536
_LIMIT_CONTEXTS = 64
"""Files of certificate authorities held at once; a document names few, and a new one is read."""

_TLS13_OVERHEAD_BYTES = 22  # header, content type, tag (RFC 8446, section 5.2)
_TLS12_OVERHEAD_BYTES = 96  # the most of any cipher: vector, padding, digest


class Channel(Protocol):
    """What an exchange over a stream speaks through."""

    def open(self) -> Steps[None]:
        """Make it ready."""
        ...

    def send(self, data: bytes) -> Steps[None]:
        """Hand all of it to the kernel."""
        ...

    def receive(self) -> Steps[bytes]:
        """What came next; nothing at the end."""
        ...

    def overhead_bytes(self) -> int:
        """By how much what is sent at once grows on its way, at most."""
        ...


class PlainChannel:
    """A socket as it is."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def open(self) -> Steps[None]:
        """Nothing to do."""
        yield from ()

    def send(self, data: bytes) -> Steps[None]:
        """Hand all of it to the kernel."""
        while True:
            with suppress(BlockingIOError):
                data = data[self._socket.send(data) :]
            if not data:
                return
            yield EPOLLOUT

    def receive(self) -> Steps[bytes]:
        """What came next; nothing at the end."""
        while True:
            yield EPOLLIN
            try:
                return self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                continue

    def overhead_bytes(self) -> int:
        """None."""
        return 0


class TlsChannel:
    """TLS over a socket."""

    def __init__(self, sock: socket.socket, host: str, ca_file: str) -> None:
        self._plain = PlainChannel(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = server_name(host)
        try:
            modified_ns = Path(ca_file).stat().st_mtime_ns if ca_file else 0
            context = _context(ca_file, modified_ns, checks_name=bool(ca_file and name))
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=name or None
            )
        except (OSError, ValueError) as error:
            raise ProbeFailure(
                f"certificate authority {ca_file} or name {name}: {error}"
            ) from error

    def open(self) -> Steps[None]:
        """Shake hands; the certificate is checked."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._flush()
                yield from self._feed()
            except ssl.SSLError as error:
                raise _failure(error) from error
            else:
                yield from self._flush()
                return

    def send(self, data: bytes) -> Steps[None]:
        """Encrypt all of it and hand it to the kernel at once."""
        self._tls.write(data)
        yield from self._flush()

    def receive(self) -> Steps[bytes]:
        """What came next; nothing at the end."""
        while True:
            try:
                return self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                yield from self._feed()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise _failure(error) from error

    def overhead_bytes(self) -> int:
        """Of one record."""
        is_modern = self._tls.version() == "TLSv1.3"
        return _TLS13_OVERHEAD_BYTES if is_modern else _TLS12_OVERHEAD_BYTES

    def _flush(self) -> Steps[None]:
        if self._outgoing.pending:
            yield from self._plain.send(self._outgoing.read())

    def _feed(self) -> Steps[None]:
        data = yield from self._plain.receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def server_name(host: str) -> str:
    """The name in TLS that goes with a Host field: without the port."""
    name, colon, port = host.rpartition(":")
    has_port = colon and port.isdigit() and (":" not in name or name.endswith("]"))
    return (name if has_port else host).removeprefix("[").removesuffix("]")


def _failure(error: ssl.SSLError) -> ProbeFailure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProbeFailure(f"certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLEOFError):
        return ProbeFailure("TLS: the connection ended")
    return ProbeFailure(f"TLS: {(error.reason or 'unknown').lower().replace('_', ' ')}")


@lru_cache(maxsize=_LIMIT_CONTEXTS)
def _context(ca_file: str, _modified_ns: int, *, checks_name: bool) -> ssl.SSLContext:
    """What the file's certificate authorities sign is trusted; without a file, anything is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    context.check_hostname = checks_name
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context
