"""The edge of the API: its sockets, and every answer in one write.

`loxicmd` loses an answer whose header and body come in two TCP segments (12 of 100 measured), and
the server library writes them apart. Two small layers mend it: `hold_header` hands over the header
only together with the first part of the body, and `_OneWriteTransport` joins what is written within
one turn of the event loop.
"""

import asyncio
import contextlib
import socket
import stat
from collections.abc import Callable, Iterator, MutableMapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from headrace.model.errors import ConfigError, UnavailableError

NOWHERE = "none"
"""The `listen` value for no TCP socket at all."""

LIMIT_CONNECTIONS = 512
"""At once; more get 503. An agent or a person holds one or two."""

LIMIT_HEADER_BYTES = 64 * 1024
"""Of one request: line and header, the size that common proxies pass on."""

_JOIN_BYTES = 256 * 1024  # more than this leaves at once, so that memory stays bounded
_BACKLOG = 128
_KEEP_ALIVE_S = 75  # longer than the minute that clients keep a connection for reuse
_GRACE_S = 2  # for answers under way when the daemon stops


async def serve(
    app: ASGIApp,
    unix_path: Path,
    listen: str,
    *,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer on a unix socket and on a loopback address until cancelled.

    `listen` is `127.0.0.1:11111`, `[::1]:11111` or `none`. `ready` is called when both listen.
    Raises ConfigError for an address that others can reach, UnavailableError for one that is taken.
    """
    with _listening(unix_path, listen) as sockets:
        server = _Server(_settings(app))
        ready()
        try:
            await server.serve(sockets=sockets)
        except asyncio.CancelledError:
            if server.started:
                await server.shutdown(sockets=sockets)
            raise


def hold_header(app: ASGIApp) -> ASGIApp:
    """The application with each answer's header sent together with the first part of its body."""

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        header: MutableMapping[str, Any] | None = None

        async def send_together(message: MutableMapping[str, Any]) -> None:
            nonlocal header
            if message["type"] == "http.response.start":
                header = message
                return
            if header is not None:
                await send(header)
                header = None
            await send(message)

        await app(scope, receive, send_together)

    return held


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        hold_header(app),
        http=_OneWriteProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=LIMIT_CONNECTIONS,
        h11_max_incomplete_event_size=LIMIT_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


class _Server(uvicorn.Server):
    """The server without signal handlers: signals belong to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _OneWriteProtocol(H11Protocol):
    """HTTP/1.1 over a transport that joins writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        super().connection_made(_OneWriteTransport(transport, self.loop))


class _OneWriteTransport(asyncio.Transport):
    """Joins what is written in one turn of the event loop into one write."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the data until the end of this turn of the event loop."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(bytes(data))
        self._size_bytes += len(data)
        if self._size_bytes > _JOIN_BYTES:
            self._flush()

    def close(self) -> None:
        """Close once everything written has left."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._parts.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio has it
        """What is known about the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stop handing received data to the protocol."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Hand received data to the protocol again."""
        self._transport.resume_reading()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._size_bytes = 0
        if data:
            self._transport.write(data)


@contextlib.contextmanager
def _listening(unix_path: Path, listen: str) -> Iterator[list[socket.socket]]:
    """The sockets that listen; closed, and the file removed, at the end."""
    address = _read_listen(listen)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_open_unix(unix_path))]
        stack.callback(unix_path.unlink, missing_ok=True)
        if address is not None:
            sockets.append(stack.enter_context(_open_tcp(*address)))
        yield sockets


def _read_listen(listen: str) -> tuple[str, int] | None:
    """Host and port; only a loopback address is taken while there are no tokens and no TLS."""
    if listen == NOWHERE:
        return None
    host, _, port = listen.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError.at(
            "listen", f"{listen!r} is not ADDRESS:PORT; write 127.0.0.1:11111, or {NOWHERE!r}"
        ) from error
    if not 0 <= number <= 65_535:
        raise ConfigError.at("listen", f"{number} is not a port; use 1..65535")
    if not address.is_loopback:
        raise ConfigError.at(
            "listen",
            f"{address} can be reached by others, which needs TLS and a token, and this version "
            "has neither; use 127.0.0.1 or the unix socket",
        )
    return str(address), number


def _open_unix(path: Path) -> socket.socket:
    """Listen on a unix socket that only its owner may connect to; a stale file is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(0o600)  # before listen: until then nobody can connect
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UnavailableError(f"unix socket {path}: {error}; choose another folder") from error
    except UnavailableError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UnavailableError(
        f"unix socket {path}: another daemon answers there; stop it or use another --instance"
    )


def _open_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UnavailableError(
            f"listen {host}:{port}: {error.strerror}; end the program that has it "
            f"(`ss -ltnp 'sport = :{port}'` names it) or use another --listen"
        ) from error
    return sock
