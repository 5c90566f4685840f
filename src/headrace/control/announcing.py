"""Tells the speaker what peers are to hear, at every change and when a hold-down is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

import structlog

from headrace.control.announce import (
    Route,
    Strength,
    Wish,
    announcement_of,
    covering,
    leaving,
    needed_of,
    worse,
)
from headrace.control.ground import Ground, View, announcers, strength_of, wishes_of
from headrace.control.ports import Speaker
from headrace.model import (
    Announcement,
    Bgp,
    Document,
    IPNetwork,
    LbError,
    Role,
    Service,
    UnavailableError,
)

WITHDRAW_WAIT_S = 0.2
"""From a withdrawal until routers have acted on it: 4 ms (BIRD) to 73 ms (FRR) were measured."""

SPEAKER_TIMEOUT_S = 3.0
"""For the speaker to take a set; it is asked again. Edits wait as long: a set takes 1 ms a prefix
and peer, and a speaker that starts takes half a second."""

UNDECIDED_S = 30.0
"""How long a speaker that an earlier daemon has told is left alone until endpoints were asked."""

_log = structlog.get_logger()


class Announcing:
    """The routes of this node, and the speaker that tells them."""

    def __init__(
        self,
        speaker: Speaker,
        view: Callable[[], View],
        document: Document,
        forwarded: frozenset[IPNetwork],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`document` and `forwarded` are what an earlier daemon left.

        Peers may know of whatever it forwarded, until the speaker says what it holds.
        """
        self._speaker, self._view, self._now = speaker, view, now
        self._left, self._forwarded = document, forwarded
        self._has_learned = False  # what the speaker held
        self._ground: Ground | None = None
        self._may_begin = False  # what peers have not heard of may be announced
        self._routes: dict[IPNetwork, Route] = {}
        self._aggregates: dict[IPNetwork, Route] = {}
        self._inherited: frozenset[IPNetwork] = frozenset()  # heard of by an aggregate alone
        self._wanted: frozenset[Announcement] = frozenset()
        self._relieved: frozenset[Announcement] = frozenset()  # to go once others stand for them
        self._is_relieving = False
        self._announced: frozenset[Announcement] = frozenset()  # as the speaker took it
        self._heard = forwarded
        self._has_told = False  # this daemon, the speaker, anything
        self._is_told = False  # the speaker has taken what was told last
        self._begin_s = now()
        self._leaving_s: float | None = None  # since when the node drains
        self._configured: Bgp | None = None
        self._ending = False
        self._poked = asyncio.Event()
        self._lock = asyncio.Lock()

    # --- what is so -----------------------------------------------------------------------------

    @property
    def announced(self) -> frozenset[Announcement]:
        """What the speaker has taken."""
        return self._announced

    @property
    def lingering(self) -> frozenset[IPNetwork]:
        """What peers may have heard of that they should not."""
        return self._heard - _prefixes(self._wanted | self._relieved)

    def leaves_in_s(self) -> float | None:
        """How long a node that drains announces yet; None for one that does not drain."""
        if self._leaving_s is None or self._ground is None:
            return None
        end_s = self._leaving_s + self._ground.document.node.drain_wait_s
        return max(end_s - self._now(), 0.0)

    def strength(self, service: Service, view: View) -> Strength:
        """How many endpoints of a service serve."""
        if self._ground is None:
            return Strength(0, 0, 0)
        pool = service.own_pool or self._ground.document.pools.get(service.pool or "")
        if pool is None:  # of a document that is not on the ground yet
            return Strength(0, 0, 0)
        return strength_of(service.pool_name, pool, self._ground, view)

    def is_covered(self, service: Service) -> bool:
        """Whether an aggregate that peers heard of holds a VIP that works."""
        told = (announcement.prefix for announcement in self._announced)
        return self._route(service).announced and any(covering(told, [service.prefix]))

    def reason(self, service: Service, view: View) -> str:
        """What keeps a service that is forwarded from being announced; empty if nothing."""
        if self._ground is None or service.label not in self._ground.fresh:
            return ""
        strength = self.strength(service, view)
        wish = strength.wish(service.min_healthy)
        if wish is Wish.WITHDRAW:
            needed = needed_of(service.min_healthy, strength.total)
            told = f"{strength.healthy} of {strength.total} endpoints are healthy"
            told += f", {needed} are needed" if needed > 1 else ""
            return f"{told}: {strength.why}" if strength.why else told
        if not service.announce:
            return ""
        if self.leaves_in_s() == 0:
            return "this node is drained"
        if wish is Wish.LEAVE and not self._route(service).announced:
            return "its endpoints were not asked often enough yet"
        held_s = self._route(service).held_s(service.hold_down_s, self._now())
        return f"held down for {held_s:.0f} s more" if held_s else ""

    # --- changing it ----------------------------------------------------------------------------

    async def configure(self, bgp: Bgp | None) -> None:
        """Have the speaker know the peers; one that has taken them is not asked again."""
        if bgp is not None and not bgp.peers:
            bgp = None
        if bgp != self._configured:
            await self._speaker.configure(bgp)
            self._configured = bgp

    async def prepare(self, ground: Ground) -> None:
        """Withdraw what this ground will not carry, before anything it needs is taken away.

        What it will carry by another prefix stays until that is announced. Raises UnavailableError
        while the speaker does not say what an earlier daemon had announced; nothing is told then.
        """
        await self._learn()
        self._stand_on(ground, may_begin=False)
        async with self._lock:
            self._wanted = self._decide()
            self._relieved = self._replaced()
            if not self.lingering:
                return
            known = self._heard
            told = frozenset(each for each in self._wanted if each.prefix in known)
            await self._tell(told | self._relieved)
        await asyncio.sleep(WITHDRAW_WAIT_S)

    async def conclude(self, ground: Ground) -> None:
        """Announce what this ground carries, which was read back; withdraw what that replaces."""
        self._stand_on(ground, may_begin=True)
        self._poked.set()  # its clocks are others
        self._is_relieving = True
        try:
            await self._settle(again=True)
            if self._relieved:
                await asyncio.sleep(WITHDRAW_WAIT_S)  # routers act on an announcement as fast
        finally:
            self._is_relieving = False
        if self._relieved:
            await self._settle(again=False)

    def poke(self) -> None:
        """Something else is believed of endpoints: look again at once."""
        self._poked.set()

    async def run(self, report: Callable[[LbError], None]) -> None:
        """Follow beliefs and clocks until cancelled; report what the speaker refuses."""
        while True:
            deadline = self._next_deadline()
            try:
                async with asyncio.timeout(None if deadline is None else deadline - self._now()):
                    await self._poked.wait()
            except TimeoutError:
                pass
            self._poked.clear()
            try:
                await self._settle(again=False)
            except LbError as error:
                report(error)

    async def withdraw_all(self) -> None:
        """Have nothing announced, and nothing from now on; wait until routers have acted on it.

        Raises UnavailableError when the speaker does not do it in SPEAKER_TIMEOUT_S.
        """
        self._ending = True
        async with within(SPEAKER_TIMEOUT_S), self._lock:
            self._wanted = frozenset()
            await self._tell(frozenset())
        await asyncio.sleep(WITHDRAW_WAIT_S)

    # --- inside ---------------------------------------------------------------------------------

    async def _learn(self) -> None:
        """Go on from what the speaker held when this daemon began.

        What it did not hold is taken for withdrawn just then, so that a daemon that dies again and
        again has no route flap; unless no speaker was there.
        """
        if self._has_learned:
            return
        async with within(SPEAKER_TIMEOUT_S):
            held = await self._speaker.held()
        self._has_learned = True
        self._announced = held or frozenset()
        self._heard = _prefixes(self._announced)
        bgp = self._left.bgp
        vips = self._forwarded | announcers(self._left).keys()
        if bgp is not None and bgp.aggregate_only:
            told = [each for each in bgp.aggregate if each in self._heard]
            by_them = frozenset(p for p in vips if any(covering(told, [p])))
            self._inherited = by_them - self._heard
        other = Route(withdrawn_s=None if held is None else self._begin_s)
        known = self._heard | self._inherited
        self._routes = {p: Route(announced=True) if p in known else other for p in vips}
        self._aggregates = {
            each: Route(announced=True) if each in known else other
            for each in (() if bgp is None else bgp.aggregate)
        }

    def _stand_on(self, ground: Ground, *, may_begin: bool) -> None:
        drains = ground.document.node.drain
        if drains and self._leaving_s is None:
            # A daemon that starts on a drained node does not begin to announce.
            self._leaving_s = -inf if self._ground is None else self._now()
        if not drains and self._leaving_s is not None:
            self._leaving_s = None  # the operator's own wish is not held down
            self._routes = {p: replace(r, withdrawn_s=None) for p, r in self._routes.items()}
            self._aggregates = {
                p: replace(r, withdrawn_s=None) for p, r in self._aggregates.items()
            }
        self._ground, self._may_begin = ground, may_begin

    async def _settle(self, *, again: bool) -> None:
        """Decide, and tell it if it is another set, or `again`."""
        async with self._lock:
            if self._ground is None or not self._has_learned:
                return
            self._wanted = frozenset() if self._ending else self._decide()
            self._relieved = self._replaced() if self._is_relieving else frozenset()
            told = self._wanted | self._relieved
            if self._is_waiting() or (told == self._announced and self._is_told and not again):
                return
            await self._tell(told)

    def _replaced(self) -> frozenset[Announcement]:
        """What is announced, not wanted, and yet what peers have a working VIP by."""
        wanted = _prefixes(self._wanted)
        working = [prefix for prefix, route in self._routes.items() if route.announced]
        return frozenset(
            each
            for each in self._announced
            if each.prefix not in wanted and any(covering([each.prefix], working))
        )

    async def _tell(self, wanted: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; nothing once the daemon is ending."""
        if self._ending:
            wanted = frozenset()
        prefixes = _prefixes(wanted)
        has_bgp = self._ground is not None and self._ground.document.bgp is not None
        self._is_told = False
        if has_bgp or self._heard:
            self._heard |= prefixes
            async with within(SPEAKER_TIMEOUT_S):
                await self._speaker.announce(wanted)
        if wanted != self._announced:
            _log.info("announced", prefixes=sorted(map(str, prefixes)))
        self._announced, self._heard = wanted, prefixes
        self._has_told = self._is_told = True

    def _decide(self) -> frozenset[Announcement]:
        """What peers should hear now; keeps when each prefix was withdrawn."""
        ground, now = self._ground, self._now()
        bgp = None if ground is None else ground.document.bgp
        if ground is None or bgp is None:
            self._routes, self._aggregates = {}, {}
            return frozenset()
        by = announcers(ground.document)
        wishes = {p: self._allowed(wish) for p, wish in wishes_of(ground, self._view()).items()}
        self._routes = {
            prefix: self._routes.get(prefix, Route()).after(wish, by[prefix].hold_down_s, now)
            for prefix, wish in wishes.items()
        }
        self._inherited = frozenset(
            prefix
            for prefix in self._inherited & self._routes.keys()
            if self._routes[prefix].announced and wishes[prefix] is not Wish.ANNOUNCE
        )
        told = {p: announcement_of(bgp, by[p], p) for p, r in self._routes.items() if r.announced}
        told = self._with_aggregates(bgp, told, now)
        return frozenset(self._as_this_node(each, bgp) for each in told.values())

    def _with_aggregates(
        self, bgp: Bgp, told: dict[IPNetwork, Announcement], now: float
    ) -> dict[IPNetwork, Announcement]:
        """The same with aggregates, which flap no more than the VIPs in them."""
        wanted = set(covering(bgp.aggregate, told))
        self._aggregates = {
            each: self._aggregates.get(each, Route(announced=each in self._heard)).after(
                self._allowed(Wish.ANNOUNCE if each in wanted else Wish.WITHDRAW),
                self._hold_down_s(each),
                now,
            )
            for each in bgp.aggregate
        }
        found = [each for each, route in self._aggregates.items() if route.announced]
        told = {p: a for p, a in told.items() if p not in self._inherited}
        if bgp.aggregate_only:
            told = {p: a for p, a in told.items() if not any(covering(bgp.aggregate, [p]))}
        return {**told, **{each: announcement_of(bgp, None, each) for each in found}}

    def _hold_down_s(self, aggregate: IPNetwork) -> float:
        """How long an aggregate stays withdrawn: as the VIPs in it, the longest of them."""
        if self._ground is None:
            return 0.0
        by = announcers(self._ground.document)
        holds = (s.hold_down_s for p, s in by.items() if any(covering([aggregate], [p])))
        return max(holds, default=0.0)

    def _allowed(self, wish: Wish) -> Wish:
        """What comes of a wish while a change is under way, or the node drains."""
        left_s = self.leaves_in_s()
        if left_s == 0:
            return Wish.WITHDRAW
        may_begin = self._may_begin and left_s is None
        return Wish.LEAVE if wish is Wish.ANNOUNCE and not may_begin else wish

    def _as_this_node(self, announcement: Announcement, bgp: Bgp) -> Announcement:
        if bgp.role is Role.STANDBY:
            announcement = worse(announcement)
        return announcement if self._leaving_s is None else leaving(announcement)

    def _is_waiting(self) -> bool:
        """Whether peers are better left with what an earlier daemon told them.

        Nothing is known yet of the endpoints behind it, and nothing of it has to go.
        """
        if self._has_told or self._ground is None or self._ending or self.lingering:
            return False
        wishes = wishes_of(self._ground, self._view())
        undecided = any(wishes.get(prefix) is Wish.LEAVE for prefix in self._heard)
        return undecided and self._now() < self._begin_s + UNDECIDED_S

    def _route(self, service: Service) -> Route:
        return self._routes.get(service.prefix, Route())

    def _next_deadline(self) -> float | None:
        """When a clock says something new, if any does."""
        if self._ground is None:
            return None
        now = self._now()
        waits = [] if self._has_told else [self._begin_s + UNDECIDED_S - now]
        if (left_s := self.leaves_in_s()) is not None:
            waits.append(left_s)
        by = announcers(self._ground.document)
        waits += [r.held_s(by[p].hold_down_s, now) for p, r in self._routes.items() if p in by]
        waits += [r.held_s(self._hold_down_s(p), now) for p, r in self._aggregates.items()]
        return min((now + wait_s for wait_s in waits if wait_s > 0), default=None)


@asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """Wait for the speaker no longer than this. Raises UnavailableError."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise UnavailableError(
            f"the BGP speaker has not answered within {limit_s:g} s; its log says why"
        ) from error


def _prefixes(announcements: frozenset[Announcement]) -> frozenset[IPNetwork]:
    return frozenset(announcement.prefix for announcement in announcements)
