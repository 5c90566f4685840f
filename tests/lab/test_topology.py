"""The demo's topology is that of the seed, and a topology says what is wrong with it."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from headrace.lab.topologies import DEMO, TOPOLOGIES
from headrace.lab.topology import Bridge, Link, Role, Topology
from headrace.model.values import Tunnel


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_a_topology_that_comes_with_headrace_can_be_built(topology: Topology) -> None:
    assert list(topology.problems()) == []


def test_the_demo_has_the_nodes_and_addresses_of_the_seed() -> None:
    addresses = {
        (node.name, address.device): str(address.interface)
        for node in DEMO.nodes
        for address in node.addresses
    }

    assert addresses == {
        ("user", "euserr1"): "1.1.1.1/24",
        ("r1", "er1user"): "1.1.1.254/24",
        ("r1", "er1r2"): "2.2.2.1/24",
        ("r1", "vlan11"): "11.11.11.254/24",
        ("llb1", "vlan11"): "11.11.11.1/24",
        ("llb1", "vlan31"): "31.31.31.253/24",
        ("llb1", "vlan32"): "32.32.32.253/24",
        ("llb1", "vlan33"): "33.33.33.253/24",
        ("llb2", "vlan11"): "11.11.11.2/24",
        ("llb2", "vlan31"): "31.31.31.254/24",
        ("llb2", "vlan32"): "32.32.32.254/24",
        ("llb2", "vlan33"): "33.33.33.254/24",
        ("ep1", "vlan31"): "31.31.31.1/24",
        ("ep1", "vlan3"): "3.3.3.1/24",
        ("ep2", "vlan32"): "32.32.32.1/24",
        ("ep2", "vlan3"): "3.3.3.2/24",
        ("ep3", "vlan33"): "33.33.33.1/24",
        ("ep3", "vlan3"): "3.3.3.3/24",
        ("r2", "vlan3"): "3.3.3.254/24",
        ("r2", "er2r1"): "2.2.2.2/24",
    }


def test_the_demo_has_the_tunnel_devices_of_the_seed() -> None:
    devices = {
        (node.name, tunnel.name): f"{tunnel.local} {tunnel.remote} {tunnel.address}"
        for node in DEMO.nodes
        for tunnel in node.tunnels
    }

    assert devices == {
        ("llb1", "ipip11"): "31.31.31.253 31.31.31.1 45.45.1.254/24",
        ("llb1", "ipip12"): "32.32.32.253 32.32.32.1 46.46.1.254/24",
        ("llb1", "ipip13"): "33.33.33.253 33.33.33.1 47.47.1.254/24",
        ("llb2", "ipip21"): "31.31.31.254 31.31.31.1 45.45.2.254/24",
        ("llb2", "ipip22"): "32.32.32.254 32.32.32.1 46.46.2.254/24",
        ("llb2", "ipip23"): "33.33.33.254 33.33.33.1 47.47.2.254/24",
        ("ep1", "ipip11"): "31.31.31.1 31.31.31.253 45.45.1.1/24",
        ("ep1", "ipip12"): "31.31.31.1 31.31.31.254 45.45.2.2/24",
        ("ep2", "ipip21"): "32.32.32.1 32.32.32.253 46.46.1.1/24",
        ("ep2", "ipip22"): "32.32.32.1 32.32.32.254 46.46.2.1/24",
        ("ep3", "ipip31"): "33.33.33.1 33.33.33.253 47.47.1.1/24",
        ("ep3", "ipip32"): "33.33.33.1 33.33.33.254 47.47.2.1/24",
    }


def test_only_the_clients_link_is_smaller_so_that_the_outer_header_fits_everywhere_else() -> None:
    assert {link.mtu_bytes for link in DEMO.links if link.first != "user"} == {9000}
    assert DEMO.links[0] == Link("user", "r1", 8000)


def test_a_balancers_tunnels_are_named_by_the_endpoints_that_their_routes_lead_to() -> None:
    assert DEMO.tunnels_of("llb2") == (
        Tunnel(*map(IPv4Address, ("56.56.56.1", "31.31.31.254", "31.31.31.1"))),
        Tunnel(*map(IPv4Address, ("57.57.57.1", "32.32.32.254", "32.32.32.1"))),
        Tunnel(*map(IPv4Address, ("58.58.58.1", "33.33.33.254", "33.33.33.1"))),
    )


def test_endpoints_have_no_tunnels_towards_endpoints() -> None:
    assert DEMO.tunnels_of("ep1") == ()


def test_nodes_are_found_by_role() -> None:
    assert [node.name for node in DEMO.with_role(Role.BALANCER)] == ["llb1", "llb2"]


@pytest.mark.parametrize(
    ("topology", "problem"),
    [
        pytest.param(
            replace(DEMO, links=(*DEMO.links, Link("r1", "nobody"))),
            "demo: a link ends at nobody, which is no node",
            id="a link to nowhere",
        ),
        pytest.param(
            replace(DEMO, nodes=(*DEMO.nodes, DEMO.node("r2"))),
            "demo: two nodes have the same name",
            id="the same node twice",
        ),
        pytest.param(
            replace(
                DEMO,
                nodes=(
                    replace(DEMO.nodes[0], bridges=(Bridge("vlan1", ("eth7",)),)),
                    *DEMO.nodes[1:],
                ),
            ),
            "user: bridge vlan1 has no device eth7",
            id="a bridge of a device that is not there",
        ),
        pytest.param(
            replace(DEMO, links=DEMO.links[1:]),
            "user: 1.1.1.1/24 is on euserr1, which is not there",
            id="an address on a device that is not there",
        ),
        pytest.param(
            replace(DEMO, links=(*DEMO.links, Link("llb1", "averylongname"))),
            "demo: ellb1averylongname is too long for the name of a device",
            id="a device name that the kernel refuses",
        ),
    ],
)
def test_a_topology_that_cannot_be_built_says_why(topology: Topology, problem: str) -> None:
    assert problem in topology.problems()
