"""BIRD's configuration and its control socket in text."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .messages import Route, version_of

PEER_PREFIX = "peer_"

_NAME = r"(peer_(?:(?:\d{1,3}_){3}\d{1,3}|(?:[0-9a-f]{4}_){7}[0-9a-f]{4}))"
_CODE = re.compile(r"(\d{4})([- ])(.*)", re.DOTALL)
_PROTOCOL = re.compile(
    _NAME + r"\s+BGP\s+\S+\s+(?:up|start|stop|down|flush)\s+\d\S+ \d\S+\s*(\S*)\s*(.*)"
)
_NOTICE = re.compile(
    r"\+" + _NAME + r": (?:State changed to (\w+)|((?:Received|Error|Socket): .*))"
)
_BFD_STATES = {"AdminDown": "admin_down", "Down": "down", "Init": "init", "Up": "up"}
_BFD = re.compile(rf"(\S+)\s+\S+\s+({'|'.join(_BFD_STATES)})\s")


class Reply(NamedTuple):
    """What BIRD answered to one command."""

    code: int  # that of its last line: 0 to 999 done, 8000 and above refused
    lines: list[str]

    @property
    def problem(self) -> str | None:
        """Why it refused; None when it did not."""
        return "; ".join(self.lines) or f"BIRD's error {self.code}" if self.code >= 8000 else None


class Notice(NamedTuple):
    """Something that BIRD logs of a session: its new state, or why it is to change."""

    peer: str
    state: str | None
    reason: str


class Replies:
    """Lines of the control socket in, whole replies and notices out."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def feed(self, line: str) -> Reply | Notice | None:
        """What this line completes; None while it goes on."""
        match = _CODE.fullmatch(line)
        if match is None:
            if line.startswith(" "):
                self._lines.append(line[1:])
            notice = _NOTICE.fullmatch(line)
            return notice and Notice(peer_of(notice[1]), notice[2], notice[3] or "")
        code, more, text = int(match[1]), match[2] == "-", match[3]
        if text:
            self._lines.append(text)
        if more:
            return None
        lines, self._lines = self._lines, []
        return Reply(code, lines)


class PeerState(NamedTuple):
    """A session as BIRD shows it."""

    is_up: bool
    reason: str


def name_of(peer: str) -> str:
    """What a peer is called in BIRD's configuration."""
    address = ipaddress.ip_address(peer)
    return PEER_PREFIX + re.sub(r"[.:]", "_", address.exploded)


def peer_of(name: str) -> str:
    """The peer that is called so."""
    parts = name.removeprefix(PEER_PREFIX).split("_")
    return str(ipaddress.ip_address((":" if len(parts) == 8 else ".").join(parts)))


def read_sessions(lines: Iterable[str]) -> dict[str, PeerState]:
    """The sessions in what `show protocols` printed, by peer."""
    matches = filter(None, map(_PROTOCOL.match, lines))
    return {peer_of(match[1]): PeerState(match[2] == "Established", match[3]) for match in matches}


def read_watched(lines: Iterable[str]) -> dict[str, str]:
    """What `show bfd sessions` printed: the state in RFC 5880's words, by peer."""
    matches = filter(None, map(_BFD.match, lines))
    return {match[1]: _BFD_STATES[match[2]] for match in matches}


def render_routes(routes: dict[str, Route], own_as: int) -> str:
    """The file that BIRD includes: two static protocols whose routes the sessions export."""
    return "".join(
        f"protocol static vips{version} {{\n    ipv{version};\n"
        + "".join(
            f"    route {prefix} unreachable {{ {' '.join(_attributes(route, own_as))} }};\n"
            for prefix, route in routes.items()
            if version_of(prefix) == version
        )
        + "}\n"
        for version in (4, 6)
    )


def _attributes(route: Route, own_as: int) -> Iterator[str]:
    """Statements of a filter that the route carries.

    The sessions' filters take from it what is for others, and give it what BIRD sends only where
    the session's own filter has set it (`given_`).
    """
    for _ in range(route.prepend):
        yield f"bgp_path.prepend({own_as});"
    if route.med is not None:
        yield f"given_med = {route.med};"
    if route.local_pref is not None:
        yield f"bgp_local_pref = {route.local_pref};"
    if route.next_hop is not None:
        yield f"given_next_hop{version_of(route.next_hop)} = {route.next_hop};"
    for community in route.communities:
        parts = community.split(":")
        kind = "bgp_large_community" if len(parts) == 3 else "bgp_community"
        yield f"{kind}.add(({', '.join(parts)}));"
