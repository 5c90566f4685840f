"""The router is a real BIRD: what its peers announce is in its kernel's table, by all of them."""

import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from headrace.lab.laboratory import Laboratory
from headrace.lab.router import Router, render_bird
from headrace.lab.topologies import DEMO
from headrace.lab.topology import Node
from headrace.model.errors import UnavailableError
from tests.lab.conftest import MakeLab
from tests.lab.lines import router_topology

VIP = IPv4Network("20.20.20.1/32")


def announce_from(lab: Laboratory, node: Node) -> None:
    """Have ExaBGP announce the VIP from a node."""
    assert node.bgp is not None
    (peer,) = node.bgp.peers
    config = lab.path / f"{node.name}-exabgp.conf"
    config.write_text(f"""
neighbor {peer.address} {{
    router-id {node.bgp.router_id};
    local-address {node.bgp.router_id};
    local-as {node.bgp.as_number};
    peer-as {peer.as_number};
    hold-time 3;
    static {{ route {VIP} next-hop self; }}
}}
""")
    settings = {"exabgp_daemon_user": "root", "exabgp_tcp_delay": "0", "exabgp_api_cli": "false"}
    lab.set_environment(node.name, settings)
    program = Path(sys.executable).with_name("exabgp")
    lab.start(node.name, [str(program), "server", str(config)], f"{node.name}-exabgp")


@pytest.mark.netns
async def test_the_vip_is_reached_by_every_peer_until_one_dies(make_lab: MakeLab) -> None:
    lab = make_lab(router_topology(speakers=2))
    router = Router(lab, lab.topology.node("r1"))
    router.start()
    for name in ("llb1", "llb2"):
        announce_from(lab, lab.topology.node(name))

    await router.wait_next_hops(VIP, 2, timeout_s=20)
    both = router.next_hops(VIP)
    lab.kill_node("llb1")
    await router.wait_leg_gone(VIP, IPv4Address("10.0.1.1"), timeout_s=10)

    assert both == ["10.0.1.1", "10.0.2.1"]
    assert router.next_hops(VIP) == ["10.0.2.1"]


@pytest.mark.netns
async def test_a_router_that_stops_takes_its_routes_along(make_lab: MakeLab) -> None:
    lab = make_lab(router_topology(speakers=1))
    router = Router(lab, lab.topology.node("r1"))
    router.start()
    announce_from(lab, lab.topology.node("llb1"))
    await router.wait_next_hops(VIP, 1, timeout_s=20)

    router.stop()

    assert router.next_hops(VIP) == []


@pytest.mark.netns
async def test_a_route_that_does_not_come_is_told_of(make_lab: MakeLab) -> None:
    lab = make_lab(router_topology(speakers=1))
    router = Router(lab, lab.topology.node("r1"))

    with pytest.raises(UnavailableError, match=r"after 0\.1 s the route of r1 .* hops none"):
        await router.wait_next_hops(VIP, 1, timeout_s=0.1)


def test_the_router_of_the_demo_has_both_balancers_as_its_peers() -> None:
    bgp = DEMO.node("r1").bgp
    assert bgp is not None

    text = render_bird(bgp)

    assert "merge paths yes limit 64;" in text
    assert "neighbor 11.11.11.1 as 64512;" in text
    assert "neighbor 11.11.11.2 as 64512;" in text
    assert "local as 65001;" in text
