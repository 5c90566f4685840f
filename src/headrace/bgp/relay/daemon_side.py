"""The relay's side towards the daemon, without I/O: what is said to it, and whether it is there."""

import json
from collections.abc import Iterable, Iterator

from .messages import (
    PROTOCOL_VERSION,
    Announce,
    Command,
    HandOver,
    Lines,
    encode_routes,
    parse_order,
)
from .wanted import Wanted


class DaemonSide:
    """Tells the daemon what it has not heard; all of it to a daemon that is new."""

    def __init__(self, speaker_pid: int, wanted: Wanted) -> None:
        self.sessions: dict[str, float] = {}  # those that are up, and since when
        self.watched: dict[str, tuple[str, float]] = {}  # what BFD says, and since when
        self._families: dict[str, list[int]] = {}  # of sessions that are up, where it is known
        self._unsaid: dict[str, list[str]] = {}  # prefixes that a session has no next hop for
        self._refusals: dict[str, str] = {}  # why those that are down are, as this daemon knows
        self._speaker_pid = speaker_pid
        self._wanted = wanted
        self._connected = False
        self._lines = Lines()
        self._output = bytearray()

    @property
    def is_there(self) -> bool:
        """Whether a daemon is connected."""
        return self._connected

    def connect(self, now: float) -> None:
        """The daemon is there: say who we are and what we hold."""
        self._connected = True
        self._refusals.clear()
        self._wanted.find_daemon(now)
        self._lines = Lines()
        self.tell(
            type="hello",
            version=PROTOCOL_VERSION,
            speaker=self._speaker_pid,
            announcements=encode_routes(self._wanted.routes),
            sessions=list(self.sessions.items()),
            families=self._families,
            unsaid=self._unsaid,
            watched=[[peer, state, since] for peer, (state, since) in self.watched.items()],
        )

    def disconnect(self, now: float) -> None:
        """The daemon is gone; what it wanted is kept a while."""
        self._connected = False
        self._output.clear()
        self._wanted.lose_daemon(now)

    def orders(self, data: bytes) -> Iterator[Announce | Command | HandOver]:
        """What these bytes ask for. Raises MessageError when they are no messages."""
        for line in self._lines.feed(data):
            yield parse_order(line)

    def answer(self, request_id: int, *, problems: list[str], lines: list[str]) -> None:
        """What came of a request."""
        self.tell(type="answer", id=request_id, problems=problems, lines=lines)

    def session_up(self, peer: str, now: float, families: Iterable[int] | None) -> None:
        """A session is established; the IP versions that both ends carry, if that is known."""
        self.sessions[peer] = now
        self._forget(peer)
        self._note_families(peer, families)
        self._refusals.pop(peer, None)
        self._tell_up(peer)

    def note_carried(
        self, peer: str, families: Iterable[int] | None, unsaid: Iterable[str]
    ) -> None:
        """What a session carries, and all that it has no next hop for: told at each change."""
        known = self._families.get(peer), self._unsaid.get(peer, [])
        now = None if families is None else sorted(families), sorted(unsaid)
        if peer not in self.sessions or now == known:
            return
        self._forget(peer)
        self._note_families(peer, families)
        if now[1]:
            self._unsaid[peer] = now[1]
        self._tell_up(peer)

    def session_down(self, peer: str, reason: str, now: float) -> None:
        """A session has ended, or did not begin; the latter is told once for each new reason."""
        was_up = self.sessions.pop(peer, None) is not None
        self._forget(peer)
        if was_up or (reason and self._refusals.get(peer) != reason):
            self._refusals[peer] = reason
            self.tell(type="session", peer=peer, state="down", since=now, reason=reason)

    def watch(self, peer: str, state: str | None, now: float) -> None:
        """What BFD says of a peer, once for each change; None: it says nothing any more."""
        known = self.watched.get(peer)
        if state is None:
            self.watched.pop(peer, None)
        elif known is None or known[0] != state:
            self.watched[peer] = (state, now)
        if (known and known[0]) != state:
            self.tell(type="watched", peer=peer, state=state, since=now)

    def tell(self, **message: object) -> None:
        """One message, unless nobody is there to hear it."""
        if self._connected:
            self._output += f"{json.dumps(message)}\n".encode()

    def _tell_up(self, peer: str) -> None:
        self.tell(
            type="session",
            peer=peer,
            state="up",
            since=self.sessions[peer],
            reason="",
            families=self._families.get(peer),
            unsaid=self._unsaid.get(peer, []),
        )

    def _note_families(self, peer: str, families: Iterable[int] | None) -> None:
        if families is not None:
            self._families[peer] = sorted(families)

    def _forget(self, peer: str) -> None:
        self._families.pop(peer, None)
        self._unsaid.pop(peer, None)

    def data_to_send(self) -> bytes:
        """The bytes for the daemon since the last call."""
        data = bytes(self._output)
        self._output.clear()
        return data
