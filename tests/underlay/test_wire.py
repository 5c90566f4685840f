"""Bytes of rtnetlink to values and back."""

from ipaddress import ip_address
from socket import AF_BRIDGE
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg, rtnl
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from headrace.underlay.changes import (
    FdbEvent,
    LinkEvent,
    NeighbourEvent,
    RouteEvent,
    RulesEvent,
)
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.snapshot import (
    FdbEntry,
    FdbKey,
    Leg,
    Link,
    Neighbour,
    NeighbourKey,
    TunnelEnds,
)
from headrace.underlay.wire import (
    RTM_NEWNEXTHOP,
    Message,
    RouteAnswer,
    RouteType,
    decode_events,
    decode_link,
    decode_neighbour,
    decode_route,
    encode_link_dump,
    encode_managed_neighbour,
    encode_neighbour_dump,
    encode_neighbour_query,
    encode_request,
    encode_route_query,
    split_messages,
)
from tests.underlay.network import Namespace, connect, namespaces
from tests.underlay.values import key, mac

HEADER_BYTES = 16
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as the kernel writes it."""
    return pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def body_of(message: nlmsg) -> bytes:
    """What pyroute2 makes of a message, without the header."""
    message.encode()
    return bytes(message.data[HEADER_BYTES:])


def parsed_by_pyroute2(kind: int, body: bytes) -> nlmsg:
    """What pyroute2 reads from the same bytes."""
    (message,) = MarshalRtnl().parse(encode_request(kind, 0, 0, body))
    return message


def ipip_link(*data: bytes) -> bytes:
    """The link message of an ipip device as Linux 6.1 sends it, with these IFLA_IPTUN attributes.

    Written by hand: the kernel that runs the tests may have no ipip devices.
    """
    info = attribute(1, b"ipip\0") + attribute(2, b"".join(data))
    local = ip_address("31.31.31.253").packed
    return (
        pack("=BxHiII", 0, 768, 7, 0x100D1, 0)  # ARPHRD_TUNNEL; up, carrier, point to point
        + attribute(3, b"ipip11\0")
        + attribute(4, pack("=I", 8980))
        + attribute(1, local)  # IFLA_ADDRESS is the local address, not a MAC
        + attribute(18, info)
    )


IPTUN_LINK = attribute(1, pack("=I", 0))
IPTUN_LOCAL = attribute(2, ip_address("31.31.31.253").packed)
IPTUN_REMOTE = attribute(3, ip_address("31.31.31.1").packed)
IPTUN_UNSPECIFIED = attribute(2, bytes(4)) + attribute(3, bytes(4))
IPTUN_DEVICE_4 = attribute(1, pack("=I", 4))
IPTUN_ENCAP_NONE = attribute(15, pack("=H", 0))
IPTUN_ENCAP_FOU = attribute(15, pack("=H", 1))
IPTUN_EXTERNAL = attribute(19, b"")
IPTUN_LOCAL_6 = attribute(2, ip_address("fd00::1").packed)
IPTUN_REMOTE_6 = attribute(3, ip_address("fd00::2").packed)
IPTUN_UNSPECIFIED_6 = attribute(2, bytes(16)) + attribute(3, bytes(16))
IPTUN_ANY_INNER = attribute(9, bytes([0]))


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        pytest.param(
            [IPTUN_LINK, IPTUN_LOCAL, IPTUN_REMOTE, IPTUN_ENCAP_NONE],
            TunnelEnds(ip_address("31.31.31.253"), ip_address("31.31.31.1")),
            id="as in the seed",
        ),
        pytest.param([IPTUN_LINK, IPTUN_UNSPECIFIED], TunnelEnds(None, None), id="tunl0"),
        pytest.param(
            [IPTUN_DEVICE_4, IPTUN_REMOTE],
            TunnelEnds(None, ip_address("31.31.31.1"), parent=4),
            id="bound to a device, local any",
        ),
        pytest.param(
            [IPTUN_LOCAL, IPTUN_REMOTE, IPTUN_ENCAP_FOU],
            TunnelEnds(ip_address("31.31.31.253"), ip_address("31.31.31.1"), plain=False),
            id="in UDP",
        ),
        pytest.param([IPTUN_EXTERNAL], TunnelEnds(None, None, plain=False), id="external"),
    ],
)
def test_an_ipip_device_is_read_with_its_ends(data: list[bytes], ends: TunnelEnds) -> None:
    link = decode_link(ipip_link(*data))

    assert link == Link(7, "ipip11", "ipip", None, 8980, tunnel=ends)


@pytest.mark.parametrize(
    ("kind", "hardware", "data", "ends"),
    [
        pytest.param(
            b"sit",
            776,
            [IPTUN_LINK, IPTUN_LOCAL, IPTUN_REMOTE, IPTUN_ENCAP_NONE],
            TunnelEnds(ip_address("31.31.31.253"), ip_address("31.31.31.1")),
            id="IPv6 in IPv4",
        ),
        pytest.param(
            b"ip6tnl",
            769,
            [IPTUN_LINK, IPTUN_LOCAL_6, IPTUN_REMOTE_6, IPTUN_ANY_INNER, IPTUN_ENCAP_NONE],
            TunnelEnds(ip_address("fd00::1"), ip_address("fd00::2")),
            id="any in IPv6",
        ),
        pytest.param(
            b"ip6tnl",
            769,
            [IPTUN_DEVICE_4, IPTUN_UNSPECIFIED_6],
            TunnelEnds(None, None, parent=4),
            id="ip6tnl0",
        ),
        pytest.param(
            b"ip6tnl",
            769,
            [IPTUN_LOCAL_6, IPTUN_REMOTE_6, IPTUN_ENCAP_FOU],
            TunnelEnds(ip_address("fd00::1"), ip_address("fd00::2"), plain=False),
            id="any in UDP in IPv6",
        ),
    ],
)
def test_the_other_tunnel_devices_are_read_alike(
    kind: bytes, hardware: int, data: list[bytes], ends: TunnelEnds
) -> None:
    link = decode_link(tunnel_link(kind, hardware, *data))

    assert link == Link(7, "tun7", kind.decode(), None, 8960, tunnel=ends)


def tunnel_link(kind: bytes, hardware: int, *data: bytes) -> bytes:
    """The link message of a tunnel device, with these IFLA_IPTUN attributes."""
    info = attribute(1, kind + b"\0") + attribute(2, b"".join(data))
    return (
        pack("=BxHiII", 0, hardware, 7, 0x100D1, 0)
        + attribute(3, b"tun7\0")
        + attribute(4, pack("=I", 8960))
        + attribute(18, info)
    )


def ethernet_link(kind: bytes, data: bytes, *more: bytes) -> bytes:
    """The link message of an Ethernet device of some kind."""
    info = attribute(1, kind + b"\0") + attribute(2, data)
    return (
        pack("=BxHiII", 0, 1, 7, 0x11043, 0)  # ARPHRD_ETHER; up, carrier
        + attribute(3, b"dev0\0")
        + attribute(4, pack("=I", 1500))
        + attribute(1, mac(7))
        + b"".join(more)
        + attribute(18, info)
    )


def test_a_vlan_device_is_read_with_its_parent_and_tag() -> None:
    parent = attribute(5, pack("=I", 2))
    data = attribute(1, pack("=H", 42)) + attribute(5, pack(">H", 0x8100))

    link = decode_link(ethernet_link(b"vlan", data, parent))

    expected = Link(7, "dev0", "vlan", mac(7), 1500, parent=2, vlan_id=42, vlan_protocol=0x8100)
    assert link == expected


def test_a_vlan_device_whose_parent_is_in_another_namespace_has_none_here() -> None:
    parent = attribute(5, pack("=I", 2)) + attribute(37, pack("=i", 0))

    link = decode_link(ethernet_link(b"vlan", attribute(1, pack("=H", 42)), parent))

    assert link.parent is None


@pytest.mark.parametrize("filtering", [False, True])
def test_a_bridge_is_read_with_whether_it_filters_vlans(*, filtering: bool) -> None:
    link = decode_link(ethernet_link(b"bridge", attribute(7, bytes([filtering]))))

    assert link == Link(7, "dev0", "bridge", mac(7), 1500, vlan_filtering=filtering)


@given(address=ADDRESSES, ifindex=st.integers(1, 2**31 - 1))
def test_a_neighbour_query_names_the_neighbour_as_pyroute2_reads_it(
    address: object, ifindex: int
) -> None:
    wanted = key(ifindex, str(address))

    message = parsed_by_pyroute2(rtnl.RTM_GETNEIGH, encode_neighbour_query(wanted))

    assert message["ifindex"] == ifindex
    assert ip_address(message.get_attr("NDA_DST")) == wanted.address
    assert decode_neighbour(encode_neighbour_query(wanted)) == Neighbour(wanted, 0, None)


def test_a_managed_neighbour_is_requested_without_a_state() -> None:
    message = parsed_by_pyroute2(rtnl.RTM_NEWNEIGH, encode_managed_neighbour(key(3, "31.31.31.1")))

    assert (message["state"], message.get_attr("NDA_FLAGS_EXT")) == (0, 1)
    assert (message["ifindex"], message.get_attr("NDA_DST")) == (3, "31.31.31.1")


@given(address=ADDRESSES, oif=st.none() | st.integers(1, 2**31 - 1))
def test_a_route_query_asks_for_one_host_as_pyroute2_reads_it(
    address: object, oif: int | None
) -> None:
    destination = ip_address(str(address))

    body = encode_route_query(destination, oif, matched_entry=False)

    message = parsed_by_pyroute2(rtnl.RTM_GETROUTE, body)
    assert ip_address(message.get_attr("RTA_DST")) == destination
    assert message["dst_len"] == destination.max_prefixlen
    assert message.get_attr("RTA_OIF") == oif


def route_body(*attributes: tuple[str, object], **fields: int) -> bytes:
    """A route message as pyroute2 writes it."""
    message = rtmsg()
    message["family"] = 2
    message["type"] = RouteType.UNICAST
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [list(pair) for pair in attributes]
    return body_of(message)


def test_a_route_is_read_with_gateway_source_and_mtu() -> None:
    body = route_body(
        ("RTA_OIF", 4),
        ("RTA_GATEWAY", "10.0.0.1"),
        ("RTA_PREFSRC", "10.0.0.9"),
        ("RTA_METRICS", {"attrs": [["RTAX_MTU", 1400]]}),
    )

    source = ip_address("10.0.0.9")
    leg = Leg(4, ip_address("10.0.0.1"), source, 1400)
    assert decode_route(body) == RouteAnswer(RouteType.UNICAST, source, (leg,))


def test_a_multipath_route_is_read_with_its_live_legs() -> None:
    dead = {"oif": 6, "flags": 1, "hops": 0, "attrs": [["RTA_GATEWAY", "10.0.2.1"]]}
    legs = [
        {"oif": 4, "flags": 0, "hops": 0, "attrs": [["RTA_GATEWAY", "10.0.0.1"]]},
        dead,
        {"oif": 5, "flags": 0, "hops": 9, "attrs": []},
    ]

    answer = decode_route(route_body(("RTA_MULTIPATH", legs)))

    assert answer.legs == (Leg(4, ip_address("10.0.0.1")), Leg(5, weight=10))


def test_a_gateway_of_the_other_family_is_read() -> None:
    via = pack("=H", 10) + ip_address("fe80::1").packed
    body = route_body(("RTA_OIF", 4)) + attribute(18, via)

    assert decode_route(body).legs == (Leg(4, ip_address("fe80::1")),)


def test_a_route_with_a_header_of_its_own_is_marked() -> None:
    body = route_body(("RTA_OIF", 4)) + attribute(21, pack("=H", 1))

    assert decode_route(body).legs == (Leg(4, encapsulated=True),)


def bridge_entry(**settings: object) -> bytes:
    """An entry of a bridge's forwarding database."""
    message = ndmsg()
    message["family"] = AF_BRIDGE
    message["ifindex"] = 4
    message["state"] = settings.get("state", 2)
    attributes: list[list[object]] = [["NDA_LLADDR", "02:00:00:00:00:63"]]
    if "master" in settings:
        attributes.append(["NDA_MASTER", settings["master"]])
    message["attrs"] = attributes
    return body_of(message)


def test_a_bridge_entry_is_the_port_behind_a_mac() -> None:
    entry = decode_neighbour(bridge_entry(master=3))

    assert entry == FdbEntry(FdbKey(3, mac(99)), 4)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bridge_entry(), id="a device's own list"),
        pytest.param(bridge_entry(master=3, state=0x80), id="the bridge's own address"),
    ],
)
def test_other_bridge_entries_are_passed_over(body: bytes) -> None:
    assert decode_neighbour(body) is None


def neighbour_body(state: int) -> bytes:
    """A neighbour with a MAC address in some state."""
    query = encode_neighbour_query(key(4, "10.0.0.1"))
    return query[:8] + pack("=H", state) + query[10:] + attribute(2, mac(99))


def test_events_say_what_is_true_after_them() -> None:
    datagram = b"".join(
        [
            encode_request(rtnl.RTM_NEWLINK, 0, 0, ipip_link(IPTUN_LINK)),
            encode_request(rtnl.RTM_DELLINK, 0, 0, ipip_link(IPTUN_LINK)),
            encode_request(rtnl.RTM_NEWNEIGH, 0, 0, neighbour_body(2)),
            encode_request(rtnl.RTM_NEWNEIGH, 0, 0, neighbour_body(0x20)),
            encode_request(rtnl.RTM_DELNEIGH, 0, 0, neighbour_body(2)),
            encode_request(rtnl.RTM_NEWNEIGH, 0, 0, bridge_entry(master=3)),
            encode_request(rtnl.RTM_DELNEIGH, 0, 0, bridge_entry(master=3)),
            encode_request(rtnl.RTM_NEWROUTE, 0, 0, route_body(("RTA_DST", "10.0.0.0"), dst_len=8)),
            encode_request(rtnl.RTM_DELROUTE, 0, 0, route_body(("RTA_OIF", 4))),
            encode_request(rtnl.RTM_NEWADDR, 0, 0, bytes(8)),
            encode_request(RTM_NEWNEXTHOP, 0, 0, bytes(8)),
            encode_request(rtnl.RTM_NEWQDISC, 0, 0, bytes(20)),
        ]
    )

    events = list(decode_events(datagram))

    neighbour, behind = key(4, "10.0.0.1"), FdbKey(3, mac(99))
    assert events == [
        LinkEvent(7, decode_link(ipip_link(IPTUN_LINK))),
        LinkEvent(7, None),
        NeighbourEvent(neighbour, mac(99)),
        NeighbourEvent(neighbour, None),
        NeighbourEvent(neighbour, None),
        FdbEvent(behind, 4),
        FdbEvent(behind, None),
        RouteEvent(ip_address("10.0.0.0"), 8),
        RouteEvent(ip_address("0.0.0.0"), 0),
        RulesEvent(),
        RulesEvent(),
    ]


def test_a_bridges_word_on_its_port_is_no_event_of_the_link() -> None:
    body = pack("=BxHiII", AF_BRIDGE, 1, 4, 0, 0) + attribute(3, b"eth0\0")

    assert list(decode_events(encode_request(rtnl.RTM_DELLINK, 0, 0, body))) == []


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_a_datagram_cut_short_ends_without_a_message_too_many(size: int) -> None:
    whole = encode_request(rtnl.RTM_NEWADDR, 0, 5, b"12345678") * 2

    messages = list(split_messages(whole[:size]))

    assert len(messages) == sum(start + HEADER_BYTES <= size for start in (0, 24))


@pytest.mark.netns
def test_links_neighbours_and_routes_are_read_as_pyroute2_reads_them() -> None:
    with namespaces("lb", "peer") as (lb, peer):
        build_tables(lb, peer)
        asked = lb.inside(RequestSocket)
        try:
            links = asked.dump("links", rtnl.RTM_GETLINK, encode_link_dump())
            neighbours = asked.dump("neigh", rtnl.RTM_GETNEIGH, encode_neighbour_dump(0))
            routes = [route_of(asked, text) for text in ("10.0.0.2", "99.0.0.1", "fd00::2")]
        finally:
            asked.close()

    assert len(links) == 4
    assert len(neighbours) >= 2
    for message in links:
        assert_same_link(message)
    for message in neighbours:
        assert_same_neighbour(message)
    for message in routes:
        assert_same_route(message)


def build_tables(lb: Namespace, peer: Namespace) -> None:
    """Links, static neighbours and routes of both families."""
    connect(lb, "p0", peer, "p0")
    lb.ip("link add br0 type bridge")
    lb.ip("link add vx0 type vxlan id 7 dstport 4789 local 10.0.0.1")
    lb.ip("addr add 10.0.0.1/24 dev p0")
    lb.ip("-6 addr add fd00::1/64 dev p0 nodad")
    lb.ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:63 dev p0")
    lb.ip("neigh add fd00::2 lladdr 02:00:00:00:00:63 dev p0")
    lb.ip("route add 99.0.0.0/8 via 10.0.0.2 mtu 1400 src 10.0.0.1")


def route_of(asked: RequestSocket, destination: str) -> Message:
    """The kernel's message on one route."""
    body = encode_route_query(ip_address(destination), None, matched_entry=False)
    message = asked.ask("route", rtnl.RTM_GETROUTE, body)
    assert message is not None
    return message


def assert_same_link(message: Message) -> None:
    theirs = parsed_by_pyroute2(message.type, message.body)
    ours = decode_link(message.body)
    info = theirs.get_attr("IFLA_LINKINFO")
    assert ours.name == theirs.get_attr("IFLA_IFNAME")
    assert ours.kind == (info and info.get_attr("IFLA_INFO_KIND"))
    assert ours.up == bool(theirs["flags"] & 1)
    assert ours.loopback == (ours.name == "lo")
    if not ours.loopback:
        assert ours.mac is not None
        assert ours.mac.hex(":") == theirs.get_attr("IFLA_ADDRESS")


def assert_same_neighbour(message: Message) -> None:
    theirs = parsed_by_pyroute2(message.type, message.body)
    ours = decode_neighbour(message.body)
    assert isinstance(ours, Neighbour)
    address = ip_address(theirs.get_attr("NDA_DST"))
    assert ours.key == NeighbourKey(theirs["ifindex"], address)
    assert ours.state == theirs["state"]
    assert (ours.mac.hex(":") if ours.mac else None) == theirs.get_attr("NDA_LLADDR")


def assert_same_route(message: Message) -> None:
    theirs = parsed_by_pyroute2(message.type, message.body)
    (leg,) = decode_route(message.body).legs
    assert leg.ifindex == theirs.get_attr("RTA_OIF")
    assert (str(leg.gateway) if leg.gateway else None) == theirs.get_attr("RTA_GATEWAY")
    assert (str(leg.source) if leg.source else None) == theirs.get_attr("RTA_PREFSRC")
    metrics = theirs.get_attr("RTA_METRICS")
    assert leg.mtu_bytes == (metrics and metrics.get_attr("RTAX_MTU"))
