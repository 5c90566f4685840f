"""What happened to the node of late: each event is one log line and one entry, kept for a while."""

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import ClassVar

import structlog

from headrace.model import Health, IPAddress, IPNetwork, SessionState

LIMIT_EVENTS = 1024
"""Kept for those who come back: minutes of a bad day, and some 200 kB."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DocumentChanged:
    """Another revision of the document is in force."""

    KIND: ClassVar[str] = "document_changed"
    revision: int
    author: str


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """Something else is believed of an endpoint that is checked."""

    KIND: ClassVar[str] = "health_changed"
    pool: str
    endpoint: IPAddress
    health: Health
    why: str  # the last result of its probes


@dataclass(frozen=True, slots=True)
class Announced:
    """BGP peers are told of other prefixes than before."""

    KIND: ClassVar[str] = "announced"
    announced: tuple[IPNetwork, ...]  # they are new
    withdrawn: tuple[IPNetwork, ...]  # they are announced no longer


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A BGP session, or the BFD session that watches it, came up or went down."""

    KIND: ClassVar[str] = "bgp_session"
    peer: IPAddress
    state: SessionState
    reason: str


@dataclass(frozen=True, slots=True)
class DrainChanged:
    """An endpoint, or the whole node, began to drain, is drained, or serves again."""

    KIND: ClassVar[str] = "drain_changed"
    pool: str | None  # None: the node
    endpoint: IPAddress | None
    drain: str  # active | draining | drained


@dataclass(frozen=True, slots=True)
class TroubleChanged:
    """Something else stands in the way of what the document says; nothing: it is overcome."""

    KIND: ClassVar[str] = "trouble_changed"
    problems: tuple[str, ...]


Happening = (
    DocumentChanged | HealthChanged | Announced | SessionChanged | DrainChanged | TroubleChanged
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and when."""

    id: str  # of the daemon's run, and its number in it: resumed by, else opaque
    time: datetime  # UTC
    type: str
    data: Happening


@dataclass(frozen=True, slots=True)
class Page:
    """Events that follow an id."""

    events: tuple[Event, ...]
    last_id: str  # to go on from
    missed: bool  # some after the id are not kept, or it is another run's


class Journal:
    """The newest events, for readers who wait for more."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._count = 0
        self._events: deque[Event] = deque(maxlen=LIMIT_EVENTS)
        self._more = asyncio.Event()
        self._is_closed = False

    @property
    def last_id(self) -> str:
        """The newest event's id; before the first, one that all follow."""
        return f"{self._run}-{self._count}"

    @property
    def is_closed(self) -> bool:
        """Whether the daemon is about to end: nothing follows."""
        return self._is_closed

    def note(self, what: Happening) -> None:
        """Log what happened, and keep it."""
        self._count += 1
        self._events.append(Event(self.last_id, datetime.now(UTC), what.KIND, what))
        told = {field.name: _plain(getattr(what, field.name)) for field in fields(what)}
        is_bad = isinstance(what, TroubleChanged) and what.problems
        (_log.warning if is_bad else _log.info)(what.KIND, **told)
        self._wake()

    def after(self, last_id: str) -> Page:
        """What is kept of the events that follow an id."""
        run, _, text = last_id.partition("-")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        known = run == self._run and 0 <= number <= self._count
        new = self._count - number if known else len(self._events)
        events = tuple(self._events)[max(len(self._events) - new, 0) :]
        return Page(events, self.last_id, missed=not known or new > len(events))

    async def wait(self) -> None:
        """Return once there is another event, or the journal is closed."""
        if not self._is_closed:
            await self._more.wait()

    def close(self) -> None:
        """Have those who wait end: the daemon does."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        """Wake all who wait now; who comes later waits for the next event."""
        self._more.set()
        self._more = asyncio.Event()


def _plain(value: object) -> object:
    """A value as a log line has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, int) else str(value)
