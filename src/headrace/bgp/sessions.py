"""The sessions as the daemon sees them, and what is wrong with how they are watched."""

import re
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType

import structlog

from headrace.bgp.link import Hello, WatchChanged
from headrace.bgp.remedies import explain_down
from headrace.model import Announcement, BfdState, Bgp, IPAddress, SessionEvent, SessionState

State = tuple[SessionState, float]
"""And the monotonic time it began."""

WatchState = tuple[BfdState, float]
"""And the monotonic time it began."""

WATCH_DELAY_S = 3.0
"""BFD takes a second or two to come up after its session; a longer silence is a fault."""

_UNSAID = re.compile(r"neighbor (\S+) announce: .* (\S+)")

DOWN_DELAY_S = 3.0
"""A session takes a second or two to come up; one that takes longer is worth a sentence."""

log = structlog.get_logger()


class Sessions:
    """Each peer's state; `on_event` hears each change."""

    def __init__(self, on_event: Callable[[SessionEvent], None]) -> None:
        self._on_event = on_event
        self._states: dict[IPAddress, State] = {}
        self._reasons: dict[IPAddress, str] = {}  # why those that are down are, in other's words

    @property
    def states(self) -> Mapping[IPAddress, State]:
        """By peer."""
        return MappingProxyType(self._states)

    def keep(self, bgp: Bgp | None) -> None:
        """Have the section's peers; those that are new are down."""
        down = SessionState.DOWN, time.monotonic()
        peers = [peer.address for peer in bgp.peers] if bgp is not None else []
        self._states = {peer: self._states.get(peer, down) for peer in peers}
        self._reasons = {peer: why for peer, why in self._reasons.items() if peer in self._states}

    def meet(self, hello: Hello) -> None:
        """Take over what a relay knows."""
        now = time.monotonic()
        for peer, (state, _) in list(self._states.items()):
            if peer in hello.sessions:
                self.note(SessionEvent(peer, SessionState.UP), hello.sessions[peer])
            elif state is SessionState.UP:
                self.note(SessionEvent(peer, SessionState.DOWN), now)

    def note(self, event: SessionEvent, since: float) -> None:
        """Take one change."""
        known = self._states.get(event.peer)
        if known is None:
            return  # a session that the document no longer has
        is_new = known[0] is not event.state
        if is_new or event.state is SessionState.UP:
            self._states[event.peer] = (event.state, since)
        self._reasons[event.peer] = event.reason
        if is_new:
            log.info(
                "session_changed", peer=str(event.peer), state=event.state, reason=event.reason
            )
            self._on_event(event)

    def lose(self, reason: str) -> None:
        """All of them are down."""
        now = time.monotonic()
        for peer, (state, _) in list(self._states.items()):
            if state is SessionState.UP:
                self.note(SessionEvent(peer, SessionState.DOWN, reason), now)

    def alarms(self, bgp: Bgp, now: float) -> list[str]:
        """Why peers are down that have been so for a while, and what to look at."""
        return [
            explain_down(peer, self._reasons.get(peer.address, ""))
            for peer in bgp.peers
            if (state := self._states.get(peer.address)) is not None
            and state[0] is SessionState.DOWN
            and state[1] <= now - DOWN_DELAY_S
        ]


class Unsaid:
    """What peers were not told since their sessions have no next hop for it: the first of each."""

    def __init__(self) -> None:
        self._first: dict[IPAddress, Announcement] = {}

    def note(self, command: str, desired: frozenset[Announcement]) -> None:
        """Take what a relay could not say, if it is of that kind."""
        match = _UNSAID.fullmatch(command)
        if match is None or self._first.get(peer := ip_address(match[1])) in desired:
            return
        found = next((each for each in desired if str(each.prefix) == match[2]), None)
        if found is not None:
            self._first[peer] = found

    def forget(self, peer: IPAddress) -> None:
        """A session begins or ends: all is told anew."""
        self._first.pop(peer, None)

    def alarms(self, desired: frozenset[Announcement]) -> list[str]:
        """A sentence for each peer that lacks something still desired."""
        return [
            f"BGP peer {peer} is not told of {each.prefix}: this end of its session has no address "
            "of that family for the next hop; give the interface one and have the session begin "
            "anew, or set next_hop"
            for peer, each in self._first.items()
            if each in desired
        ]


class Watch:
    """What BFD says of the peers that it is to watch."""

    def __init__(self) -> None:
        self._states: dict[IPAddress, WatchState] = {}
        self._wanted: frozenset[IPAddress] = frozenset()

    @property
    def states(self) -> dict[IPAddress, WatchState]:
        """By peer; of one that is not there, nothing is known."""
        return dict(self._states)

    def keep(self, bgp: Bgp | None) -> None:
        """Watch the section's peers; what becomes of the others is no loss."""
        peers = () if bgp is None else bgp.peers
        self._wanted = frozenset(peer.address for peer in peers if bgp and bgp.is_watched(peer))
        self._states = {peer: s for peer, s in self._states.items() if peer in self._wanted}

    def meet(self, hello: Hello) -> None:
        """Take over what a relay knows."""
        now = time.monotonic()
        for peer in self._states.keys() | hello.watched.keys():
            state, since = hello.watched.get(peer, (None, now))
            self.note(WatchChanged(peer, state, since))

    def note(self, change: WatchChanged) -> None:
        """Take one change, and log it: a loss as a warning, since BGP returns without BFD."""
        peer = change.peer
        if peer not in self._wanted:
            return
        was_up = _is_up(self._states.get(peer))
        if change.state is None:
            self._states.pop(peer, None)
        else:
            self._states[peer] = (change.state, change.since)
        is_up = change.state is BfdState.UP
        if was_up and not is_up:
            log.warning("bfd_lost", peer=str(peer), state=change.state or BfdState.DOWN)
        elif is_up and not was_up:
            log.info("bfd_up", peer=str(peer))

    def lose(self) -> None:
        """Nothing is known any more."""
        now = time.monotonic()
        for peer in list(self._states):
            self.note(WatchChanged(peer, None, now))

    def alarms(self, bgp: Bgp, sessions: Mapping[IPAddress, State], now: float) -> list[str]:
        """Peers with BGP up and BFD not: were one of them lost, only hold time would tell.

        No router that we know of waits for BFD before it takes routes, so that this is a state
        that lasts. Routers drop what they learnt when BFD goes down; we do nothing but say so.
        """
        return [
            f"BFD with {peer.address} is not up though BGP is: a silent end is noticed after "
            f"{peer.hold_time_s} s only; enable BFD there, or look at the way to it"
            for peer in bgp.peers
            if bgp.is_watched(peer)
            and _is_up_since(sessions.get(peer.address), now - WATCH_DELAY_S)
            and not _is_fine(self._states.get(peer.address), now - WATCH_DELAY_S)
        ]


def _is_up(state: WatchState | None) -> bool:
    return state is not None and state[0] is BfdState.UP


def _is_up_since(state: State | None, latest: float) -> bool:
    return state is not None and state[0] is SessionState.UP and state[1] <= latest


def _is_fine(state: WatchState | None, latest: float) -> bool:
    """Up, or not up for a moment only."""
    return state is not None and (state[0] is BfdState.UP or state[1] > latest)
