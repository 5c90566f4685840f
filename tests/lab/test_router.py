"""Routers are real: what their peers announce is in their kernel's table, by all of them."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from time import monotonic

import pytest

from headrace.lab.bird import render_bird
from headrace.lab.frr import find_frr, render_frr
from headrace.lab.laboratory import Laboratory
from headrace.lab.proofs.topologies import PASSWORD
from headrace.lab.route_watch import RouteWatch
from headrace.lab.routers import make_router
from headrace.lab.topologies import DEMO
from headrace.lab.topology import Bgp, BgpPeer, Node, RoutingDaemon, Topology
from headrace.lab.waiting import poll
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


EVERY_DAEMON = pytest.mark.parametrize("daemon", list(RoutingDaemon))


@pytest.mark.netns
@EVERY_DAEMON
async def test_the_vip_is_reached_by_every_peer_until_one_dies(
    make_lab: MakeLab, daemon: RoutingDaemon
) -> None:
    lab = make_lab(router_topology(2, daemon))
    router = make_router(lab, lab.topology.node("r1"))
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
@EVERY_DAEMON
async def test_a_router_that_stops_takes_its_routes_along(
    make_lab: MakeLab, daemon: RoutingDaemon
) -> None:
    lab = make_lab(router_topology(1, daemon))
    router = make_router(lab, lab.topology.node("r1"))
    router.start()
    announce_from(lab, lab.topology.node("llb1"))
    await router.wait_next_hops(VIP, 1, timeout_s=20)

    router.stop()

    assert router.next_hops(VIP) == []


@pytest.mark.netns
@EVERY_DAEMON
async def test_a_watch_tells_when_each_leg_came_and_went(
    make_lab: MakeLab, daemon: RoutingDaemon
) -> None:
    lab = make_lab(router_topology(2, daemon))
    router = make_router(lab, lab.topology.node("r1"))
    with RouteWatch(router.namespace, VIP) as watch:
        router.start()
        announce_from(lab, lab.topology.node("llb1"))
        announce_from(lab, lab.topology.node("llb2"))
        await watch.first(lambda legs: len(legs) == 2, since_s=0.0, timeout_s=20)
        killed_s = monotonic()
        lab.kill_inside("llb1")
        gone_s = await watch.first(
            lambda legs: "10.0.1.1" not in legs, since_s=killed_s, timeout_s=10
        )
        none_yet = await watch.first(bool, since_s=killed_s, timeout_s=0.1)

    assert 0 < gone_s < 1
    assert [change.legs for change in watch.since(killed_s)] == [{"10.0.2.1"}]
    assert none_yet == 0.0


@pytest.mark.netns
async def test_a_route_that_does_not_come_is_told_of(make_lab: MakeLab) -> None:
    lab = make_lab(router_topology(speakers=1))
    router = make_router(lab, lab.topology.node("r1"))

    with pytest.raises(UnavailableError, match=r"after 0\.1 s the route of r1 .* hops none"):
        await router.wait_next_hops(VIP, 1, timeout_s=0.1)


def with_bfd(topology: Topology, daemons: Mapping[str, RoutingDaemon]) -> Topology:
    """The same with BFD in every session, and other daemons on some nodes."""
    nodes = []
    for node in topology.nodes:
        assert node.bgp is not None
        peers = tuple(replace(peer, bfd=True, password=PASSWORD) for peer in node.bgp.peers)
        bgp = replace(node.bgp, peers=peers, daemon=daemons[node.name])
        nodes.append(replace(node, bgp=bgp))
    return replace(topology, nodes=tuple(nodes))


@pytest.mark.netns
async def test_bird_and_frr_watch_each_other_by_bfd(make_lab: MakeLab) -> None:
    daemons = {"r1": RoutingDaemon.BIRD, "llb1": RoutingDaemon.FRR}
    lab = make_lab(with_bfd(router_topology(1), daemons))
    routers = [make_router(lab, lab.topology.node(name)) for name in daemons]
    for router in routers:
        router.start()

    await routers[0].wait_bfd([IPv4Address("10.0.1.1")], timeout_s=20)
    await routers[1].wait_bfd([IPv4Address("10.0.1.254")], timeout_s=20)
    routers[1].kill()

    async def nobody() -> bool | None:
        return None if await routers[0].bfd_peers() else True

    assert await poll(nobody, timeout_s=5)
    with pytest.raises(
        UnavailableError, match=r"BFD of r1 has nobody alive, not all of 10\.0\.1\.1"
    ):
        await routers[0].wait_bfd([IPv4Address("10.0.1.1")], timeout_s=0)


def test_a_machine_without_frr_is_told_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TOOLS", str(tmp_path))

    with pytest.raises(UnavailableError, match="install the package frr, or name the folder"):
        find_frr()


def test_frr_is_told_of_keys_and_bfd_of_each_peer() -> None:
    peer = BgpPeer(IPv4Address("10.0.1.1"), 64512, PASSWORD, bfd=True)
    bgp = Bgp(65001, IPv4Address("10.0.0.254"), (peer,), RoutingDaemon.FRR)

    text = render_frr(bgp)

    assert "router bgp 65001\n bgp router-id 10.0.0.254\n" in text
    for line in ("remote-as 64512", f"password {PASSWORD}", "bfd profile lab", "timers 1 3"):
        assert f" neighbor 10.0.1.1 {line}\n" in text


def test_the_router_of_the_demo_has_both_balancers_as_its_peers() -> None:
    bgp = DEMO.node("r1").bgp
    assert bgp is not None

    text = render_bird(bgp)

    assert "merge paths yes limit 64;" in text
    assert "neighbor 11.11.11.1 as 64512;" in text
    assert "neighbor 11.11.11.2 as 64512;" in text
    assert "local as 65001;" in text
