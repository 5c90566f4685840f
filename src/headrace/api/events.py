"""Events as they happen, by server-sent events (HTML, 9.2), and where a reader was left."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from fastapi import Request, Response
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from headrace.control.journal import Event, Journal
from headrace.model import ConfigError, UnavailableError

EVENT_STREAM = "text/event-stream"

LIMIT_STREAMS = 32
"""At once: a node has a handful of collectors; each holds a connection for days."""

LIMIT_SLOW_S = 20.0
"""For a reader to take what fills its socket; then its connection is cut."""

LOOK_S = 5.0
"""Between two looks whether a caller may still read; also how often a silent stream says so."""

RETRY_MS = 2000
"""For a client to wait before it comes back."""

FOLLOW_PARAMETER = {
    "name": "follow",
    "in": "query",
    "required": False,
    "description": "false: only what is kept, then the end",
    "schema": {"type": "boolean", "default": True},
}
_VISIBLE = "[!-~]*"
LAST_ID_PARAMETER = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "go on after this event; without it a stream that follows begins now",
    "schema": {"type": "string", "pattern": f"^{_VISIBLE}$"},
}
EVENT_SCHEMA = {
    "type": "object",
    "description": "one server-sent event; the data of `missed` and `end` has a reason alone",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/EventBody"},
                    {
                        "type": "object",
                        "properties": {"reason": {"type": "string"}},
                        "required": ["reason"],
                    },
                ]
            },
        },
    },
}
EXAMPLE = """\
id: 5f0e3a91-7
event: health_changed
data: {"id": "5f0e3a91-7", "time": "2026-01-02T03:04:05.678901Z", "type": "health_changed",\
 "data": {"pool": "web", "endpoint": "56.56.56.1", "health": "down", "why": "timeout"}}

"""

_events = TypeAdapter(Event)
_log = structlog.get_logger()


class Streams:
    """The streams of events that are open."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open = 0

    async def get_events(self, request: Request) -> Response:
        """What happens to the node, as server-sent events; each `data` is an EventBody.

        A reader that comes back with `Last-Event-ID` misses nothing that is kept; where something
        is no longer, the stream begins with `missed`. It ends with `end`, which says why.
        """
        last_id = _read_last_id(request.headers.get("last-event-id"))
        if not _read_follow(request.query_params.get("follow")):
            page = self._journal.after(last_id or "")
            missed = [_missed()] if page.missed and last_id is not None else []
            return Response("".join([*missed, *map(_told, page.events)]), media_type=EVENT_STREAM)
        if self._open >= LIMIT_STREAMS:
            raise UnavailableError(
                f"{LIMIT_STREAMS} streams of events are open, the limit; end some, or come back"
            )
        return _Stream(self, last_id)

    async def run(self, last_id: str | None, scope: Scope, send: Send) -> None:
        """Send a stream until there is a reason to end it."""
        state = scope.get("state", {})
        still: Callable[[], Awaitable[bool]] = state.get("may_still", _may_always)
        self._open += 1
        try:
            async with asyncio.timeout(None) as limit:
                reason = await self._send_all(last_id, _Sender(send, limit), still)
        except TimeoutError:
            reason = "too_slow"
            state.get("cut", lambda: None)()  # what waits in the socket would hold it for ever
        finally:
            self._open -= 1
        caller = state.get("caller")
        _log.info("events_ended", caller=caller.name if caller else "", reason=reason)

    async def _send_all(
        self, last_id: str | None, sender: "_Sender", still: Callable[[], Awaitable[bool]]
    ) -> str:
        """Send what is kept, then what happens; why it ends."""
        at = self._journal.last_id if last_id is None else last_id
        page = self._journal.after(at)
        await sender.put(f"retry: {RETRY_MS}\nid: {at}\n\n" + (_missed() if page.missed else ""))
        while True:
            await sender.put("".join(map(_told, page.events)) or ": nothing new\n\n")
            at = page.last_id
            reason = await self._wait(at, still)
            if reason is None:
                page = self._journal.after(at)
                reason = "too_slow" if page.missed else None
            if reason is not None:
                await sender.put(f'event: end\ndata: {{"reason": "{reason}"}}\n\n', more=False)
                return reason

    async def _wait(self, at: str, still: Callable[[], Awaitable[bool]]) -> str | None:
        """Return when there may be more; why the stream must end, if it must."""
        if self._journal.last_id == at:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._journal.wait()
            except TimeoutError:
                pass
        if self._journal.is_closed:
            return "stopping"
        return None if await still() else "access_ended"


class _Stream(Response):
    """An answer that goes on until its reader, or the node, has enough."""

    def __init__(self, streams: Streams, last_id: str | None) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._streams = streams
        self._last_id = last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events; a reader that goes away ends them."""
        headers = [
            (b"content-type", EVENT_STREAM.encode()),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        await send(
            {"type": "http.response.start", "status": HTTPStatus.OK.value, "headers": headers}
        )
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._streams.run(self._last_id, scope, send))
            watcher = group.create_task(_cancel_at_end(receive, writer))
            writer.add_done_callback(lambda _: watcher.cancel())


class _Sender:
    """Sends parts of a body, each within LIMIT_SLOW_S."""

    def __init__(self, send: Send, limit: asyncio.Timeout) -> None:
        self._send = send
        self._limit = limit

    async def put(self, text: str, *, more: bool = True) -> None:
        """Send a part. TimeoutError, at the limit's block, where the reader does not take it."""
        self._limit.reschedule(asyncio.get_running_loop().time() + LIMIT_SLOW_S)
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": more})
        self._limit.reschedule(None)


async def _cancel_at_end(receive: Receive, writer: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    writer.cancel()


async def _may_always() -> bool:
    return True


def _read_follow(text: str | None) -> bool:
    if text in {None, "true"}:
        return True
    if text == "false":
        return False
    raise ConfigError.at("follow", f"{(text or '')[:20]!r} is neither true nor false; write one")


def _read_last_id(text: str | None) -> str | None:
    if text is None or re.fullmatch(_VISIBLE, text):
        return text
    raise ConfigError.at(
        "Last-Event-ID", f"{text[:20]!r} is no event's id; send one as it came, or leave it out"
    )


def _told(event: Event) -> str:
    """One event as its lines; JSON has no line breaks in it."""
    return f"id: {event.id}\nevent: {event.type}\ndata: {_events.dump_json(event).decode()}\n\n"


def _missed() -> str:
    """What a reader is told that was away for too long."""
    return 'event: missed\ndata: {"reason": "events after that id are not kept"}\n\n'
