"""What relay and daemon say to each other: lines of JSON, each with its `type`.

The relay says:

- hello: version, speaker (the pid to supervise), announcements, sessions [[peer, since]], families
  {peer: [IP version]}, unsaid {peer: [prefix]}, watched [[peer, state, since]]
- session: peer, state, since, reason; if it is up, families (the IP versions that both ends carry;
  null: not known) and unsaid (the prefixes that it has no next hop for), again at each change of
  those. A relay of an earlier version 4 says neither
- watched: peer, state (admin_down, down, init, up; null: no session), since: what BFD says
- refused: command: what the speaker answered with an error
- answer: id, problems, lines

The daemon says:

- announce: id, keep_s, drain_s, as, end_of_rib, announcements [[prefix, med, communities, prepend,
  local_pref, next_hop]], leaving (likewise), peers {peer: [as, families, extended]}, exports
  [{peers, announcements, leaving}]: the whole set, how each peer is to hear it, and what those hear
  in its place that policies are for; who is no peer hears nothing. Without the daemon it lasts
  keep_s, then becomes what is leaving for drain_s (nothing: it does not), then nothing
- command: id, text: any other command of the speaker's
- hand_over: id, within_s: leave the set to a speaker that starts within that time
"""

import json
from enum import Enum
from typing import Any, NamedTuple

PROTOCOL_VERSION = 4
"""Grows when the messages change; the daemon replaces a speaker whose relay speaks another."""

LIMIT_LINE_BYTES = 40 * 1024 * 1024
"""A set of 4,096 prefixes with ten communities each is under 1 MB; it may be there twice, and twice
for each of 16 ways to hear it."""


class Side(Enum):
    """The two that the relay stands between."""

    SPEAKER = "speaker"
    DAEMON = "daemon"


class MessageError(Exception):
    """The daemon sent what is no message; its connection must be dropped."""


class Route(NamedTuple):
    """How one prefix is announced."""

    med: int | None = None
    communities: tuple[str, ...] = ()
    prepend: int = 0
    local_pref: int | None = None
    next_hop: str | None = None


class Terms(NamedTuple):
    """How a peer is to hear routes: its AS, the IP versions of prefixes, RFC 8950 or not."""

    as_number: int
    families: tuple[int, ...]
    extended: bool


class Export(NamedTuple):
    """What some peers hear in place of the set."""

    peers: tuple[str, ...]
    routes: dict[str, Route]
    leaving: dict[str, Route]


class Announce(NamedTuple):
    """The whole set."""

    id: int
    keep_s: float
    drain_s: float
    as_number: int
    end_of_rib: bool
    routes: dict[str, Route]
    leaving: dict[str, Route]
    peers: dict[str, Terms]
    exports: tuple[Export, ...] = ()


class Command(NamedTuple):
    """A command for the speaker."""

    id: int
    text: str


class HandOver(NamedTuple):
    """Leave the set to a speaker that starts within a time."""

    id: int
    within_s: float


class Lines:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete. Raises MessageError when one grows too long."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LIMIT_LINE_BYTES:
            self._rest = b""
            raise MessageError(f"a line is over {LIMIT_LINE_BYTES} bytes")
        return [line.decode("utf-8", "replace") for line in whole]


def version_of(text: str) -> int:
    """Of the IP protocol, of an address or a prefix."""
    return 6 if ":" in text else 4


def parse_order(line: str) -> Announce | Command | HandOver:
    """What the daemon wants. Raises MessageError."""
    try:
        message = json.loads(line)
        match message["type"]:
            case "announce":
                return _parse_announce(message)
            case "command":
                return Command(message["id"], message["text"])
            case "hand_over":
                return HandOver(message["id"], float(message["within_s"]))
            case other:
                raise MessageError(f"no message is called {other!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MessageError(f"not a message: {line[:80]!r}") from error


def encode_routes(routes: dict[str, Route]) -> list[list[object]]:
    """Routes as `announce` and `hello` have them."""
    return [[prefix, *route] for prefix, route in routes.items()]


def encode_exports(exports: tuple[Export, ...]) -> list[dict[str, object]]:
    """Exports as `announce` has them."""
    return [
        {
            "peers": each.peers,
            "announcements": encode_routes(each.routes),
            "leaving": encode_routes(each.leaving),
        }
        for each in exports
    ]


def _parse_routes(raw: list[Any]) -> dict[str, Route]:
    return {
        prefix: Route(med, tuple(many), int(prepend), local_pref, next_hop)
        for prefix, med, many, prepend, local_pref, next_hop in raw
    }


def _parse_announce(message: dict[str, Any]) -> Announce:
    return Announce(
        id=message["id"],
        keep_s=float(message["keep_s"]),
        drain_s=float(message["drain_s"]),
        as_number=int(message["as"]),
        end_of_rib=bool(message["end_of_rib"]),
        routes=_parse_routes(message["announcements"]),
        leaving=_parse_routes(message["leaving"]),
        peers={
            peer: Terms(int(number), tuple(families), bool(extended))
            for peer, (number, families, extended) in message["peers"].items()
        },
        # A relay of version 3 that hands over knows of none.
        exports=tuple(map(_parse_export, message.get("exports", []))),
    )


def _parse_export(raw: dict[str, Any]) -> Export:
    return Export(
        tuple(map(str, raw["peers"])),
        _parse_routes(raw["announcements"]),
        _parse_routes(raw["leaving"]),
    )
