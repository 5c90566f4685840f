"""From the device of a route to the port that XDP can send by."""

from dataclasses import replace
from typing import Any

import pytest

from headrace.model import Unresolved
from headrace.underlay.snapshot import FdbKey, Link, Snapshot
from headrace.underlay.stack import Egress, bridge_below, device_problem, find_egress
from tests.underlay.values import by_index, link, mac, tunnel_device, vlan

ETH0 = link(1, "eth0", None)
ETH1 = link(2, "eth1", None)
TAGGED = vlan(3, "eth0.42", 42, parent=1)
BRIDGE = link(4, "br0", "bridge")
NEIGHBOUR = mac(99)


def egress(*links: Link, fdb: dict[FdbKey, int] | None = None) -> Egress | Unresolved:
    """Where a frame for the neighbour leaves, sent by the first of these devices."""
    snapshot = Snapshot(by_index(links), {}, fdb or {})
    problem = device_problem(links[0], snapshot.links)
    return Unresolved(problem) if problem else find_egress(links[0], NEIGHBOUR, snapshot)


@pytest.mark.parametrize(
    ("device", "transmits"),
    [
        pytest.param(ETH0, True, id="physical"),
        pytest.param(link(7, "veth0", "veth"), False, id="veth"),
        pytest.param(link(7, "tap0", "tun"), False, id="tap"),
        pytest.param(link(7, "bond0", "bond"), False, id="bond master"),
    ],
)
def test_devices_that_xdp_sends_by_are_their_own_port(device: Link, *, transmits: bool) -> None:
    assert egress(device) == Egress(device, 0, 9000)
    assert device.transmits == transmits


@pytest.mark.parametrize(
    "parent",
    [
        pytest.param(ETH0, id="on a physical device"),
        pytest.param(link(1, "bond0", "bond"), id="on a bond"),
    ],
)
def test_a_vlan_leaves_by_its_parent_with_the_tag(parent: Link) -> None:
    assert egress(TAGGED, parent) == Egress(parent, 42, 9000)


def test_a_bridge_leaves_by_the_port_that_it_learned() -> None:
    ports = [replace(one, master=4) for one in (ETH0, ETH1)]

    found = egress(BRIDGE, *ports, fdb={FdbKey(4, NEIGHBOUR): 2, FdbKey(4, mac(98)): 1})

    assert found == Egress(ports[1], 0, 9000)


@pytest.mark.parametrize("idle", [{"carrier": False}, {"up": False}, {"master": None}])
def test_a_bridge_with_one_port_in_use_needs_to_learn_nothing(idle: dict[str, Any]) -> None:
    other = replace(ETH1, **{"master": 4} | idle)
    port = replace(ETH0, master=4)

    assert egress(BRIDGE, port, other) == Egress(port, 0, 9000)


def test_a_bridge_that_has_not_learned_the_mac_says_so() -> None:
    ports = [replace(one, master=4) for one in (ETH0, ETH1)]

    assert egress(BRIDGE, *ports) == Unresolved(
        "the bridge br0 has not learned the port of 02:00:00:00:00:63"
    )


def test_a_vlan_on_a_bridge_leaves_by_the_bridges_port_with_the_tag() -> None:
    upper = vlan(9, "br0.7", 7, parent=4)
    port = replace(ETH0, master=4)

    assert egress(upper, BRIDGE, port) == Egress(port, 7, 9000)


def test_a_bridge_over_a_vlan_leaves_by_the_vlans_parent_with_the_tag() -> None:
    assert egress(BRIDGE, replace(TAGGED, master=4), ETH0) == Egress(ETH0, 42, 9000)


@pytest.mark.parametrize("smallest", range(3))
def test_the_mtu_is_the_least_of_all_devices_on_the_way(smallest: int) -> None:
    stack = [BRIDGE, replace(TAGGED, master=4), ETH0]
    stack[smallest] = replace(stack[smallest], mtu_bytes=1400)

    found = egress(*stack)

    assert isinstance(found, Egress)
    assert found.mtu_bytes == 1400


def test_the_bridge_on_the_way_is_found_under_a_vlan_too() -> None:
    upper = vlan(9, "br0.7", 7, parent=4)
    links = by_index([ETH0, TAGGED, BRIDGE, upper])

    assert bridge_below(BRIDGE, links) == BRIDGE
    assert bridge_below(upper, links) == BRIDGE
    assert bridge_below(TAGGED, links) is None
    assert bridge_below(ETH0, links) is None


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        pytest.param(
            link(7, "mv0", "macvlan", parent=1),
            "the route leaves by mv0 (macvlan on eth0), which XDP cannot send by; route by eth0",
            id="macvlan names its parent",
        ),
        pytest.param(
            link(7, "vx0", "vxlan"),
            "the route leaves by vx0 (vxlan), which XDP cannot send by; "
            "route by a physical, veth, bond, VLAN or bridge device",
            id="VXLAN",
        ),
        pytest.param(link(7, "vrf0", "vrf"), "vrf0 (vrf)", id="VRF"),
        pytest.param(link(7, "tun0", "tun", mac=None), "tun0 (tun)", id="tun without MAC"),
        pytest.param(link(7, "gre1", "gre", mac=None), "gre1 (gre)", id="GRE"),
        pytest.param(link(7, "dummy0", "dummy"), "dummy0 (dummy)", id="dummy"),
        pytest.param(
            link(7, "lo", None, mac=None, loopback=True), "lo (loopback)", id="loopback device"
        ),
        pytest.param(
            link(7, "ppp0", None, mac=None), "ppp0 (non-Ethernet)", id="physical, not Ethernet"
        ),
        pytest.param(
            tunnel_device(7, "ipip9", "ipip", "10.0.0.1", "10.0.0.2"),
            "ipip9 (ipip)",
            id="tunnel in a tunnel",
        ),
        pytest.param(
            link(7, "br1", "bridge", vlan_filtering=True),
            "the bridge br1 filters VLANs, and the tags of its ports are not followed; turn",
            id="VLAN-aware bridge",
        ),
        pytest.param(
            vlan(7, "br1.5", 5, parent=10),
            "the bridge br1 filters VLANs",
            id="VLAN of a VLAN-aware bridge",
        ),
        pytest.param(
            vlan(7, "eth9.42", 42, parent=None),
            "eth9.42 is a VLAN of a device in another network namespace; route by a device of",
            id="VLAN of a device elsewhere",
        ),
        pytest.param(
            vlan(7, "eth0.s", 42, parent=1, vlan_protocol=0x88A8),
            "eth0.s adds an 802.1ad tag; route by a VLAN of protocol 802.1Q",
            id="service VLAN",
        ),
        pytest.param(
            vlan(7, "eth0.42.7", 7, parent=3),
            "eth0.42.7 adds a VLAN tag to the one of eth0.42, and the data plane pushes one",
            id="two tags",
        ),
        pytest.param(
            vlan(7, "mv0.7", 7, parent=11),
            "the route leaves by mv0 (macvlan on eth0)",
            id="VLAN of what XDP cannot send by",
        ),
        pytest.param(
            link(7, "eth2", None, master=8), "eth2 belongs to the bond bond0", id="leg of a bond"
        ),
        pytest.param(link(7, "eth2", None, up=False), "eth2 is down", id="down"),
        pytest.param(link(7, "eth2", None, carrier=False), "eth2 has no carrier", id="no carrier"),
    ],
)
def test_other_devices_are_refused_by_name(device: Link, reason: str) -> None:
    around = [
        ETH0,
        TAGGED,
        link(8, "bond0", "bond"),
        link(10, "br1", "bridge", vlan_filtering=True),
        link(11, "mv0", "macvlan", parent=1),
    ]

    found = egress(device, *around)

    assert isinstance(found, Unresolved)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        pytest.param(
            link(6, "vx0", "vxlan", master=4),
            "the route leaves by vx0 (vxlan), which XDP cannot send by",
            id="what XDP cannot send by",
        ),
        pytest.param(
            vlan(6, "br1.5", 5, parent=10, master=4),
            "br0 leaves by br1.5, which is on another bridge, br1; route by br1.5",
            id="a VLAN of another bridge",
        ),
    ],
)
def test_a_bridge_port_that_cannot_be_followed_is_refused_by_name(port: Link, reason: str) -> None:
    found = egress(BRIDGE, port, link(10, "br1", "bridge"), fdb={FdbKey(4, NEIGHBOUR): 6})

    assert isinstance(found, Unresolved)
    assert reason in found.reason


def test_two_tags_on_one_way_through_a_bridge_are_refused() -> None:
    upper = vlan(9, "br0.7", 7, parent=4)

    found = egress(upper, BRIDGE, replace(TAGGED, master=4), ETH0)

    assert found == Unresolved(
        "br0.7 adds a VLAN tag to the one of eth0.42, and the data plane pushes one; "
        "route by a device with a single tag"
    )
