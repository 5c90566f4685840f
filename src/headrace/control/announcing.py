"""Tells the speaker what peers are to hear, at every change and when a hold-down is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf, nextafter

from headrace.control.announce import (
    Route,
    Strength,
    Wish,
    announcement_of,
    covering,
    needed_of,
)
from headrace.control.ground import Ground, Strengths, View
from headrace.control.journal import Announced, DrainChanged, Happening
from headrace.control.kept import Kept, changed_keys
from headrace.control.ports import Speaker
from headrace.control.routes import Asked, Routes, inherit
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
from headrace.model.preference import leaving, worse
from headrace.model.values import prefix_rank

WITHDRAW_WAIT_S = 0.2
"""From a withdrawal until routers have acted on it: 4 ms (BIRD) to 73 ms (FRR) were measured."""

SPEAKER_TIMEOUT_S = 3.0
"""For the speaker to take a set; it is asked again. Edits wait as long: a set takes 1 ms a prefix
and peer, and a speaker that starts takes half a second."""

SILENT_TIMEOUT_S = 0.2
"""The same for one that has not answered the last time: edits need not all wait for it."""

UNDECIDED_S = 30.0
"""How long a speaker that an earlier daemon has told is left alone until endpoints were asked."""


class Announcing:
    """The routes of this node, and the speaker that tells them."""

    def __init__(
        self,
        speaker: Speaker,
        view: Callable[[], View],
        document: Document,
        forwarded: frozenset[IPNetwork],
        *,
        note: Callable[[Happening], None] = lambda _: None,
    ) -> None:
        """`document` and `forwarded` are what an earlier daemon left.

        Peers may know of whatever it forwarded, until the speaker says what it holds.
        """
        self._speaker, self._view, self._note = speaker, view, note
        self._now = time.monotonic
        self._is_drained = False  # and that is told
        self._left, self._forwarded = document, forwarded
        self._has_learned = False  # what the speaker held
        self._strengths = Strengths()
        self._hold_downs = Kept[dict[IPNetwork, float]]()
        self._known: list[tuple[frozenset[Announcement], frozenset[IPNetwork]]] = []
        self._made: dict[IPNetwork, Announcement] = {}  # those of what is wanted, by prefix
        self._made_by: Mapping[IPNetwork, Service] = {}  # for these services
        self._made_on: object = None  # and on these terms
        self._ground: Ground | None = None
        self._may_begin = False  # what peers have not heard of may be announced
        self._routes = Routes()
        self._asked: Asked | None = None  # what they follow; None: there is nobody to tell
        self._decided_s = -inf
        self._wanted: frozenset[Announcement] = frozenset()
        self._relieved: frozenset[Announcement] = frozenset()  # to go once others stand for them
        self._relieve_until_s = -inf
        self._announced: frozenset[Announcement] = frozenset()  # as the speaker took it
        self._heard = forwarded
        self._has_told = False  # this daemon, the speaker, anything
        self._is_told = False  # the speaker has taken what was told last
        self._is_silent = False  # it did not answer in time
        self._begin_s = self._now()
        self._leaving_s: float | None = None  # since when the node drains
        self._configured: Bgp | None = None
        self._ending = False
        self._woken = asyncio.Event()
        self._is_poked = False  # there may be something to decide
        self._lock = asyncio.Lock()

    # --- what is so -----------------------------------------------------------------------------

    @property
    def announced(self) -> frozenset[Announcement]:
        """What the speaker has taken."""
        return self._announced

    @property
    def lingering(self) -> frozenset[IPNetwork]:
        """What peers may have heard of that they should not."""
        return self._heard - self._prefixes_of(self._wanted) - _prefixes(self._relieved)

    def leaves_in_s(self) -> float | None:
        """How long a node that drains announces yet; None for one that does not drain."""
        if self._leaving_s is None or self._ground is None:
            return None
        return max(self._leaves_at(self._leaving_s, self._ground) - self._now(), 0.0)

    def strength(self, service: Service, view: View) -> Strength:
        """How many endpoints of a service serve."""
        if self._ground is None:
            return Strength(0, 0, 0)
        pool = service.own_pool or self._ground.document.pools.get(service.pool or "")
        if pool is None:  # of a document that is not on the ground yet
            return Strength(0, 0, 0)
        return self._strengths.of(service.pool_name, pool, self._ground, view)

    def is_covered(self, service: Service) -> bool:
        """Whether an aggregate that peers heard of holds a VIP that works."""
        told = (announcement.prefix for announcement in self._announced)
        return self._route(service).announced and any(covering(told, [service.prefix]))

    def reason(self, service: Service, strength: Strength) -> str:
        """What keeps a service that is forwarded from being announced; empty if nothing."""
        if self._ground is None or service.label not in self._ground.fresh:
            return ""
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
        route = self._route(service)
        if wish is Wish.LEAVE and not route.announced:
            return "its endpoints were not asked often enough yet"
        held_s = route.held_s(service.hold_down_s, self._now())
        return f"held down for {held_s:.0f} s more" if held_s else ""

    # --- changing it ----------------------------------------------------------------------------

    async def configure(self, bgp: Bgp | None) -> None:
        """Have the speaker know the peers; one that has taken them is not asked again."""
        if bgp is not None and not bgp.peers:
            bgp = None
        if bgp != self._configured:
            self._is_told = False  # by these terms, whatever the set
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
            self._decide()
            if not self.lingering:
                return
            known = self._heard
            told = frozenset(each for each in self._wanted if each.prefix in known)
            await self._tell(told | self._relieved)
        await asyncio.sleep(WITHDRAW_WAIT_S)

    async def conclude(self, ground: Ground, *, again: bool = True) -> None:
        """Announce what this ground carries, which was read back; withdraw what that replaces.

        It is told `again` even if the speaker has taken the very same set already.
        """
        self._stand_on(ground, may_begin=True)
        self._relieve_until_s = inf
        try:
            await self._settle(again=again)
            if self._relieved:
                await asyncio.sleep(WITHDRAW_WAIT_S)  # routers act on an announcement as fast
        finally:
            self._relieve_until_s = -inf
            self._woken.set()  # its clocks are others
        if self._relieved:
            await self._settle(again=False)

    def poke(self) -> None:
        """Something else is believed of endpoints: look again at once."""
        self._is_poked = True
        self._woken.set()

    async def run(self, report: Callable[[LbError], None]) -> None:
        """Follow beliefs and clocks until cancelled; report what the speaker refuses."""
        while True:
            deadline = self._next_deadline()
            try:
                async with asyncio.timeout(None if deadline is None else deadline - self._now()):
                    await self._woken.wait()
            except TimeoutError:
                self._is_poked = True
            self._woken.clear()
            if self._is_told and not self._is_poked:
                continue
            self._is_poked = False
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
            self._wanted, self._is_silent = frozenset(), False
            await self._tell(frozenset())
        await asyncio.sleep(WITHDRAW_WAIT_S)

    # --- inside ---------------------------------------------------------------------------------

    async def _learn(self) -> None:
        """Go on from what the speaker held when this daemon began."""
        if self._has_learned:
            return
        async with within(SPEAKER_TIMEOUT_S):
            held = await self._speaker.held()
        self._has_learned = True
        self._announced = held or frozenset()
        self._heard = _prefixes(self._announced)
        vips = self._forwarded | self._left.announcers.keys()
        aggregates = () if self._left.bgp is None else self._left.bgp.aggregate
        known = None if held is None else self._heard
        self._routes = inherit(known, vips, aggregates, self._begin_s)

    def _stand_on(self, ground: Ground, *, may_begin: bool) -> None:
        drains = ground.document.node.drain
        if drains and self._leaving_s is None:
            # A daemon that starts on a drained node does not begin to announce.
            self._leaving_s = -inf if self._ground is None else self._now()
        if not drains and self._leaving_s is not None:
            self._leaving_s = None  # the operator's own wish is not held down
            self._routes = self._routes.forgiven()
        self._ground, self._may_begin = ground, may_begin

    async def _settle(self, *, again: bool) -> None:
        """Decide, and tell it if it is another set, or `again`."""
        async with self._lock:
            if self._ground is None or not self._has_learned:
                return
            self._decide()
            told = self._wanted | self._relieved if self._relieved else self._wanted
            if self._is_waiting() or (told == self._announced and self._is_told and not again):
                return
            await self._tell(told)

    async def _tell(self, wanted: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; nothing once the daemon is ending."""
        if self._ending:
            wanted = frozenset()
        prefixes = self._prefixes_of(wanted)
        has_bgp = self._ground is not None and self._ground.document.bgp is not None
        self._is_told = False
        if has_bgp or self._heard:
            self._heard |= prefixes
            await self._say(wanted)
        before = self._prefixes_of(self._announced)
        if prefixes != before:
            self._note(Announced(_ordered(prefixes - before), _ordered(before - prefixes)))
        self._announced, self._heard = wanted, prefixes
        self._has_told = self._is_told = True
        is_drained = self.leaves_in_s() == 0
        if is_drained and not self._is_drained:
            self._note(DrainChanged(None, None, "drained"))
        self._is_drained = is_drained

    async def _say(self, wanted: frozenset[Announcement]) -> None:
        """Have the speaker take a set. Raises LbError where it refuses, or does not answer."""
        limit_s = SILENT_TIMEOUT_S if self._is_silent else SPEAKER_TIMEOUT_S
        self._is_silent = True
        async with within(limit_s):
            try:
                await self._speaker.announce(wanted)
            except LbError:  # an answer, too
                self._is_silent = False
                raise
        self._is_silent = False

    def _decide(self) -> None:
        """What peers should hear now, and what they may hear until that is told."""
        ground, now = self._ground, self._now()
        bgp = None if ground is None else ground.document.bgp
        self._decided_s = now
        if ground is None or bgp is None or self._ending:
            self._routes = Routes() if bgp is None else self._routes
            self._asked = None
            self._wanted = self._relieved = frozenset()
            return
        self._asked = asked = self._ask(ground, bgp)
        before = self._routes
        self._routes = before.after(asked, self._heard, now)
        if self._routes.inherited != before.inherited:
            self._relieve_until_s = max(self._relieve_until_s, now + WITHDRAW_WAIT_S)
        wanted = self._routes.wanted(asked)
        self._want(wanted, ground.document, bgp)
        # Between a preparation and its conclusion nothing begins: what others are to replace stays.
        for_all = not self._may_begin or now <= self._relieve_until_s
        heard = self._prefixes_of(self._announced)
        stay = self._routes.standing_in(heard, wanted, for_all=for_all)
        relieved = (each for each in self._announced if each.prefix in stay)
        self._relieved = frozenset(relieved if stay else ())

    def _ask(self, ground: Ground, bgp: Bgp) -> Asked:
        """What is asked of the routes on this ground."""
        by, left_s = ground.document.announcers, self.leaves_in_s()
        return Asked(
            wishes=self._strengths.wishes(ground, self._view()),
            hold_downs_s=self._hold_downs.of(
                "all", (by,), lambda: {prefix: each.hold_down_s for prefix, each in by.items()}
            ),
            aggregates=bgp.aggregate,
            aggregate_only=bgp.aggregate_only,
            may_begin=self._may_begin and left_s is None,
            must_end=left_s == 0,
        )

    def _want(self, prefixes: frozenset[IPNetwork], document: Document, bgp: Bgp) -> None:
        """Want these announced; the same set, of the same announcements, where nothing is new."""
        by, terms = document.announcers, (bgp, self._leaving_s is None)
        before = self._prefixes_of(self._wanted)
        made = self._made if before else {}
        changed = before if terms != self._made_on else {*changed_keys(self._made_by, by)}
        self._made, self._made_by, self._made_on = made, by, terms
        stale = before & changed | before - prefixes
        new = prefixes - before | prefixes & stale
        if not stale and not new:
            return
        gone = {made.pop(prefix) for prefix in stale}
        for prefix in new:
            announcement = announcement_of(bgp, by.get(prefix), prefix)
            made[prefix] = self._as_this_node(announcement, bgp)
        self._wanted = self._wanted - gone | {made[prefix] for prefix in new}
        self._remember(self._wanted, prefixes)

    def _prefixes_of(self, announcements: frozenset[Announcement]) -> frozenset[IPNetwork]:
        """The prefixes; of a set that is asked for again, the same object."""
        for known, prefixes in self._known:
            if known is announcements:
                return prefixes
        return self._remember(announcements, _prefixes(announcements))

    def _remember(
        self, announcements: frozenset[Announcement], prefixes: frozenset[IPNetwork]
    ) -> frozenset[IPNetwork]:
        self._known = [(announcements, prefixes), *self._known[:2]]
        return prefixes

    def _as_this_node(self, announcement: Announcement, bgp: Bgp) -> Announcement:
        if bgp.role is Role.STANDBY:
            announcement = worse(announcement)
        return announcement if self._leaving_s is None else leaving(announcement)

    def _is_waiting(self) -> bool:
        """Whether peers are better left with what an earlier daemon told them.

        Nothing is known yet of the endpoints behind it, and nothing of it has to go or to give way.
        """
        if self._has_told or self._ground is None or self._ending:
            return False
        if self.lingering or self._relieved:
            return False
        wishes = self._strengths.wishes(self._ground, self._view())
        undecided = any(wishes.get(prefix) is Wish.LEAVE for prefix in self._heard)
        return undecided and self._now() < self._begin_s + UNDECIDED_S

    def _route(self, service: Service) -> Route:
        return self._routes.vips.get(service.prefix, Route())

    def _next_deadline(self) -> float | None:
        """When a clock says something that was not so at the last decision, if any does."""
        if self._ground is None or self._asked is None:
            return None
        then = self._decided_s
        ends = [] if self._has_told else [self._begin_s + UNDECIDED_S]
        if self._leaving_s is not None:
            ends.append(self._leaves_at(self._leaving_s, self._ground))
        ends += [then + held_s for held_s in self._routes.held_s(self._asked, then)]
        if self._relieved and then <= self._relieve_until_s < inf:
            ends.append(nextafter(self._relieve_until_s, inf))
        return min((end for end in ends if end > then), default=None)

    @staticmethod
    def _leaves_at(since_s: float, ground: Ground) -> float:
        """When a node that drains since then announces nothing any more."""
        return since_s + ground.document.node.drain_wait_s


@asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """Wait for the speaker no longer than this. Raises UnavailableError."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise UnavailableError("the BGP speaker does not answer; its log says why") from error


def _ordered(prefixes: frozenset[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(sorted(prefixes, key=prefix_rank))


def _prefixes(announcements: frozenset[Announcement]) -> frozenset[IPNetwork]:
    return frozenset([announcement.prefix for announcement in announcements])
