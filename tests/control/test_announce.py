"""The rule of announcing, as a function of what is wished and the time."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.control.announce import (
    Route,
    Strength,
    Wish,
    announcement_of,
    covering,
    needed_of,
    wish_of,
)
from headrace.control.routes import Asked, Routes, inherit
from headrace.model import Announcement, IPNetwork, parse_document
from headrace.model.preference import leaving, worse

HOLD_DOWN_S = 10.0
PREFIX = ip_network("20.20.20.1/32")

# One event a letter. An endpoint of the first VIP rises, dies, or is asked anew (u d a), or one of
# the second (U D A); the tables are written or found stale (w s); an eighth of a second or a second
# passes, or as long as a hold-down (. , _). The aggregate goes, comes beside the VIPs, or in their
# place (n b o); so it does in a document that is kept by a daemon which dies then (N B O). A daemon
# dies and the next begins (R).
EVENTS = "udaUDAws.,_nboNBOR"
VIPS = (ip_network("20.20.20.1/32"), ip_network("20.20.20.2/32"))
WHOLE = ip_network("20.20.20.0/24")
MODES = {"n": ((), False), "b": ((WHOLE,), False), "o": ((WHOLE,), True)}


@dataclass
class Vip:
    """A VIP of four endpoints; two are needed."""

    healthy: int = 0
    undecided: int = 4

    def take(self, event: str) -> None:
        if event in "ud" and self.undecided:
            self.undecided -= 1
            self.healthy += event == "u"
        elif event == "u":
            self.healthy = min(self.healthy + 1, 4 - self.undecided)
        elif event == "d":
            self.healthy = max(self.healthy - 1, 0)
        elif event == "a" and self.healthy:
            self.healthy, self.undecided = self.healthy - 1, self.undecided + 1

    def wish(self, *, fresh: bool) -> Wish:
        return Strength(self.healthy, self.undecided, 4).wish(2) if fresh else Wish.WITHDRAW


Changes = dict[IPNetwork, list[tuple[float, bool]]]


@dataclass
class Node:
    """Two VIPs and an aggregate, what peers hear of them, and when that changed."""

    vips: dict[IPNetwork, Vip] = field(default_factory=lambda: {vip: Vip() for vip in VIPS})
    fresh: bool = False
    mode: str = "n"
    routes: Routes = field(default_factory=Routes)
    heard: frozenset[IPNetwork] = frozenset()
    now: float = 1_000.0
    changes: Changes = field(default_factory=dict)
    eras: list[Changes] = field(default_factory=list)  # the changes between two edits
    seen: set[IPNetwork] = field(default_factory=set)  # to work, by this daemon

    def take(self, event: str) -> Iterator[frozenset[IPNetwork]]:
        """What peers hear after the event, a set a step."""
        if event.lower() in "uda":
            self.vips[VIPS[event.isupper()]].take(event.lower())
        elif event in "ws":
            self.fresh = event == "w"
        elif event.lower() in MODES:
            self.mode = event.lower()
            self.changes = {}  # the operator may change a route as often as he likes
            self.eras.append(self.changes)
        self.now += {".": 0.125, ",": 1.0, "_": HOLD_DOWN_S}.get(event, 0.0)
        if event in "NBOR":
            self.vips = {vip: Vip() for vip in VIPS}
            self.seen = set(self.heard.intersection(VIPS))
            self.routes = inherit(self.heard, VIPS, MODES[self.mode][0], self.now)
        if event.lower() in "nbor":
            yield self.tell(may_begin=False, for_all=True)  # before the data plane changes
        yield self.tell(for_all=True)
        yield self.tell(for_all=False)

    def tell(self, *, may_begin: bool = True, for_all: bool) -> frozenset[IPNetwork]:
        aggregates, only = MODES[self.mode]
        holds = dict.fromkeys(VIPS, HOLD_DOWN_S)
        asked = Asked(self.wishes(), holds, aggregates, only, may_begin)
        self.seen |= {vip for vip, wish in asked.wishes.items() if wish is Wish.ANNOUNCE}
        self.routes = self.routes.after(asked, self.heard, self.now)
        wanted = self.routes.wanted(asked)
        told = wanted | self.routes.standing_in(self.heard, wanted, for_all=for_all)
        for prefix in told ^ self.heard:
            self.changes.setdefault(prefix, []).append((self.now, prefix in told))
        self.heard = told
        return told

    def wishes(self) -> dict[IPNetwork, Wish]:
        return {prefix: vip.wish(fresh=self.fresh) for prefix, vip in self.vips.items()}

    def relied_on(self, event: str) -> set[IPNetwork]:
        """The VIPs that are announced, and that a daemon which the event begins knows of.

        What one takes for announced by an aggregate alone the next cannot know, once peers hear
        another VIP of it by itself.
        """
        announced = {p for p, route in self.routes.vips.items() if route.announced}
        is_lost = event in "NBOR" and self.heard.intersection(VIPS)
        return announced - self.routes.inherited if is_lost else announced

    def works(self, prefix: IPNetwork) -> bool:
        """Whether it may be announced: a VIP of its own accord, an aggregate for one in it."""
        return any(
            self.fresh and vip.healthy + vip.undecided >= 2
            for own, vip in self.vips.items()
            if any(covering([prefix], [own]))
        )


def has(told: frozenset[IPNetwork], vip: IPNetwork) -> bool:
    return any(covering(told, [vip]))


@pytest.mark.timeout(600)  # 25 s of work
@settings(max_examples=10_000)
@given(st.text(EVENTS, min_size=1, max_size=30))
def test_no_string_of_events_announces_what_does_not_work_or_changes_a_route_too_often(
    events: str,
) -> None:
    node = Node()
    node.eras.append(node.changes)

    for event in events:
        before, announced = node.heard, node.relied_on(event)
        for told in node.take(event):
            wishes = node.wishes()
            assert all(map(node.works, told)), "never with too few, nor with a stale table"
            for vip in VIPS:
                if wishes[vip] is not Wish.ANNOUNCE and not has(before, vip):
                    assert vip not in told, "never on a guess"
                assert vip not in told - before or vip in node.seen, "nor on an aggregate's word"
                if wishes[vip] is Wish.LEAVE and vip in announced and has(before, vip):
                    assert has(told, vip), "nor is it withdrawn on one"
                if wishes[vip] is Wish.ANNOUNCE and vip in announced and has(before, vip):
                    assert has(told, vip), "what works stays, whatever stands for it"
        for vip, wish in node.wishes().items():
            held = node.routes.vips[vip].held_s(HOLD_DOWN_S, node.now)
            assert wish is not Wish.ANNOUNCE or has(node.heard, vip) or held, "else at once"
        assert not any(
            has(node.heard, vip) and wish is Wish.WITHDRAW
            for vip, wish in wishes.items()
            if WHOLE not in node.heard
        ), "what does not work is withdrawn at once"

    for changes in (changes for era in node.eras for changes in era.values()):
        assert all(was != becomes for (_, was), (_, becomes) in pairwise(changes))
        for kind in (True, False):
            times = [at for at, becomes in changes if becomes is kind]
            assert all(later - earlier >= HOLD_DOWN_S for earlier, later in pairwise(times))


def test_a_route_is_held_down_from_its_withdrawal() -> None:
    route = Route().after(Wish.ANNOUNCE, 10, now=100)
    gone = route.after(Wish.WITHDRAW, 10, now=150)

    assert route == Route(announced=True)
    assert gone == Route(announced=False, withdrawn_s=150)
    assert gone.held_s(10, now=153) == 7
    assert gone.after(Wish.ANNOUNCE, 10, now=159.9) == gone
    assert gone.after(Wish.ANNOUNCE, 10, now=160).announced
    assert gone.after(Wish.LEAVE, 10, now=160) == gone


@pytest.mark.parametrize(
    ("healthy", "undecided", "least", "wish"),
    [
        (0, 0, 1, Wish.WITHDRAW),
        (1, 0, 1, Wish.ANNOUNCE),
        (0, 1, 1, Wish.LEAVE),
        (1, 1, 3, Wish.WITHDRAW),
        (2, 0, "50%", Wish.ANNOUNCE),
        (1, 1, "50%", Wish.LEAVE),
        (1, 0, "50%", Wish.WITHDRAW),
    ],
)
def test_a_service_works_with_enough_healthy_endpoints(
    healthy: int, undecided: int, least: int | str, wish: Wish
) -> None:
    assert Strength(healthy, undecided, 4).wish(least) is wish


@pytest.mark.parametrize(
    ("least", "total", "needed"),
    [(3, 1, 3), ("50%", 3, 2), ("1%", 3, 1), ("100%", 7, 7), ("9%", 0, 1)],
)
def test_a_share_is_rounded_up_and_never_nobody(least: int | str, total: int, needed: int) -> None:
    assert needed_of(least, total) == needed


@pytest.mark.parametrize(
    ("wishes", "wish"),
    [
        ([Wish.WITHDRAW, Wish.ANNOUNCE, Wish.LEAVE], Wish.ANNOUNCE),
        ([Wish.WITHDRAW, Wish.LEAVE], Wish.LEAVE),
        ([Wish.WITHDRAW], Wish.WITHDRAW),
        ([], Wish.WITHDRAW),
    ],
)
def test_one_service_that_works_is_enough_for_its_vip(wishes: list[Wish], wish: Wish) -> None:
    assert wish_of(wishes) is wish


def test_a_service_says_of_its_route_what_bgp_does_not_say_for_it() -> None:
    document = parse_document(
        "bgp: {as: 64512, router_id: 1.1.1.1, med: 5, communities: ['1:1'], prepend: 1,"
        " local_pref: 90, next_hop: 10.0.0.9, peers: [{address: 10.0.0.1, as: 1}]}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 56.0.0.1}],"
        " communities: ['2:2'], prepend: 0}]"
    )
    bgp, (service,) = document.bgp, document.services
    assert bgp is not None

    assert announcement_of(bgp, service, PREFIX) == Announcement(
        PREFIX, 5, ("2:2",), 0, 90, ip_address("10.0.0.9")
    )
    assert announcement_of(bgp, None, PREFIX).communities == ("1:1",)
    assert announcement_of(bgp, None, ip_network("2001:db8::1")).next_hop is None


def test_a_node_that_drains_asks_routers_to_go_elsewhere() -> None:
    plain = Announcement(PREFIX, communities=("1:1",))

    assert worse(plain) == Announcement(PREFIX, 100, ("1:1",), 2, 50)
    assert leaving(plain) == Announcement(PREFIX, 100, ("65535:0", "1:1"), 2, 50)
    assert leaving(leaving(plain)).communities == ("65535:0", "1:1")
    assert leaving(replace(plain, med=2**32 - 1)).med == 2**32 - 1
    assert worse(replace(plain, med=7, local_pref=20)) == Announcement(PREFIX, 107, ("1:1",), 2, 0)


def test_an_aggregate_covers_the_prefixes_in_it() -> None:
    aggregates = [ip_network(each) for each in ("20.20.20.0/24", "20.20.30.0/24", "::/0")]

    assert list(covering(aggregates, [PREFIX])) == [ip_network("20.20.20.0/24")]
    assert list(covering(aggregates, [])) == []
