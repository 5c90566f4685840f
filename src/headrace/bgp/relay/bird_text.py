"""BIRD's configuration and its control socket in text."""

import ipaddress
import re
import zlib
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from .messages import Export, Route, version_of

PEER_PREFIX = "peer_"

_NAME = r"(peer_(?:(?:\d{1,3}_){3}\d{1,3}|(?:[0-9a-f]{4}_){7}[0-9a-f]{4}))"
_CODE = re.compile(r"(\d{4})([- ])(.*)", re.DOTALL)
_PROTOCOL = re.compile(
    _NAME + r"\s+BGP\s+\S+\s+(?:up|start|stop|down|flush)\s+\d\S+ \d\S+\s*(\S*)\s*(.*)"
)
_NOTICE = re.compile(
    r"\+" + _NAME + r": (?:State changed to (\w+)|((?:Received|Error|Socket): .*|Invalid route .*))"
)
_UNSAID = re.compile(r"Invalid route (\S+) withdrawn")
_CHANNEL_ENDS = frozenset(("DOWN", "FLUSHING", "STOP"))
_NO_HOPS = frozenset(("::", "0.0.0.0"))  # noqa: S104 - nothing is bound
_BFD_STATES = {"AdminDown": "admin_down", "Down": "down", "Init": "init", "Up": "up"}
_BFD = re.compile(rf"(\S+)\s+\S+\s+({'|'.join(_BFD_STATES)})\s")


_BLANK = "bgp_path.empty; unset(bgp_local_pref); unset(bgp_community); unset(bgp_large_community);"

_Class = tuple[Route | None, ...]
"""A route, and what it is for each export; None where it is not heard."""


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


def unsaid_of(reason: str) -> str | None:
    """The prefix that a session could not be told of; None where a notice says something else."""
    match = _UNSAID.fullmatch(reason)
    return match and match[1]


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


def read_channels(lines: Iterable[str]) -> dict[int, bool] | None:
    """The IP versions that a session carries, and whether it has a next hop of its own for each.

    Of what `show protocols all` printed for one session; None where that shows no channel. Those
    are down that the router did not agree to.
    """
    channels: dict[int, bool] = {}
    version = 0
    for line in lines:
        words = line.split()
        match words:
            case ["Channel", "ipv4" | "ipv6" as name]:
                version = int(name[-1])
            case ["State:", state, *_] if version and state not in _CHANNEL_ENDS:
                channels[version] = True
            case ["BGP", "Next", "hop:", hop, *_] if version in channels:
                channels[version] = hop not in _NO_HOPS
    return channels if version else None


def read_watched(lines: Iterable[str]) -> dict[str, str]:
    """What `show bfd sessions` printed: the state in RFC 5880's words, by peer."""
    matches = filter(None, map(_BFD.match, lines))
    return {match[1]: _BFD_STATES[match[2]] for match in matches}


def render_routes(routes: dict[str, Route], own_as: int, exports: tuple[Export, ...] = ()) -> str:
    """The file that BIRD includes: two static protocols whose routes the sessions export.

    `export_to` makes of a route what a peer hears that policies are for. It asks for the route's
    class, since routes of one class are alike for everybody: thousands of prefixes that come and
    go leave the function as it is, so that BIRD need not tell all of them again.
    """
    classes = _classes(routes, exports)
    numbers = _numbers(classes.values())
    marks = {prefix: f"given_class = {numbers[each]}; " for prefix, each in classes.items()}
    return _render_export(exports, numbers, own_as) + "".join(
        f"protocol static vips{version} {{\n    ipv{version};\n"
        + "".join(
            f"    route {prefix} unreachable {{ {marks.get(prefix, '')}"
            f"{' '.join(_attributes(route, own_as))} }};\n"
            for prefix, route in routes.items()
            if version_of(prefix) == version
        )
        + "}\n"
        for version in (4, 6)
    )


def _classes(routes: dict[str, Route], exports: tuple[Export, ...]) -> dict[str, _Class]:
    """By prefix; none where everybody hears the routes as they are."""
    if not exports:
        return {}
    return {
        prefix: (route, *(each.routes.get(prefix) for each in exports))
        for prefix, route in routes.items()
    }


def _numbers(classes: Iterable[_Class]) -> dict[_Class, int]:
    """A number for each class, which it keeps whatever classes come and go beside it."""
    numbers: dict[_Class, int] = {}
    taken: set[int] = set()
    for each in sorted(set(classes), key=repr):
        number = zlib.crc32(repr(each).encode())
        while number in taken:
            number = (number + 1) % 2**32
        taken.add(number)
        numbers[each] = number
    return numbers


def _render_export(exports: tuple[Export, ...], numbers: dict[_Class, int], own_as: int) -> str:
    """The function that a session's filter asks: whether a route is heard as it is.

    If not, it has made of the route what is heard; it rejects for a peer that it does not know.
    """
    cases = []
    for index, export in enumerate(exports):
        peers = " || ".join(f"peer = {peer}" for peer in export.peers)
        outcomes = [
            (number, _outcome(each[0], each[index + 1], own_as))
            for each, number in sorted(numbers.items(), key=itemgetter(1))
        ]
        cases.append(f"    if {peers} then {{\n{_choice(outcomes)}        return false;\n    }}\n")
    head = "function export_to(ip peer; bool next_hop_is_ipv6) {\n"
    return f"{head}{''.join(cases)}    reject;\n}}\n"


def _choice(outcomes: list[tuple[int, str]]) -> str:
    """The outcome of a route's class, found by halves: `case` takes seconds to read thousands."""
    if not outcomes:
        return "reject;\n"
    middle = len(outcomes) // 2
    number, outcome = outcomes[middle]
    if len(outcomes) == 1:
        return f"if given_class = {number} then {outcome} else reject;\n"
    return (
        f"if given_class < {number} then {{\n{_choice(outcomes[:middle])}}} "
        f"else {{\n{_choice(outcomes[middle:])}}}\n"
    )


def _outcome(route: Route | None, heard: Route | None, own_as: int) -> str:
    """The statement that makes of a route what is heard."""
    if heard is None:
        return "reject;"
    if heard == route:
        return "return true;"
    parts = [_BLANK, *_path(heard, own_as), *_own(heard)]
    if heard.med is not None:
        parts.append(f"bgp_med = {heard.med};")
    if heard.next_hop is not None:
        is_not = "" if version_of(heard.next_hop) == 6 else "!"
        parts.append(f"if {is_not}next_hop_is_ipv6 then bgp_next_hop = {heard.next_hop};")
    return f"{{ {' '.join(parts)} }}"


def _attributes(route: Route, own_as: int) -> Iterator[str]:
    """Statements of a filter that the route carries.

    The sessions' filters take from it what is for others, and give it what BIRD sends only where
    the session's own filter has set it (`given_`).
    """
    yield from _path(route, own_as)
    if route.med is not None:
        yield f"given_med = {route.med};"
    if route.next_hop is not None:
        yield f"given_next_hop{version_of(route.next_hop)} = {route.next_hop};"
    yield from _own(route)


def _path(route: Route, own_as: int) -> Iterator[str]:
    for _ in range(route.prepend):
        yield f"bgp_path.prepend({own_as});"


def _own(route: Route) -> Iterator[str]:
    """What BIRD sends as it is."""
    if route.local_pref is not None:
        yield f"bgp_local_pref = {route.local_pref};"
    for community in route.communities:
        parts = community.split(":")
        kind = "bgp_large_community" if len(parts) == 3 else "bgp_community"
        yield f"{kind}.add(({', '.join(parts)}));"
