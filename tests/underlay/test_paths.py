"""From routes and neighbours to the outer header and the next hop."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from headrace.model import IPAddress, NextHop, Path, Tunnel, Unresolved
from headrace.underlay.memory import KnownMac
from headrace.underlay.paths import (
    Outer,
    find_path,
    outer_header,
    wanted_fdb,
    wanted_neighbours,
)
from headrace.underlay.snapshot import (
    FdbKey,
    Link,
    Neighbour,
    NeighbourKey,
    NeighbourState,
    Route,
    Snapshot,
    TunnelEnds,
)
from tests.underlay.values import Table, answered, by_index, direct, ipip, key, leg, link, mac

# Node llb1 of the seed: 31.31.31.1 is ep1 behind a bridge, 56.56.56.1 its loopback address.
VETH = link(2, "ellb1ep1")
BRIDGE = link(3, "vlan31", "bridge")
PORT = link(4, "ellb1ep1b", master=3)
TUNNEL = ipip(5, "ipip11", "31.31.31.253", "31.31.31.1")
SEED_LINKS = by_index([VETH, TUNNEL])
ENDPOINT = ip_address("56.56.56.1")
REMOTE = ip_address("31.31.31.1")
LOCAL = ip_address("31.31.31.253")


def outer(
    endpoint: str, table: Table, *links: Link, tunnel: Tunnel | None = None, source: str = ""
) -> Outer | Unresolved:
    address: IPAddress | None = ip_address(source) if source else None
    return outer_header(ip_address(endpoint), tunnel, address, by_index(links), table)


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(Route((leg(5, "45.45.1.1", "45.45.1.254"),)), id="via the tunnel's far end"),
        pytest.param(direct(5, "45.45.1.254"), id="by the tunnel device"),
    ],
)
def test_a_tunnel_device_on_the_route_gives_the_outer_addresses(route: Route) -> None:
    table = Table({"56.56.56.1": route, "31.31.31.1": direct(2, "31.31.31.253")})

    header = outer("56.56.56.1", table, VETH, TUNNEL)

    assert header == Outer(REMOTE, LOCAL, (leg(2, None, "31.31.31.253"),))


def test_a_tunnel_of_the_document_wins_over_the_route() -> None:
    table = Table({"56.56.56.1": direct(5), "32.32.32.1": direct(2, "32.32.32.253")})
    tunnel = Tunnel(ENDPOINT, ip_address("32.32.32.99"), ip_address("32.32.32.1"))

    header = outer("56.56.56.1", table, VETH, TUNNEL, tunnel=tunnel)

    assert header == Outer(tunnel.remote, tunnel.local, (leg(2, None, "32.32.32.253"),))


def test_without_a_tunnel_the_endpoint_itself_is_the_outer_destination() -> None:
    table = Table({"56.56.56.1": Route((leg(2, "31.31.31.1", "31.31.31.253"),))})

    header = outer("56.56.56.1", table, VETH)

    assert header == Outer(ENDPOINT, None, (leg(2, "31.31.31.1", "31.31.31.253"),))


@pytest.mark.parametrize(
    ("stated", "configured", "expected"),
    [
        pytest.param("10.0.0.9", "10.0.0.8", "10.0.0.9", id="the route states its own"),
        pytest.param(None, "10.0.0.8", "10.0.0.8", id="the node's serves a route without"),
        pytest.param(None, "2001:db8::8", None, id="the node's of another family does not"),
        pytest.param(None, "", None, id="none: that of the leg taken"),
    ],
)
def test_the_outer_source_is_the_first_one_stated(
    stated: str | None, configured: str, expected: str | None
) -> None:
    source = ip_address(stated) if stated else None
    table = Table({"10.1.0.1": Route((leg(2, "10.0.0.1", "10.0.0.7"),), source)})

    header = outer("10.1.0.1", table, VETH, source=configured)

    assert isinstance(header, Outer)
    assert header.source == (ip_address(expected) if expected else None)


def test_a_tunnel_device_bound_to_a_device_takes_the_route_by_it() -> None:
    ends = TunnelEnds(LOCAL, REMOTE, parent=2)
    bound = link(5, "ipip11", "ipip", mac=None, tunnel=ends)
    table = Table({"56.56.56.1": direct(5), ("31.31.31.1", 2): direct(2)})

    header = outer("56.56.56.1", table, VETH, bound)

    assert header == Outer(REMOTE, LOCAL, (leg(2),))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        pytest.param(
            ipip(5, "tunl0", None, None), "tunl0 has no remote address; give it one", id="tunl0"
        ),
        pytest.param(
            link(5, "fou1", "ipip", tunnel=TunnelEnds(LOCAL, REMOTE, plain=False)),
            "fou1 adds more than an IP header",
            id="fou",
        ),
        pytest.param(
            link(5, "sit1", "sit", tunnel=TunnelEnds(LOCAL, REMOTE)),
            "sit1, a tunnel of kind sit; only ipip is supported",
            id="sit",
        ),
    ],
)
def test_a_tunnel_device_that_cannot_be_replaced_is_refused_by_name(
    device: Link, words: str
) -> None:
    header = outer("56.56.56.1", Table({"56.56.56.1": direct(5)}), VETH, device)

    assert isinstance(header, Unresolved)
    assert words in header.reason


def test_an_address_without_a_route_is_named_with_the_reason() -> None:
    table = Table({"56.56.56.1": direct(5)})

    assert outer("9.9.9.9", table) == Unresolved("9.9.9.9 has no route")
    assert outer("56.56.56.1", table, TUNNEL) == Unresolved("31.31.31.1 has no route")


def test_a_path_is_the_neighbours_mac_on_the_device_of_the_route() -> None:
    header = Outer(REMOTE, LOCAL, (leg(2),))
    macs = answered({key(2, "31.31.31.1"): mac(99)})

    path = find_path(header, Snapshot(SEED_LINKS, {}, {}), macs)

    assert path == Path(LOCAL, REMOTE, NextHop(2, mac(2), mac(99)), mtu_bytes=9000)


def test_a_gateway_may_be_of_the_other_family() -> None:
    header = Outer(REMOTE, None, (leg(2, "fe80::1", "31.31.31.253"),))
    macs = answered({key(2, "fe80::1"): mac(99)})

    path = find_path(header, Snapshot(SEED_LINKS, {}, {}), macs)

    assert path == Path(LOCAL, REMOTE, NextHop(2, mac(2), mac(99)), mtu_bytes=9000)


def test_the_mtu_of_the_route_is_taken_before_the_devices() -> None:
    header = Outer(REMOTE, LOCAL, (leg(2, mtu_bytes=1400),))
    macs = answered({key(2, "31.31.31.1"): mac(99)})

    path = find_path(header, Snapshot(SEED_LINKS, {}, {}), macs)

    assert isinstance(path, Path)
    assert path.mtu_bytes == 1400


def bridge_path(*others: Link, fdb: dict[FdbKey, int] | None = None) -> Path | Unresolved:
    """The path through the seed's bridge to a neighbour that answers."""
    header = Outer(REMOTE, LOCAL, (leg(3),))
    snapshot = Snapshot(by_index([BRIDGE, PORT, *others]), {}, fdb or {})
    return find_path(header, snapshot, answered({key(3, "31.31.31.1"): mac(99)}))


def test_a_bridge_is_left_by_the_port_that_it_learned_with_the_bridges_own_mac() -> None:
    other = link(6, "other", master=3, mtu_bytes=1500)

    path = bridge_path(other, fdb={FdbKey(3, mac(99)): 6, FdbKey(3, mac(98)): 4})

    assert path == Path(LOCAL, REMOTE, NextHop(6, mac(3), mac(99)), mtu_bytes=1500)


def test_a_bridge_with_one_port_in_use_needs_to_learn_nothing() -> None:
    unplugged = link(6, "unplugged", master=3, carrier=False)

    path = bridge_path(unplugged)

    assert path == Path(LOCAL, REMOTE, NextHop(4, mac(3), mac(99)), mtu_bytes=9000)


def test_a_bridge_that_has_not_learned_the_mac_says_so() -> None:
    path = bridge_path(link(6, "other", master=3))

    assert path == Unresolved("the bridge vlan31 has not learned the port of 02:00:00:00:00:63")


def test_a_bridge_port_that_xdp_cannot_send_by_is_refused_by_name() -> None:
    vxlan = link(6, "vx0", "vxlan", master=3)

    path = bridge_path(vxlan, fdb={FdbKey(3, mac(99)): 6})

    assert path == Unresolved(
        "the route leaves by vx0 (vxlan), which XDP cannot send by; "
        "route by a physical, veth, bond or bridge device"
    )


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(link(7, "eth0", None), id="physical"),
        pytest.param(link(7, "tap0", "tun"), id="tap"),
        pytest.param(link(7, "bond0", "bond"), id="bond master"),
    ],
)
def test_devices_that_xdp_sends_by_are_their_own_port(device: Link) -> None:
    header = Outer(REMOTE, LOCAL, (leg(7),))
    macs = answered({key(7, "31.31.31.1"): mac(99)})

    path = find_path(header, Snapshot(by_index([device]), {}, {}), macs)

    assert path == Path(LOCAL, REMOTE, NextHop(7, mac(7), mac(99)), mtu_bytes=9000)


ETH0 = link(1, "eth0", None)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        pytest.param(
            link(7, "eth0.42", "vlan", parent=1, vlan_id=42),
            "eth0.42 (vlan 42 on eth0), which XDP cannot send by; route by eth0",
            id="VLAN",
        ),
        pytest.param(
            link(7, "mv0", "macvlan", parent=1), "mv0 (macvlan on eth0)", id="macvlan names parent"
        ),
        pytest.param(link(7, "vrf0", "vrf"), "vrf0 (vrf)", id="VRF"),
        pytest.param(link(7, "tun0", "tun", mac=None), "tun0 (tun)", id="tun without MAC"),
        pytest.param(link(7, "dummy0", "dummy"), "dummy0 (dummy)", id="dummy"),
        pytest.param(
            link(7, "lo", None, mac=None, loopback=True), "lo (loopback)", id="loopback device"
        ),
        pytest.param(
            link(7, "ppp0", None, mac=None), "ppp0 (non-Ethernet)", id="physical, not Ethernet"
        ),
        pytest.param(
            ipip(7, "ipip9", "10.0.0.1", "10.0.0.2"), "ipip9 (ipip)", id="tunnel in a tunnel"
        ),
        pytest.param(
            link(7, "br0", "bridge", vlan_filtering=True),
            "the bridge br0 filters VLANs",
            id="VLAN-aware bridge",
        ),
        pytest.param(
            link(7, "eth1", None, master=8), "eth1 belongs to the bond bond0", id="leg of a bond"
        ),
        pytest.param(link(7, "eth1", None, up=False), "eth1 is down", id="down"),
        pytest.param(link(7, "eth1", None, carrier=False), "eth1 has no carrier", id="no carrier"),
    ],
)
def test_other_devices_are_refused_by_name_and_their_neighbours_not_asked(
    device: Link, reason: str
) -> None:
    links = by_index([ETH0, device, link(8, "bond0", "bond")])
    header = Outer(REMOTE, LOCAL, (leg(7),))

    path = find_path(header, Snapshot(links, {}, {}), answered({key(7, "31.31.31.1"): mac(99)}))

    assert isinstance(path, Unresolved)
    assert reason in path.reason
    assert wanted_neighbours(header, links) == []


def test_a_route_that_adds_its_own_header_is_refused() -> None:
    header = Outer(REMOTE, LOCAL, (leg(2, encapsulated=True),))

    path = find_path(header, Snapshot(SEED_LINKS, {}, {}), {})

    assert isinstance(path, Unresolved)
    assert "ellb1ep1 adds a header of its own" in path.reason


def test_a_route_by_a_device_that_has_gone_meanwhile_is_refused() -> None:
    path = find_path(Outer(REMOTE, LOCAL, (leg(77),)), Snapshot(SEED_LINKS, {}, {}), {})

    assert path == Unresolved("the route leaves by interface 77, which is gone")


def test_a_device_without_an_address_needs_a_source() -> None:
    macs = answered({key(2, "31.31.31.1"): mac(99)})

    path = find_path(Outer(REMOTE, None, (leg(2),)), Snapshot(SEED_LINKS, {}, {}), macs)

    assert isinstance(path, Unresolved)
    assert "set node.source" in path.reason


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
    header = Outer(REMOTE, LOCAL, (leg(2, address),))

    path = find_path(header, Snapshot(SEED_LINKS, neighbours, {}), {})

    assert path == Unresolved(reason)


FIRST, SECOND = key(2, "10.0.0.1"), key(4, "10.0.1.1")


@pytest.mark.parametrize(
    ("macs", "ifindex"),
    [
        pytest.param({FIRST: KnownMac(mac(91)), SECOND: KnownMac(mac(92))}, 2, id="both answer"),
        pytest.param({SECOND: KnownMac(mac(92))}, 4, id="the first never answered"),
        pytest.param(
            {FIRST: KnownMac(mac(91), lost_at=1.0), SECOND: KnownMac(mac(92))},
            4,
            id="the first is silent now",
        ),
        pytest.param(
            {FIRST: KnownMac(mac(91), lost_at=1.0), SECOND: KnownMac(mac(92), lost_at=0.5)},
            2,
            id="both are silent now",
        ),
    ],
)
def test_a_multipath_route_takes_the_first_leg_that_answers(
    macs: dict[NeighbourKey, KnownMac], ifindex: int
) -> None:
    legs = (leg(2, "10.0.0.1", "10.0.0.9"), leg(4, "10.0.1.1", "10.0.1.9"))
    links = by_index([VETH, replace(PORT, master=None)])

    path = find_path(Outer(REMOTE, None, legs), Snapshot(links, {}, {}), macs)

    assert isinstance(path, Path)
    assert path.next_hop.ifindex == ifindex
    assert path.outer_source == legs[0 if ifindex == 2 else 1].source


def test_a_multipath_route_without_an_answer_names_the_first_legs_trouble() -> None:
    header = Outer(REMOTE, None, (leg(2, "10.0.0.1", "10.0.0.9"), leg(77)))

    path = find_path(header, Snapshot(SEED_LINKS, {}, {}), {})

    assert path == Unresolved("10.0.0.1 on ellb1ep1 has not answered ARP yet")
    assert wanted_neighbours(header, SEED_LINKS) == [key(2, "10.0.0.1")]


def test_bridges_are_asked_for_the_macs_behind_them_only() -> None:
    wanted = [key(2, "10.0.0.1"), key(3, "31.31.31.1"), key(3, "31.31.31.2")]
    macs = answered({wanted[0]: mac(91), wanted[1]: mac(99)})

    assert wanted_fdb(wanted, by_index([VETH, BRIDGE]), macs) == {FdbKey(3, mac(99))}
