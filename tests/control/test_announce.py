"""The rule of announcing, as a function of what is wished and the time."""

from dataclasses import replace
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
    leaving,
    needed_of,
    wish_of,
    worse,
)
from headrace.model import Announcement, parse_document

HOLD_DOWN_S = 10.0
PREFIX = ip_network("20.20.20.1/32")

# One event a letter: an endpoint rises, dies, or is asked anew; the table is written or found
# stale; an eighth of a second or a second passes, or as long as a hold-down.
EVENTS = "udaws.,_"


class Vip:
    """A VIP of four endpoints, and what became of its route at each event."""

    def __init__(self) -> None:
        self.healthy, self.undecided, self.fresh = 0, 4, False
        self.route = Route()
        self.now = 1_000.0
        self.changes: list[tuple[float, bool]] = []

    def take(self, event: str) -> bool:
        """Whether the event has the route announced that was not."""
        if event in "ud" and self.undecided:
            self.undecided -= 1
            self.healthy += event == "u"
        elif event == "u":
            self.healthy = min(self.healthy + 1, 4 - self.undecided)
        elif event == "d":
            self.healthy = max(self.healthy - 1, 0)
        elif event == "a" and self.healthy:
            self.healthy, self.undecided = self.healthy - 1, self.undecided + 1
        elif event in "ws":
            self.fresh = event == "w"
        self.now += {".": 0.125, ",": 1.0, "_": HOLD_DOWN_S}.get(event, 0.0)
        before = self.route
        self.route = before.after(self.wish(), HOLD_DOWN_S, self.now)
        if self.route.announced != before.announced:
            self.changes.append((self.now, self.route.announced))
            return self.route.announced
        return False

    def wish(self) -> Wish:
        strength = Strength(self.healthy, self.undecided, 4)
        return strength.wish(2) if self.fresh else Wish.WITHDRAW


@settings(max_examples=10_000, deadline=None)
@given(st.text(EVENTS, min_size=1, max_size=80))
def test_no_string_of_events_announces_what_does_not_work_or_changes_a_route_too_often(
    events: str,
) -> None:
    vip = Vip()

    for event in events:
        begins = vip.take(event)

        assert not (vip.route.announced and not vip.fresh), "never with a stale table"
        assert not (vip.route.announced and vip.healthy + vip.undecided < 2), "never with too few"
        assert not (begins and vip.healthy < 2), "never on a guess"
        held = vip.route.held_s(HOLD_DOWN_S, vip.now)
        assert vip.wish() is not Wish.ANNOUNCE or vip.route.announced or held, "else at once"

    for (_, was), (_, becomes) in pairwise(vip.changes):
        assert was != becomes
    withdrawals = [at for at, announced in vip.changes if not announced]
    announcements = [at for at, announced in vip.changes if announced]
    assert all(later - earlier >= HOLD_DOWN_S for earlier, later in pairwise(withdrawals))
    assert all(later - earlier >= HOLD_DOWN_S for earlier, later in pairwise(announcements))


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
    assert worse(replace(plain, med=7, local_pref=20)) == Announcement(PREFIX, 107, ("1:1",), 2, 0)


def test_an_aggregate_covers_the_prefixes_in_it() -> None:
    aggregates = [ip_network(each) for each in ("20.20.20.0/24", "20.20.30.0/24", "::/0")]

    assert list(covering(aggregates, [PREFIX])) == [ip_network("20.20.20.0/24")]
    assert list(covering(aggregates, [])) == []
