"""The daemon's end of the connection to the relay."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from headrace.model import (
    Announcement,
    ConfigError,
    IPAddress,
    ProtocolError,
    SessionEvent,
    SessionState,
)

_COMMUNITY = re.compile(r"\d+:\d+(:\d+)?|[a-z-]+")  # standard, large (RFC 8092), or by name

GREETING_TIMEOUT_S = 5.0
"""A relay says hello as soon as it is connected."""


class LinkLostError(Exception):
    """The relay went away before it answered."""


@dataclass(frozen=True, slots=True)
class Hello:
    """How a relay introduces itself."""

    version: int
    exabgp_pid: int
    announcements: frozenset[Announcement]
    sessions: dict[IPAddress, float]  # those that are up, and the monotonic time each began


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session came up or went down, at a monotonic time."""

    event: SessionEvent
    since: float


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """ExaBGP answered a command of the relay's own with an error."""

    command: str


def encode_announcements(announcements: Iterable[Announcement]) -> list[list[Any]]:
    """Announcements as the relay reads them. Raises ConfigError for what is no community."""
    for announcement in announcements:
        for community in announcement.communities:
            if not _COMMUNITY.fullmatch(community):
                raise ConfigError.at(
                    f"communities of {announcement.prefix}",
                    f"{community!r} is no community; write 65000:1, 65000:1:1 or no-export",
                )
    return [
        [str(a.prefix), a.med, list(a.communities)] for a in sorted(announcements, key=_by_prefix)
    ]


def decode_announcements(raw: Iterable[Any]) -> frozenset[Announcement]:
    """What `encode_announcements` made."""
    return frozenset(
        Announcement(ip_network(prefix), med, tuple(many)) for prefix, med, many in raw
    )


def decode_message(line: bytes) -> dict[str, Any]:
    """One line of the relay's. Raises ProtocolError."""
    try:
        message = json.loads(line)
        message["type"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"the relay sent {line[:80]!r}, which is no message") from error
    return dict(message)


class RelayLink:
    """One connection from a relay: its events, and requests to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def hello(self) -> Hello:
        """The relay's first message. Raises ProtocolError."""
        try:
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                message = decode_message(await self._read_line())
            return Hello(
                version=message["version"],
                exabgp_pid=message["exabgp"],
                announcements=decode_announcements(message["announcements"]),
                sessions={ip_address(peer): since for peer, since in message["sessions"]},
            )
        except (TimeoutError, ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"the relay gave no greeting: {error!r}") from error

    async def events(self) -> AsyncIterator[SessionChanged | CommandRefused]:
        """What the relay reports until it goes away. Raises ProtocolError."""
        while line := await self._read_line():
            message = decode_message(line)
            try:
                event = self._dispatch(message)
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"the relay's {message['type']!r} has {error!r}") from error
            if event is not None:
                yield event

    async def announce(self, announcements: frozenset[Announcement]) -> list[str]:
        """Make this the whole set; the commands that ExaBGP refused, once it has answered all."""
        answer = await self._request(
            type="announce", announcements=encode_announcements(announcements)
        )
        return [str(problem) for problem in answer["problems"]]

    async def command(self, text: str) -> list[str]:
        """Run a command of ExaBGP's API; the lines of its answer."""
        answer = await self._request(type="command", text=text)
        return [str(line) for line in answer["lines"]]

    def close(self) -> None:
        """End the connection; whoever waits for an answer gets LinkLostError."""
        self._writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LinkLostError("the relay went away"))

    async def _read_line(self) -> bytes:
        """The next line; nothing at the end."""
        try:
            return await self._reader.readline()
        except OSError:
            return b""
        except ValueError as error:
            raise ProtocolError("the relay sent a line without end") from error

    async def _request(self, **message: object) -> dict[str, Any]:
        request_id = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            if self._writer.is_closing():
                raise LinkLostError("the relay went away")
            self._writer.write(f"{json.dumps(message | {'id': request_id})}\n".encode())
            return await answer
        finally:
            del self._answers[request_id]

    def _dispatch(self, message: dict[str, Any]) -> SessionChanged | CommandRefused | None:
        match message["type"]:
            case "session":
                state = SessionState(message["state"])
                event = SessionEvent(ip_address(message["peer"]), state, message["reason"])
                return SessionChanged(event, message["since"])
            case "refused":
                return CommandRefused(message["command"])
            case "answer":
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message)
                return None
            case other:
                raise ValueError(f"no message is called {other!r}")


def _by_prefix(announcement: Announcement) -> tuple[int, str]:
    return announcement.prefix.version, str(announcement.prefix)
