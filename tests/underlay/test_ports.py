"""Which interfaces the data plane attaches to."""

from collections.abc import Sequence

import pytest

from headrace.model import ConfigError, Port, Problem
from headrace.model.limits import LIMIT_PORTS
from headrace.underlay.ports import choose_ports
from tests.underlay.values import by_index, link, mac, tunnel_device, vlan

LINKS = by_index(
    [
        link(1, "lo", None, loopback=True, mac=None),
        link(2, "eth0", None),
        vlan(3, "eth0.42", 42, parent=2, mac=mac(2)),
        link(4, "veth0", "veth", master=9),
        link(5, "eth1", None, up=False),
        link(6, "eth2", None, master=7),
        link(7, "bond0", "bond"),
        link(8, "tap0", "tun"),
        link(9, "br0", "bridge"),
        tunnel_device(10, "ipip11", "ipip", "10.0.0.1", "10.0.0.2"),
        link(11, "tun0", "tun", mac=None),
        link(12, "dummy0", "dummy"),
    ]
)


ARRIVAL = "the interface that its packets arrive on"


def test_without_names_all_that_carry_xdp_and_are_up_are_taken() -> None:
    ports = choose_ports(LINKS, None)

    assert [port.name for port in ports] == ["eth0", "veth0", "bond0", "tap0"]


def test_named_interfaces_come_in_the_order_named_and_may_be_down() -> None:
    ports = choose_ports(LINKS, ["eth1", "eth0"])

    assert ports == [
        Port("eth1", 5, (mac(5),), transmit=True),
        Port("eth0", 2, (mac(2),), transmit=True),
    ]


def test_only_physical_interfaces_send_back_by_transmitting() -> None:
    ports = choose_ports(LINKS, ["eth0", "veth0", "tap0", "bond0"])

    assert [port.transmit for port in ports] == [True, False, False, False]


def test_a_bond_has_members_that_packets_come_in_by() -> None:
    assert choose_ports(LINKS, ["bond0"]) == [Port("bond0", 7, (mac(7),), members=(6,))]


def test_a_bridge_port_also_takes_frames_for_the_bridge() -> None:
    assert choose_ports(LINKS, ["veth0"]) == [Port("veth0", 4, (mac(4), mac(9)))]


def test_a_port_also_takes_frames_for_its_vlans_and_their_bridges() -> None:
    links = by_index(
        [
            link(2, "eth0", None),
            vlan(3, "eth0.42", 42, parent=2, mac=mac(2)),
            vlan(4, "eth0.43", 43, parent=2, master=5),
            link(5, "br43", "bridge"),
            vlan(6, "eth1.42", 42, parent=7),
        ]
    )

    assert choose_ports(links, ["eth0"])[0].macs == (mac(2), mac(5), mac(4))


def test_a_mac_that_the_bridge_borrowed_from_its_port_is_given_once() -> None:
    links = by_index([link(4, "veth0", master=9), link(9, "br0", "bridge", mac=mac(4))])

    assert choose_ports(links, ["veth0"]) == [Port("veth0", 4, (mac(4),))]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lo"], "lo is the loopback device; name an interface that VIP packets arrive on"),
        (["br0"], "br0 is a bridge, which has no XDP; name its ports (veth0)"),
        (["eth0.42"], "eth0.42 is of kind vlan, which carries no XDP of its own; name eth0"),
        (
            ["ipip11"],
            "ipip11 is of kind ipip, which carries no XDP of its own; name " + ARRIVAL,
        ),
        (
            ["tun0"],
            "tun0 is not an Ethernet device; name an interface that carries Ethernet frames",
        ),
        (["eth2"], "eth2 belongs to the bond bond0, which takes the only XDP; name bond0"),
    ],
)
def test_an_interface_that_cannot_carry_xdp_is_refused(names: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        choose_ports(LINKS, names)

    assert refused.value.problems == (Problem("node.interfaces[0]", message),)


def test_every_problem_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError) as refused:
        choose_ports(by_index([link(2, "eth0", None)]), ["eth9", "eth0", "eth0"])

    assert refused.value.problems == (
        Problem("node.interfaces[0]", "eth9 does not exist on this node; its interfaces are eth0"),
        Problem("node.interfaces[2]", "eth0 is named twice; name it once"),
    )


def test_more_interfaces_than_the_limit_must_be_named() -> None:
    many = [link(index, f"veth{index}", mac=mac(1)) for index in range(1, LIMIT_PORTS + 2)]

    assert len(choose_ports(by_index(many[:-1]), None)) == LIMIT_PORTS
    with pytest.raises(ConfigError, match=r"node\.interfaces: 257 interfaces can carry XDP"):
        choose_ports(by_index(many), None)
