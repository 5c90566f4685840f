"""The edge of the API: its sockets, and every answer in one write.

`loxicmd` loses an answer whose header and body come in two TCP segments (12 of 100 measured), and
the server library writes them apart. Two small layers mend it: `hold_header` hands over the header
only together with the first part of the body, and `_OneWriteTransport` joins what is written within
one turn of the event loop.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from headrace.api.access import guard
from headrace.api.listening import BACKLOG, Listeners, read_peer

LIMIT_CONNECTIONS = 512
"""At once from this host, and as many again from others; more get 503. A person holds one or two.

They are counted apart so that strangers cannot keep the operator of the host out.
"""

LIMIT_REQUEST_S = 20.0
"""For a connection to bring its first header: who is slower only holds a place."""

LIMIT_HANDSHAKE_S = 10.0
"""For TLS, likewise."""

LIMIT_HEADER_BYTES = 64 * 1024
"""Of one request: line and header, the size that common proxies pass on."""

_JOIN_BYTES = 256 * 1024  # more than this leaves at once, so that memory stays bounded
_KEEP_ALIVE_S = 75  # longer than the minute that clients keep a connection for reuse
_GRACE_S = 2  # for answers under way when the daemon stops


async def serve(
    app: ASGIApp, listeners: Listeners, *, ready: Callable[[], None] = lambda: None
) -> None:
    """Answer whoever may ask, until cancelled. `ready` is called when every socket is served."""
    guarded = guard(app, listeners.access)
    servers = [(_Server(_settings(guarded), None), listeners.local)]
    if listeners.remote:
        servers.append((_Server(_settings(guarded), listeners.tls), listeners.remote))
    async with asyncio.TaskGroup() as group:
        for server, sockets in servers:
            group.create_task(_serve(server, sockets))
        ready()


async def _serve(server: "_Server", sockets: list[socket.socket]) -> None:
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
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=LIMIT_CONNECTIONS,
        h11_max_incomplete_event_size=LIMIT_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


class _Server(uvicorn.Server):
    """The server with TLS of our own, and without signal handlers: those belong to the daemon."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections on sockets that listen already."""
        loop = asyncio.get_running_loop()
        limit_s = None if self._tls is None else LIMIT_HANDSHAKE_S
        self.servers = [
            await loop.create_server(
                lambda: _Protocol(self.config, self.server_state, {}),
                sock=sock,
                ssl=self._tls,
                ssl_handshake_timeout=limit_s,
                backlog=BACKLOG,
            )
            for sock in sockets or ()
        ]
        self.started = True

    async def main_loop(self) -> None:
        """Renew the date in answers once a second, until cancelled."""
        while True:
            await self.on_tick(0)
            await asyncio.sleep(1.0)


class _Protocol(H11Protocol):
    """HTTP/1.1 over a transport that joins writes, from a peer that is known, and in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        """Note who is there, and how long we wait for a request."""
        super().connection_made(_OneWriteTransport(transport, self.loop))
        self.app_state = {"peer": read_peer(transport), "cut": transport.abort}
        self._deadline = self.loop.call_later(LIMIT_REQUEST_S, transport.abort)
        if len(self.connections) > LIMIT_CONNECTIONS + BACKLOG:
            transport.abort()  # descriptors are for the daemon's own work, too

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """See whether what has come in is a whole header."""
        super().handle_events()
        if self.cycle is not None:
            self._deadline.cancel()


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
