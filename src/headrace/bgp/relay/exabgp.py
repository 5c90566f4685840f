"""Between ExaBGP and the daemon, without I/O.

Tells each peer the difference to what that peer has heard, and all of it again to a peer whose
session comes up. ExaBGP itself remembers no route (`adj-rib-out false`): one memory, not two.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .daemon_side import DaemonSide
from .exabgp_text import Ears, attributes_of, commands
from .messages import Announce, Command, HandOver, Lines, Route, Side, Terms, version_of
from .wanted import Wanted

LIMIT_ANSWER_LINES = 16_384
"""64 peers of about 60 lines each, as `show neighbor configuration` prints them, fit four times."""

_UNICAST = {"ipv4 unicast": 4, "ipv6 unicast": 6}
_EXTENDED = "ipv4 unicast ipv6"

RETRY_S = 10.0
"""Until what ExaBGP refused is told again where no daemon is there to tell the next set."""


class _Agreed(NamedTuple):
    """What both ends of a session carry."""

    families: tuple[int, ...]
    extended: bool  # IPv4 with IPv6 next hops

    def carried(self, terms: Terms) -> list[int]:
        """The IP versions of prefixes that a peer on such terms hears."""
        lacks_4 = terms.extended and not self.extended
        return [version for version in self.families if version != 4 or not lacks_4]


class _Session:
    """An established session: our end of it, and what the peer has heard.

    Attributes of None are in doubt: the peer may or may not have heard of the prefix.
    """

    def __init__(self, local: str, beside: str | None, doubtful: set[str]) -> None:
        self.local = local
        self.beside = beside
        self.agreed: _Agreed | None = None  # None: it is not known
        self.heard: dict[str, str | None] = dict.fromkeys(doubtful)
        self.end_of_rib_due = True


class _Asked:
    """A command that ExaBGP has not yet answered."""

    def __init__(
        self,
        text: str,
        *,
        peer: str = "",
        prefixes: Iterable[str] = (),
        request_id: int | None = None,
    ) -> None:
        self.text = text
        self.peer = peer
        self.prefixes = frozenset(prefixes)
        self.request_id = request_id
        self.lines: list[str] = []


class ExabgpRelay:
    """The protocol between ExaBGP and the daemon.

    `beside` finds the own address of the other family; `handover` is what the loop has to keep for
    the next speaker, and says by `note_kept` what came of it.
    """

    def __init__(
        self, *, exabgp_pid: int, wanted: Wanted, beside: Callable[[str], str | None]
    ) -> None:
        self.handover: str | None = None
        self._wanted = wanted
        self._beside = beside
        self._daemon = DaemonSide(exabgp_pid, wanted)
        self._sessions: dict[str, _Session] = {}
        self._doubtful: dict[str, set[str]] = {}
        self._agreed: dict[str, _Agreed] = {}  # of sessions that begin
        self._untold: set[str] = set()  # peers that may have to hear something
        self._unanswered: deque[_Asked] = deque()
        self._announce_ids: list[int] = []
        self._handover_id: int | None = None
        self._problems: list[str] = []
        self._retry_at: float | None = None
        self._requests: deque[Command] = deque()
        self._lines = Lines()
        self._output = bytearray()

    # The protocol's face

    def connect(self, now: float) -> None:
        """The daemon is there."""
        self._daemon.connect(now)

    def disconnect(self, now: float) -> None:
        """The daemon is gone: what it asked is not answered, what it announced is kept a while."""
        self._daemon.disconnect(now)
        self._announce_ids.clear()
        self._handover_id = None
        self._requests.clear()
        for command in self._unanswered:
            command.request_id = None

    def receive(self, side: Side, data: bytes, now: float) -> None:
        """Take bytes from one side. Raises MessageError when the daemon's are no message."""
        if side is Side.SPEAKER:
            for line in self._lines.feed(data):
                self._hear(line, now)
                self._advance()
        else:
            for order in self._daemon.orders(data):
                self._obey(order, now)
                self._advance()

    def tick(self, now: float) -> None:
        """Withdraw, in its steps, when the daemon stays away for longer than the policy allows."""
        if self._wanted.expire(now) or (self._retry_at is not None and now >= self._retry_at):
            self._retry_at = None
            self._untold.update(self._sessions)
            self._advance()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, as far as is known now."""
        times = (self._wanted.keep_until, self._retry_at)
        return min((each for each in times if each is not None), default=None)

    def data_to_send(self, side: Side) -> bytes:
        """The bytes for one side since the last call."""
        if side is Side.DAEMON:
            return self._daemon.data_to_send()
        data = bytes(self._output)
        self._output.clear()
        return data

    def note_kept(self, problem: str | None, now: float) -> None:  # noqa: ARG002 - BIRD's needs it
        """`handover` is kept, or why it is not."""
        self.handover = None
        if self._handover_id is not None:
            problems = [] if problem is None else [problem]
            self._daemon.answer(self._handover_id, problems=problems, lines=[])
            self._handover_id = None

    # What ExaBGP says

    def _hear(self, line: str, now: float) -> None:
        if line in {"done", "error"}:
            self._answered(now, accepted=line == "done")
        elif line.startswith("{"):
            self._observe(line, now)
        elif self._unanswered and len(self._unanswered[0].lines) < LIMIT_ANSWER_LINES:
            self._unanswered[0].lines.append(line)

    def _answered(self, now: float, *, accepted: bool) -> None:
        if not self._unanswered:
            return
        command = self._unanswered.popleft()
        session = self._sessions.get(command.peer)
        if not accepted and session is not None:
            # Some of it may have been said. The next set brings it all anew; to do so at once
            # would be to go on asking for what is refused. Without a daemon there is no next set.
            session.heard.update(dict.fromkeys(command.prefixes))
            if not self._daemon.is_there:
                self._retry_at = now + RETRY_S
        problems = [] if accepted else [command.text]
        if command.request_id is not None:
            self._daemon.answer(command.request_id, problems=problems, lines=command.lines)
        elif not accepted:
            self._problems += problems
            self._daemon.tell(type="refused", command=command.text)

    def _observe(self, line: str, now: float) -> None:
        """Take an event of a session; every other event of ExaBGP's passes by."""
        try:
            neighbor = json.loads(line)["neighbor"]
            peer, local = neighbor["address"]["peer"], neighbor["address"]["local"]
            if "negotiated" in neighbor:  # ahead of `up`
                self._agreed[peer] = _read_agreed(neighbor["negotiated"])
                return
            state = neighbor["state"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if state == "up":
            self._session_up(peer, local, now)
        elif state == "down":
            self._session_down(peer, str(neighbor.get("reason", "")), now)

    def _session_up(self, peer: str, local: str, now: float) -> None:
        agreed = self._agreed.pop(peer, None)
        if local == "None":
            # A reload between connect and up makes ExaBGP forget the address it had found; without
            # a next hop nothing can be announced, and the next connection knows it again.
            self._send(_Asked(f"neighbor {peer} teardown 4"))
            return
        doubtful = self._doubtful.pop(peer, set())
        session = self._sessions[peer] = _Session(local, self._beside(local), doubtful)
        session.agreed = agreed
        self._untold.add(peer)
        terms = self._ears(peer, session).terms
        self._daemon.session_up(peer, now, agreed and agreed.carried(terms))

    def _session_down(self, peer: str, reason: str, now: float) -> None:
        """Forget what the peer heard, save what ExaBGP may yet say to it in the next session."""
        doubtful = {
            prefix
            for command in self._unanswered
            if command.peer == peer
            for prefix in command.prefixes
        }
        self._agreed.pop(peer, None)
        session = self._sessions.pop(peer, None)
        if session is not None:
            doubtful |= {prefix for prefix, heard in session.heard.items() if heard is None}
        self._daemon.session_down(peer, reason, now)
        if doubtful:
            self._doubtful.setdefault(peer, set()).update(doubtful)

    # What the daemon says

    def _obey(self, order: Announce | Command | HandOver, now: float) -> None:
        match order:
            case Announce():
                self._wanted.take(order)
                self._retry_at = None
                self._untold.update(self._sessions)
                self._announce_ids.append(order.id)
            case Command():
                self._requests.append(order)
            case HandOver():
                self.handover = self._wanted.hand_over(now + order.within_s)
                self._handover_id = order.id

    # What follows

    def _advance(self) -> None:
        """Send what is to be sent next, once ExaBGP has answered all that was sent before.

        One round at a time, because ExaBGP reorders several changes of a prefix that it has not
        yet sent, and answers a plain command before the announcements ahead of it.
        """
        if self._unanswered:
            return
        for peer in [peer for peer in self._sessions if peer in self._untold]:
            for command in self._differences(peer, self._sessions[peer]):
                self._send(command)
        self._untold.clear()
        if self._unanswered:
            return
        for request_id in self._announce_ids:
            self._daemon.answer(request_id, problems=self._problems, lines=[])
        self._announce_ids.clear()
        self._problems.clear()
        if self._requests:
            request = self._requests.popleft()
            self._send(_Asked(request.text, request_id=request.id))

    def _differences(self, peer: str, session: _Session) -> Iterator[_Asked]:
        """The commands that bring a peer from what it has heard to what is wanted."""
        wanted = self._attributes_for(peer, session)
        gone: dict[int, list[str]] = {}
        for prefix in session.heard.keys() - wanted.keys():
            gone.setdefault(version_of(prefix), []).append(prefix)
            del session.heard[prefix]
        for prefixes in gone.values():
            # Which one is all the same to a withdrawal, but ExaBGP's API wants a next hop.
            action = f"withdraw attributes next-hop {session.local}"
            yield from _asked(peer, action, sorted(prefixes))
        new: dict[str, list[str]] = {}
        for prefix, attributes in wanted.items():
            if session.heard.get(prefix) != attributes:
                session.heard[prefix] = attributes
                new.setdefault(attributes, []).append(prefix)
        for attributes, prefixes in new.items():
            yield from _asked(peer, f"announce attributes {attributes}", prefixes)
        if self._wanted.end_of_rib and session.end_of_rib_due and peer in self._wanted.peers:
            session.end_of_rib_due = False
            for version in self._ears(peer, session).terms.families:
                yield _Asked(f"neighbor {peer} announce eor ipv{version} unicast")

    def _attributes_for(self, peer: str, session: _Session) -> dict[str, str]:
        """What a peer is to hear; tells the daemon of what cannot be said to it."""
        ears = self._ears(peer, session)
        found: dict[str, str] = {}
        unsaid: list[str] = []
        known: dict[tuple[int, Route], str | None] = {}  # most routes are alike
        for prefix, route in self._wanted.routes_for(peer).items():
            if not ears.carries(prefix):
                continue
            key = version_of(prefix), route
            if key not in known:
                known[key] = attributes_of(prefix, route, ears)
            attributes = known[key]
            if attributes is not None:
                found[prefix] = attributes
            else:
                unsaid.append(prefix)
        families = session.agreed and session.agreed.carried(ears.terms)
        self._daemon.note_carried(peer, families, unsaid)
        return found

    def _ears(self, peer: str, session: _Session) -> Ears:
        own_family = Terms(0, (version_of(session.local),), extended=False)
        terms = self._wanted.peers.get(peer, own_family)
        return Ears(terms, self._wanted.as_number, session.local, session.beside)

    def _send(self, command: _Asked) -> None:
        self._unanswered.append(command)
        self._output += f"{command.text}\n".encode()


def _read_agreed(negotiated: dict[str, list[str]]) -> _Agreed:
    """Of ExaBGP's words; raises KeyError or TypeError where they are others."""
    families = (_UNICAST[name] for name in negotiated["families"] if name in _UNICAST)
    return _Agreed(tuple(families), _EXTENDED in negotiated["nexthop"])


def _asked(peer: str, action: str, prefixes: list[str]) -> Iterator[_Asked]:
    for text, some in commands(peer, action, prefixes):
        yield _Asked(text, peer=peer, prefixes=some)
