"""The daemon's end of the connection to the relay."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from headrace.bgp.relay.messages import PROTOCOL_VERSION
from headrace.model import (
    Announcement,
    BfdState,
    Bgp,
    ConfigError,
    Family,
    IPAddress,
    IPNetwork,
    ProtocolError,
    SessionEvent,
    SessionState,
)
from headrace.model.exporting import Attributes, Exporting
from headrace.model.exports import Way
from headrace.model.fields import read_community
from headrace.model.limits import LIMIT_SERVICES
from headrace.model.preference import leaving

GREETING_TIMEOUT_S = 5.0
"""A relay says hello as soon as it is connected."""


class LinkLostError(Exception):
    """The relay went away before it answered."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a session that is up can say."""

    families: frozenset[Family] | None = None  # that both ends carry; None: it is not known
    unsaid: frozenset[IPNetwork] = frozenset()  # without a next hop


@dataclass(frozen=True, slots=True)
class Hello:
    """How a relay introduces itself."""

    version: int
    speaker_pid: int  # of the process to supervise
    announcements: frozenset[Announcement]
    sessions: dict[IPAddress, float]  # those that are up, and the monotonic time each began
    watched: dict[IPAddress, tuple[BfdState, float]]  # what BFD says, and since when
    carried: dict[IPAddress, Carried] = field(default_factory=dict)  # of those up


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session came up or went down, at a monotonic time."""

    event: SessionEvent
    since: float
    carried: Carried = Carried()


@dataclass(frozen=True, slots=True)
class WatchChanged:
    """BFD says something else of a peer, at a monotonic time; None when it says nothing more."""

    peer: IPAddress
    state: BfdState | None
    since: float


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The speaker answered a command of the relay's own with an error."""

    command: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    problems: list[str]
    lines: list[str]


Event = SessionChanged | WatchChanged | CommandRefused


def check_communities(announcements: Iterable[Announcement]) -> None:
    """Raise ConfigError for what is no community."""
    for announcement in announcements:
        for community in announcement.communities:
            try:
                read_community(community)
            except ValueError as error:
                where = f"communities of {announcement.prefix}"
                raise ConfigError.at(where, str(error)) from error


def encode_announcements(announcements: Iterable[Announcement]) -> list[list[Any]]:
    """Announcements as the relay reads them."""
    named = [(_text(each.prefix), each) for each in announcements]
    return [
        [
            text,
            each.med,
            list(each.communities),
            each.prepend,
            each.local_pref,
            None if each.next_hop is None else str(each.next_hop),
        ]
        for text, each in sorted(named, key=lambda pair: (pair[1].prefix.version, pair[0]))
    ]


def encode_leaving(announcements: Iterable[Announcement], bgp: Bgp) -> list[list[Any]]:
    """What they become before they are withdrawn without us; nothing where that is at once."""
    return encode_announcements(map(leaving, announcements)) if bgp.withdraw_drain_s else []


def encode_exports(announcements: Iterable[Announcement], bgp: Bgp) -> list[dict[str, Any]]:
    """What those peers hear whose policies change something; peers that hear the same together."""
    exporting = Exporting(bgp)
    ways = exporting.ways()
    if not ways:
        return []
    told = sorted(announcements, key=_by_prefix)
    names = [_text(each.prefix) for each in told]
    kinds = [exporting.kind(each) for each in told]
    left = [exporting.kind(leaving(each)) for each in told] if bgp.withdraw_drain_s else []
    known = {kind: index for index, kind in enumerate({*kinds, *left})}
    numbers, numbers_left = [known[kind] for kind in kinds], [known[kind] for kind in left]

    def encode(way: Way) -> dict[str, Any]:
        decided = [exporting.decide(kind, way) for kind in known]
        rows = [None if each is None else _encode_attributes(each) for each in decided]
        return {
            "announcements": _named(names, [rows[number] for number in numbers]),
            "leaving": _named(names, [rows[number] for number in numbers_left]),
        }

    return [{"peers": [str(peer) for peer in peers]} | encode(way) for way, peers in ways.items()]


def count_choices(announcements: Iterable[Announcement], bgp: Bgp) -> int:
    """How many outcomes `encode_exports` tells apart: kinds of routes times ways to hear them."""
    exporting = Exporting(bgp)
    ways = exporting.ways()
    return len(ways) * len(set(map(exporting.kind, announcements))) if ways else 0


def _named(names: list[str], rows: list[list[Any] | None]) -> list[list[Any]]:
    """Rows with the prefixes they are for; those without are not heard."""
    return [[name, *row] for name, row in zip(names, rows, strict=False) if row is not None]


def decode_announcements(raw: Iterable[Any]) -> frozenset[Announcement]:
    """What `encode_announcements` made."""
    return frozenset(
        Announcement(
            ip_network(prefix),
            med,
            tuple(many),
            prepend,
            local_pref,
            None if next_hop is None else ip_address(next_hop),
        )
        for prefix, med, many, prepend, local_pref, next_hop in raw
    )


def encode_terms(bgp: Bgp) -> dict[str, Any]:
    """How each peer is to hear the set, and for how long it outlives us."""
    return {
        "keep_s": bgp.keep_announced_s,
        "drain_s": bgp.withdraw_drain_s,
        "as": bgp.as_number,
        "end_of_rib": bgp.graceful_restart_s is not None,
        "peers": {
            str(peer.address): [
                peer.as_number,
                sorted(family.version for family in peer.carried),
                peer.extended_next_hop,
            ]
            for peer in bgp.peers
        },
    }


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
        self._answers: dict[int, asyncio.Future[Answer]] = {}

    async def hello(self) -> Hello:
        """The relay's first message. Raises ProtocolError."""
        try:
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                message = decode_message(await self._read_line())
            if message["version"] != PROTOCOL_VERSION:
                pid = message["speaker" if "speaker" in message else "exabgp"]  # version 1
                return Hello(int(message["version"]), int(pid), frozenset(), {}, {})
            return Hello(
                version=message["version"],
                speaker_pid=message["speaker"],
                announcements=decode_announcements(message["announcements"]),
                sessions={ip_address(peer): since for peer, since in message["sessions"]},
                watched={
                    ip_address(peer): (BfdState(state), since)
                    for peer, state, since in message["watched"]
                },
                carried=_decode_all_carried(message),
            )
        except (TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(f"the relay gave no greeting: {error!r}") from error

    async def events(self) -> AsyncIterator[Event]:
        """What the relay reports until it goes away. Raises ProtocolError."""
        while line := await self._read_line():
            message = decode_message(line)
            try:
                event = self._dispatch(message)
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"the relay's {message['type']!r} has {error!r}") from error
            if event is not None:
                yield event

    async def announce(self, announcements: frozenset[Announcement], bgp: Bgp) -> list[str]:
        """Make this the whole set; what the speaker refused, once it has taken the rest."""
        answer = await self._request(
            type="announce",
            announcements=encode_announcements(announcements),
            leaving=encode_leaving(announcements, bgp),
            exports=encode_exports(announcements, bgp),
            **encode_terms(bgp),
        )
        return answer.problems

    async def withdraw(self) -> list[str]:
        """Have nothing announced to anybody; what the speaker refused."""
        nobody: dict[str, Any] = {"as": 0, "end_of_rib": False, "peers": {}, "exports": []}
        nothing: dict[str, Any] = {"keep_s": 0, "drain_s": 0, "announcements": [], "leaving": []}
        answer = await self._request(type="announce", **nothing, **nobody)
        return answer.problems

    async def command(self, text: str) -> Answer:
        """Run a command of the speaker's own."""
        return await self._request(type="command", text=text)

    async def hand_over(self, within_s: float) -> list[str]:
        """Leave the set to a speaker that starts within that time; why it could not be left.

        BIRD ends by it, ExaBGP does not.
        """
        answer = await self._request(type="hand_over", within_s=within_s)
        return answer.problems

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

    async def _request(self, **message: object) -> Answer:
        request_id = next(self._ids)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            if self._writer.is_closing():
                raise LinkLostError("the relay went away")
            self._writer.write(f"{json.dumps(message | {'id': request_id})}\n".encode())
            return await answer
        finally:
            del self._answers[request_id]

    def _dispatch(self, message: dict[str, Any]) -> Event | None:
        match message["type"]:
            case "session":
                state = SessionState(message["state"])
                event = SessionEvent(ip_address(message["peer"]), state, message["reason"])
                carried = _decode_carried(message.get("families"), message.get("unsaid", []))
                return SessionChanged(event, message["since"], carried)
            case "watched":
                says = None if message["state"] is None else BfdState(message["state"])
                return WatchChanged(ip_address(message["peer"]), says, message["since"])
            case "refused":
                return CommandRefused(message["command"])
            case "answer":
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    problems, lines = map(list, (message["problems"], message["lines"]))
                    answer.set_result(Answer(problems, lines))
                return None
            case other:
                raise ValueError(f"no message is called {other!r}")


def _decode_carried(versions: Iterable[int] | None, unsaid: Iterable[str]) -> Carried:
    families = None if versions is None else frozenset(Family(f"ipv{each}") for each in versions)
    prefixes = map(ip_network, unsaid)
    # What the session does not carry at all lacks more than a next hop.
    said = (each for each in prefixes if families is None or Family.of(each) in families)
    return Carried(families, frozenset(said))


def _decode_all_carried(hello: dict[str, Any]) -> dict[IPAddress, Carried]:
    """By peer; a relay that was started by an earlier Headrace says nothing of it."""
    families, unsaid = hello.get("families", {}), hello.get("unsaid", {})
    return {
        ip_address(peer): _decode_carried(families.get(peer), unsaid.get(peer, []))
        for peer, _ in hello["sessions"]
    }


def _encode_attributes(attributes: Attributes) -> list[Any]:
    med, communities, prepend, local_pref, hop = attributes
    return [med, list(communities), prepend, local_pref, None if hop is None else str(hop)]


def _by_prefix(announcement: Announcement) -> tuple[int, str]:
    return announcement.prefix.version, _text(announcement.prefix)


@lru_cache(maxsize=LIMIT_SERVICES)
def _text(prefix: IPNetwork) -> str:
    """A prefix in words; those of a set are told again with each change of it."""
    return str(prefix)
