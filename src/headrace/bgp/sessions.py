"""The sessions as the daemon sees them, and what is wrong with how they are watched."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from headrace.bgp.link import Carried, Hello, WatchChanged
from headrace.bgp.remedies import explain_down, explain_uncarried, explain_unsaid
from headrace.model import (
    BfdState,
    Bgp,
    Family,
    IPAddress,
    IPNetwork,
    SessionEvent,
    SessionState,
)

State = tuple[SessionState, float]
"""And the monotonic time it began."""

WatchState = tuple[BfdState, float]
"""And the monotonic time it began."""

WATCH_DELAY_S = 3.0
"""BFD takes a second or two to come up after its session; a longer silence is a fault."""

DOWN_DELAY_S = 3.0
"""A session takes a second or two to come up; one that takes longer is worth a sentence."""

NOT_KNOWN = Carried()

log = structlog.get_logger()


class Sessions:
    """Each peer's state; `on_event` hears each change."""

    def __init__(self, on_event: Callable[[SessionEvent], None]) -> None:
        self._on_event = on_event
        self._states: dict[IPAddress, State] = {}
        self._reasons: dict[IPAddress, str] = {}  # why those that are down are, in other's words
        self._carried: dict[IPAddress, Carried] = {}  # of those that are up

    @property
    def states(self) -> Mapping[IPAddress, State]:
        """By peer."""
        return MappingProxyType(self._states)

    @property
    def families(self) -> dict[IPAddress, frozenset[Family]]:
        """What both ends of sessions that are up carry, where it is known."""
        carried = self._carried.items()
        return {peer: each.families for peer, each in carried if each.families is not None}

    @property
    def unsaid(self) -> dict[IPAddress, frozenset[IPNetwork]]:
        """What sessions that are up are not told for want of a next hop, where there is any."""
        return {peer: each.unsaid for peer, each in self._carried.items() if each.unsaid}

    def keep(self, bgp: Bgp | None) -> None:
        """Have the section's peers; those that are new are down."""
        down = SessionState.DOWN, time.monotonic()
        peers = [peer.address for peer in bgp.peers] if bgp is not None else []
        self._states = {peer: self._states.get(peer, down) for peer in peers}
        self._reasons = {peer: why for peer, why in self._reasons.items() if peer in self._states}
        self._carried = {peer: it for peer, it in self._carried.items() if peer in self._states}

    def meet(self, hello: Hello) -> None:
        """Take over what a relay knows."""
        now = time.monotonic()
        for peer, (state, _) in list(self._states.items()):
            if peer in hello.sessions:
                up = SessionEvent(peer, SessionState.UP)
                self.note(up, hello.sessions[peer], hello.carried.get(peer, Carried()))
            elif state is SessionState.UP:
                self.note(SessionEvent(peer, SessionState.DOWN), now)

    def note(self, event: SessionEvent, since: float, carried: Carried = NOT_KNOWN) -> None:
        """Take one change; a session that is up tells again when it carries something else."""
        known = self._states.get(event.peer)
        if known is None:
            return  # a session that the document no longer has
        is_new = known[0] is not event.state
        if is_new or event.state is SessionState.UP:
            self._states[event.peer] = (event.state, since)
        self._reasons[event.peer] = event.reason
        self._note_carried(event, carried)
        if is_new:
            log.info(
                "session_changed", peer=str(event.peer), state=event.state, reason=event.reason
            )
            self._on_event(event)

    def _note_carried(self, event: SessionEvent, carried: Carried) -> None:
        known = self._carried.pop(event.peer, NOT_KNOWN)
        if event.state is SessionState.UP:
            self._carried[event.peer] = carried
            if carried.unsaid and carried.unsaid != known.unsaid:
                log.warning(
                    "announcements_unsaid", peer=str(event.peer), prefixes=len(carried.unsaid)
                )

    def lose(self, reason: str) -> None:
        """All of them are down."""
        now = time.monotonic()
        for peer, (state, _) in list(self._states.items()):
            if state is SessionState.UP:
                self.note(SessionEvent(peer, SessionState.DOWN, reason), now)

    def alarms(self, bgp: Bgp, now: float) -> list[str]:
        """What keeps peers from hearing all that they should, and what to look at.

        Why they are down that have been so for a while, what the sessions of others do not carry,
        and what those have no next hop for.
        """
        return [
            *(
                explain_down(peer, self._reasons.get(peer.address, ""))
                for peer in bgp.peers
                if (state := self._states.get(peer.address)) is not None
                and state[0] is SessionState.DOWN
                and state[1] <= now - DOWN_DELAY_S
            ),
            *(
                explain_uncarried(peer, family)
                for peer in bgp.peers
                for family in sorted(peer.carried - self.families.get(peer.address, peer.carried))
            ),
            *(explain_unsaid(peer, prefixes) for peer, prefixes in self.unsaid.items()),
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
