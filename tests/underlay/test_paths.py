"""From an outer header and the neighbours' MAC addresses to the path."""

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from headrace.model import Encapsulation, NextHop, Path, Target, Unresolved
from headrace.underlay.memory import KnownMac
from headrace.underlay.outer import Outer
from headrace.underlay.paths import find_path, wanted_fdb, wanted_neighbours
from headrace.underlay.snapshot import (
    FdbKey,
    Leg,
    Neighbour,
    NeighbourKey,
    NeighbourState,
    Snapshot,
)
from tests.underlay.values import answered, by_index, key, leg, link, mac, vlan

# Node llb1 of the seed: 31.31.31.1 is ep1 behind a bridge, 56.56.56.1 its loopback address.
VETH = link(2, "ellb1ep1")
BRIDGE = link(3, "vlan31", "bridge")
PORT = link(4, "ellb1ep1b", master=3)
SEED_LINKS = by_index([VETH, BRIDGE, PORT])
TARGET = Target(ip_address("56.56.56.1"))
REMOTE = ip_address("31.31.31.1")
LOCAL = ip_address("31.31.31.253")
SEED = Snapshot(SEED_LINKS, {}, {})


def outer(*legs: Leg) -> Outer:
    """The header of the seed by some legs."""
    return Outer(TARGET, REMOTE, LOCAL, legs)


def test_a_path_is_the_neighbours_mac_on_the_device_of_the_route() -> None:
    path = find_path(outer(leg(2)), SEED, answered({key(2, "31.31.31.1"): mac(99)}))

    assert path == Path(LOCAL, REMOTE, NextHop(2, mac(2), mac(99)), mtu_bytes=9000)


def test_a_gateway_may_be_of_the_other_family() -> None:
    header = Outer(TARGET, REMOTE, None, (leg(2, "fe80::1", "31.31.31.253"),))

    path = find_path(header, SEED, answered({key(2, "fe80::1"): mac(99)}))

    assert path == Path(LOCAL, REMOTE, NextHop(2, mac(2), mac(99)), mtu_bytes=9000)


@pytest.mark.parametrize(("route_mtu", "expected"), [(1400, 1400), (9500, 9000), (None, 9000)])
def test_the_mtu_is_the_less_of_the_routes_and_the_devices(
    route_mtu: int | None, expected: int
) -> None:
    header = outer(leg(2, mtu_bytes=route_mtu))

    path = find_path(header, SEED, answered({key(2, "31.31.31.1"): mac(99)}))

    assert isinstance(path, Path)
    assert path.mtu_bytes == expected


def test_a_bridge_is_left_by_its_port_with_the_bridges_own_mac() -> None:
    path = find_path(outer(leg(3)), SEED, answered({key(3, "31.31.31.1"): mac(99)}))

    assert path == Path(LOCAL, REMOTE, NextHop(4, mac(3), mac(99)), mtu_bytes=9000)


def test_a_vlan_is_left_by_its_parent_with_the_vlans_own_mac_and_tag() -> None:
    links = by_index([link(1, "eth0", None, mtu_bytes=1500), vlan(7, "eth0.42", 42, parent=1)])
    macs = answered({key(7, "31.31.31.1"): mac(99)})

    path = find_path(outer(leg(7)), Snapshot(links, {}, {}), macs)

    hop = NextHop(1, mac(7), mac(99), tag=42, transmit=True)
    assert path == Path(LOCAL, REMOTE, hop, mtu_bytes=1500)


def test_a_hashed_source_and_the_encapsulation_are_told() -> None:
    target = replace(TARGET, encapsulation=Encapsulation.GUE)
    base = ip_address("172.16.0.0")
    header = Outer(target, TARGET.endpoint, base, (leg(2, "31.31.31.1"),), source_hashed=True)

    path = find_path(header, SEED, answered({key(2, "31.31.31.1"): mac(99)}))

    assert path == Path(
        base,
        TARGET.endpoint,
        NextHop(2, mac(2), mac(99)),
        mtu_bytes=9000,
        encapsulation=Encapsulation.GUE,
        source_hashed=True,
    )


def test_l2_has_no_outer_addresses_and_needs_none() -> None:
    target = Target(REMOTE, Encapsulation.L2)
    header = Outer(target, REMOTE, None, (leg(2, mtu_bytes=1400),))

    path = find_path(header, SEED, answered({key(2, "31.31.31.1"): mac(99)}))

    hop = NextHop(2, mac(2), mac(99))
    assert path == Path(None, None, hop, mtu_bytes=1400, encapsulation=Encapsulation.L2)


def test_a_device_that_cannot_be_used_is_named_and_its_neighbours_not_asked() -> None:
    links = by_index([link(1, "eth0", None), link(7, "mv0", "macvlan", parent=1)])

    path = find_path(outer(leg(7)), Snapshot(links, {}, {}), {})

    assert isinstance(path, Unresolved)
    assert "mv0 (macvlan on eth0)" in path.reason
    assert wanted_neighbours(outer(leg(7)), links) == []


def test_a_route_that_adds_its_own_header_is_refused() -> None:
    path = find_path(outer(leg(2, encapsulated=True)), SEED, {})

    assert isinstance(path, Unresolved)
    assert "ellb1ep1 adds a header of its own" in path.reason


def test_a_route_by_a_device_that_has_gone_meanwhile_is_refused() -> None:
    path = find_path(outer(leg(77)), SEED, {})

    assert path == Unresolved("the route leaves by interface 77, which is gone")


@pytest.mark.parametrize(
    ("destination", "hop", "remedy"),
    [
        pytest.param("31.31.31.1", leg(2), "set node.source", id="no address"),
        pytest.param("fd00::9", leg(2), "set node.source6", id="no IPv6 address"),
        pytest.param(
            "fd00::9",
            leg(2, "fe80::1", "fe80::2"),
            "set node.source6",
            id="a link-local one, which the router would drop",
        ),
        pytest.param(
            "fd00::9",
            leg(2, "10.0.0.1", "10.0.0.9"),
            "set node.source6",
            id="one of the other family",
        ),
    ],
)
def test_a_device_without_an_address_needs_a_source(
    destination: str, hop: Leg, remedy: str
) -> None:
    header = Outer(TARGET, ip_address(destination), None, (hop,))

    path = find_path(header, SEED, answered({header.neighbour(hop): mac(99)}))

    assert path == Unresolved(f"ellb1ep1 has no address to send to {destination} from; {remedy}")


@pytest.mark.parametrize(
    ("destination", "hop"),
    [
        pytest.param("fd00::9", leg(2, None, "fe80::2"), id="to a neighbour"),
        pytest.param("31.31.31.1", leg(2, "169.254.0.1", "169.254.0.2"), id="of IPv4"),
    ],
)
def test_a_link_local_source_serves_where_no_ipv6_router_drops_it(
    destination: str, hop: Leg
) -> None:
    header = Outer(TARGET, ip_address(destination), None, (hop,))

    path = find_path(header, SEED, answered({header.neighbour(hop): mac(99)}))

    assert isinstance(path, Path)
    assert path.outer_source == hop.source


@pytest.mark.parametrize(
    ("state", "address", "reason"),
    [
        (None, "31.31.31.1", "31.31.31.1 on ellb1ep1 has not answered ARP yet"),
        (
            NeighbourState.INCOMPLETE,
            "31.31.31.1",
            "31.31.31.1 on ellb1ep1 has not answered ARP yet",
        ),
        (NeighbourState.FAILED, "31.31.31.1", "31.31.31.1 on ellb1ep1 does not answer ARP"),
        (
            NeighbourState.FAILED,
            "fe80::1",
            "fe80::1 on ellb1ep1 does not answer neighbour discovery",
        ),
    ],
)
def test_a_silent_neighbour_is_named(
    state: NeighbourState | None, address: str, reason: str
) -> None:
    silent = key(2, address)
    neighbours = {} if state is None else {silent: Neighbour(silent, state, None)}

    path = find_path(outer(leg(2, address)), Snapshot(SEED_LINKS, neighbours, {}), {})

    assert path == Unresolved(reason)


# Three routers on three devices, and a hundred times as many endpoints behind them.
LEGS = (leg(2, "10.0.0.1", "10.0.0.9"), leg(4, "10.0.1.1", "10.0.1.9"), leg(6, "10.0.2.1"))
ROUTERS = Snapshot(by_index([link(index, f"p{index}") for index in (2, 4, 6)]), {}, {})
FIRST, SECOND, THIRD = (outer(*LEGS).neighbour(one) for one in LEGS)
MACS = {FIRST: KnownMac(mac(91)), SECOND: KnownMac(mac(92)), THIRD: KnownMac(mac(93))}
SHARES = 300


def spread(
    *legs: Leg, macs: dict[NeighbourKey, KnownMac], address: str = "56.56.0.0"
) -> dict[int, int]:
    """The interface that each endpoint's packets leave by, by the endpoint's number."""
    taken = {}
    for number in range(SHARES):
        target = Target(ip_address(address) + number)
        path = find_path(Outer(target, target.endpoint, LOCAL, legs), ROUTERS, macs)
        assert isinstance(path, Path)
        taken[number] = path.next_hop.ifindex
    return taken


@pytest.mark.parametrize("address", ["56.56.0.0", "2001:db8::"])
def test_endpoints_spread_over_the_legs_of_a_multipath_route(address: str) -> None:
    counts = Counter(spread(*LEGS, macs=MACS, address=address).values())

    assert sorted(counts) == [2, 4, 6]
    assert all(70 <= count <= 130 for count in counts.values())


@pytest.mark.parametrize(
    "legs",
    [
        pytest.param((leg(2, "10.0.0.1"), leg(2, "10.0.0.2")), id="two routers on a device"),
        pytest.param((leg(2, "fe80::1"), leg(4, "fe80::1")), id="one address on two devices"),
    ],
)
def test_legs_are_told_apart_by_device_and_router(legs: tuple[Leg, ...]) -> None:
    macs = {outer(*legs).neighbour(one): KnownMac(mac(at)) for at, one in enumerate(legs)}
    counts: Counter[bytes] = Counter()

    for number in range(SHARES):
        endpoint = ip_address("56.56.0.0") + number
        path = find_path(Outer(Target(endpoint), endpoint, LOCAL, legs), ROUTERS, macs)
        assert isinstance(path, Path)
        counts[path.next_hop.destination_mac] += 1

    assert all(100 <= counts[mac(at)] <= 200 for at in range(2))


def test_endpoints_spread_by_the_weights_of_the_legs() -> None:
    heavy = replace(LEGS[0], weight=4)

    counts = Counter(spread(heavy, *LEGS[1:], macs=MACS).values())

    assert 170 <= counts[2] <= 230


def test_a_router_that_falls_silent_moves_its_own_endpoints_only() -> None:
    lost = {**MACS, SECOND: KnownMac(mac(92), lost_at=1.0)}

    before, after = spread(*LEGS, macs=MACS), spread(*LEGS, macs=lost)

    moved = {number for number in before if before[number] != after[number]}
    assert moved == {number for number, ifindex in before.items() if ifindex == 4}
    assert {after[number] for number in moved} == {2, 6}


def test_the_order_of_the_legs_moves_nobody() -> None:
    assert spread(*LEGS, macs=MACS) == spread(*reversed(LEGS), macs=MACS)


def test_each_encapsulation_of_an_endpoint_takes_the_same_leg() -> None:
    hops = set()
    for encapsulation in Encapsulation:
        header = replace(outer(*LEGS), target=replace(TARGET, encapsulation=encapsulation))
        path = find_path(header, ROUTERS, MACS)
        assert isinstance(path, Path)
        hops.add(path.next_hop)

    assert len(hops) == 1


@pytest.mark.parametrize(
    ("macs", "ifindexes"),
    [
        pytest.param({SECOND: KnownMac(mac(92))}, {4}, id="one answers"),
        pytest.param(
            {FIRST: KnownMac(mac(91), lost_at=1.0), SECOND: KnownMac(mac(92))},
            {4},
            id="one answers, another did lately",
        ),
        pytest.param(
            {FIRST: KnownMac(mac(91), lost_at=1.0), SECOND: KnownMac(mac(92), lost_at=0.5)},
            {2, 4},
            id="both did lately",
        ),
    ],
)
def test_a_multipath_route_takes_legs_that_answer_before_those_that_did_lately(
    macs: dict[NeighbourKey, KnownMac], ifindexes: set[int]
) -> None:
    assert set(spread(*LEGS, macs=macs).values()) == ifindexes


def test_each_leg_has_its_own_source() -> None:
    header = Outer(TARGET, REMOTE, None, LEGS)

    paths = [find_path(header, ROUTERS, {one: MACS[one]}) for one in (FIRST, SECOND)]

    sources = [path.outer_source for path in paths if isinstance(path, Path)]
    assert sources == [ip_address("10.0.0.9"), ip_address("10.0.1.9")]


def test_a_multipath_route_without_an_answer_names_the_first_legs_trouble() -> None:
    header = outer(leg(2, "10.0.0.1", "10.0.0.9"), leg(77))

    path = find_path(header, SEED, {})

    assert path == Unresolved("10.0.0.1 on ellb1ep1 has not answered ARP yet")
    assert wanted_neighbours(header, SEED_LINKS) == [key(2, "10.0.0.1")]


def test_bridges_are_asked_for_the_macs_behind_them_only() -> None:
    links = by_index([VETH, BRIDGE, vlan(7, "vlan31.5", 5, parent=3)])
    wanted = [key(2, "10.0.0.1"), key(3, "31.31.31.1"), key(3, "31.31.31.2"), key(7, "10.0.5.1")]
    macs = answered({wanted[0]: mac(91), wanted[1]: mac(99), wanted[3]: mac(98)})

    assert wanted_fdb(wanted, links, macs) == {FdbKey(3, mac(99)), FdbKey(3, mac(98))}
