"""Which prefixes of a node are announced: those of its VIPs, and aggregates of them. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from headrace.control.announce import Route, Wish, covering
from headrace.model import IPNetwork

Known = Mapping[IPNetwork, Route]

_NEW = Route()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the routes: by the document, by its services, and by what is under way."""

    wishes: Mapping[IPNetwork, Wish]  # of each VIP that is to be announced
    hold_downs_s: Mapping[IPNetwork, float]  # of the same
    aggregates: tuple[IPNetwork, ...] = ()
    aggregate_only: bool = False
    may_begin: bool = True  # what peers have not heard of may be announced
    must_end: bool = False  # nothing is to be announced any more

    def allowed(self, wish: Wish) -> Wish:
        """What comes of a wish."""
        if self.must_end:
            return Wish.WITHDRAW
        return Wish.LEAVE if wish is Wish.ANNOUNCE and not self.may_begin else wish

    def hold_down_s(self, aggregate: IPNetwork) -> float:
        """How long an aggregate stays withdrawn: as the VIPs in it, the longest of them."""
        holds = (s for p, s in self.hold_downs_s.items() if any(covering([aggregate], [p])))
        return max(holds, default=0.0)


@dataclass(frozen=True, slots=True)
class Routes:
    """Each VIP's route and each aggregate's."""

    vips: Known = field(default_factory=dict)
    aggregates: Known = field(default_factory=dict)
    inherited: frozenset[IPNetwork] = frozenset()
    """VIPs that peers heard of by an aggregate alone, from a daemon before this one, and that no
    endpoint has spoken for since. They are not announced themselves on that guess."""

    def after(self, asked: Asked, heard: Collection[IPNetwork], now: float) -> "Routes":
        """The routes once this is asked, while peers hear these prefixes."""
        allowed = {wish: asked.allowed(wish) for wish in Wish}
        vips = dict(self.vips)  # nearly all stay, and copies of dicts and sets hash none again
        for prefix in {*self.vips} - {*asked.wishes}:
            del vips[prefix]
        open_ = {*asked.wishes} - {*vips}
        open_ |= {prefix for prefix, route in vips.items() if not route.announced}
        open_ |= {p for p, wish in asked.wishes.items() if allowed[wish] is Wish.WITHDRAW}
        for prefix in open_:
            wish, hold_down_s = allowed[asked.wishes[prefix]], asked.hold_downs_s[prefix]
            vips[prefix] = vips.get(prefix, _NEW).after(wish, hold_down_s, now)
        inherited = frozenset(
            prefix
            for prefix in self.inherited & vips.keys()
            if vips[prefix].announced and allowed[asked.wishes[prefix]] is not Wish.ANNOUNCE
        )
        return Routes(vips, self._aggregates_after(asked, vips, heard, now), inherited)

    def wanted(self, asked: Asked) -> frozenset[IPNetwork]:
        """What peers should hear."""
        own = set(self.vips)  # hashes none again: nearly all are announced
        own -= {p for p, route in self.vips.items() if not route.announced}
        own -= self.inherited
        if asked.aggregate_only:
            own = {prefix for prefix in own if not any(covering(asked.aggregates, [prefix]))}
        return frozenset(own | {p for p, route in self.aggregates.items() if route.announced})

    def standing_in(
        self, heard: Collection[IPNetwork], wanted: Collection[IPNetwork], *, for_all: bool
    ) -> frozenset[IPNetwork]:
        """What peers hear and should not, but have VIPs by that work.

        `for_all`: while those are about to be heard of otherwise; else for the inherited ones.
        """
        surplus = {*heard} - {*wanted}
        if not surplus:
            return frozenset()
        vips = {p for p, route in self.vips.items() if route.announced}
        served = vips if for_all else vips & self.inherited
        return frozenset(prefix for prefix in surplus if any(covering([prefix], served)))

    def forgiven(self) -> "Routes":
        """The same with nothing held down."""
        return replace(self, vips=_forgiven(self.vips), aggregates=_forgiven(self.aggregates))

    def held_s(self, asked: Asked, now: float) -> Iterator[float]:
        """How long each route must stay withdrawn yet."""
        for prefix, route in self.vips.items():
            if not route.announced and prefix in asked.hold_downs_s:
                yield route.held_s(asked.hold_downs_s[prefix], now)
        for prefix, route in self.aggregates.items():
            yield route.held_s(asked.hold_down_s(prefix), now)

    def _aggregates_after(
        self, asked: Asked, vips: Known, heard: Collection[IPNetwork], now: float
    ) -> Known:
        """The aggregates, which flap no more than the VIPs in them.

        One is not held down where peers have a VIP by what is to go in its favour.
        """
        told = [prefix for prefix, route in vips.items() if route.announced]
        wanted = set(covering(asked.aggregates, told))
        urgent = set(covering(asked.aggregates, list(_orphans(asked, told, heard))))
        return {
            each: self.aggregates.get(each, Route(announced=each in heard)).after(
                asked.allowed(Wish.ANNOUNCE if each in wanted else Wish.WITHDRAW),
                0.0 if each in urgent else asked.hold_down_s(each),
                now,
            )
            for each in asked.aggregates
        }


def inherit(
    held: frozenset[IPNetwork] | None,
    vips: Collection[IPNetwork],
    aggregates: Collection[IPNetwork],
    begin_s: float,
) -> Routes:
    """The routes of a daemon that begins at `begin_s`, from what its speaker held then.

    What it did not hold is taken for withdrawn just then, so that a daemon that dies again and
    again has no route flap; unless no speaker was there (None). An aggregate may be one of an
    earlier document, whose change nobody lived to carry out. Where none of the VIPs in it is held,
    it stood for all of them.
    """
    heard = held or frozenset()
    own = heard.intersection(vips)
    alone = [each for each in heard - own if not any(covering([each], own))]
    inherited = frozenset(each for each in vips if each not in own and any(covering(alone, [each])))
    other = Route(withdrawn_s=None if held is None else begin_s)
    return Routes(
        {p: Route(announced=True) if p in own | inherited else other for p in vips},
        {p: Route(announced=True) if p in heard else other for p in aggregates},
        inherited,
    )


def _orphans(
    asked: Asked, told: Collection[IPNetwork], heard: Collection[IPNetwork]
) -> Iterator[IPNetwork]:
    """The VIPs that peers have by none of the aggregates that are to stand for them."""
    if not asked.aggregate_only:
        return
    staying = [each for each in asked.aggregates if each in heard]
    for prefix in told:
        if any(covering(heard, [prefix])) and not any(covering(staying, [prefix])):
            yield prefix


def _forgiven(routes: Known) -> Known:
    return {prefix: replace(route, withdrawn_s=None) for prefix, route in routes.items()}
