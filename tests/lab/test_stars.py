"""Every star holds what it is there for; one with something broken does not."""

from io import StringIO

import pytest
from rich.console import Console

from headrace.lab.check import run_checks
from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.namespaces import namespace_inode, processes_in_namespaces
from headrace.lab.processes import ProcessId, kill_processes
from headrace.lab.star_checks import check_star
from headrace.lab.star_network import StarNetwork
from headrace.lab.stars import STARS
from headrace.lab.topologies import TOPOLOGIES
from headrace.lab.topology import Role, Topology
from headrace.model.errors import ConfigError
from headrace.model.values import Encapsulation, Protocol
from tests.lab.lines import own_name
from tests.lab.star_claims import all_claims_hold


def facts(star: Topology) -> tuple[Encapsulation, int, int]:
    """How packets reach the endpoints: by what, and the IP versions inside and outside."""
    endpoint = star.with_role(Role.ENDPOINT)[0]
    outer = endpoint.tunnels[0].local if endpoint.tunnels else endpoint.identity
    assert outer is not None
    return star.encapsulation, star.vip.version, outer.version


def test_the_stars_have_every_encapsulation_in_every_pair_of_families() -> None:
    pairs = [(inner, outer) for inner in (4, 6) for outer in (4, 6)]
    wanted = {(way, *pair) for way in (Encapsulation.IPIP, Encapsulation.GUE) for pair in pairs}
    wanted |= {(Encapsulation.L2, version, version) for version in (4, 6)}

    assert {facts(star) for star in STARS} == wanted


def test_the_stars_have_every_protocol_in_both_families() -> None:
    found = {(protocol, star.vip.version) for star in STARS for protocol in star.protocols}

    assert found == {(protocol, version) for protocol in Protocol for version in (4, 6)}


def test_l3dsr_has_the_addresses_of_loxilbs_scenario() -> None:
    star = TOPOLOGIES["l3dsr"]

    assert [str(address.interface) for address in star.node("llb1").addresses] == [
        "10.10.10.254/24",
        "31.31.31.254/24",
        "32.32.32.254/24",
        "33.33.33.254/24",
    ]
    assert [str(node.identity) for node in star.with_role(Role.ENDPOINT)] == [
        "56.56.56.1",
        "57.57.57.1",
        "58.58.58.1",
    ]
    assert [
        f"{tunnel.name} {tunnel.local} {tunnel.remote} {tunnel.address}"
        for tunnel in star.node("llb1").tunnels
    ] == [
        "ipip0 31.31.31.254 31.31.31.1 45.45.45.254/24",
        "ipip1 32.32.32.254 32.32.32.1 46.46.46.254/24",
        "ipip2 33.33.33.254 33.33.33.1 47.47.47.254/24",
    ]


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [star.name for star in STARS if not star.guests])
def test_every_claim_about_a_star_holds(name: str) -> None:
    all_claims_hold(name)


@pytest.mark.netns
@pytest.mark.bpf
async def test_a_star_whose_server_has_died_does_not_hold() -> None:
    out = StringIO()
    view = ClaimView(Console(file=out, width=200))
    lab = Laboratory.create(TOPOLOGIES["l3dsr"], own_name("dead"))
    network = StarNetwork(lab, view)
    try:
        await network.bring_up()
        held = view.all_held
        inode = namespace_inode(lab.namespace("ep2"))
        assert inode is not None
        pids = processes_in_namespaces([inode])
        kill_processes([process for pid in pids if (process := ProcessId.of(pid)) is not None])
        await check_star(network)
    finally:
        lab.remove()

    assert held
    assert not view.all_held
    assert "NO each endpoint answers on its own address" in out.getvalue()
    assert "server1, None, server3" in out.getvalue()


def test_what_is_no_star_cannot_be_checked() -> None:
    with pytest.raises(ConfigError, match="demo is no star"):
        run_checks(["demo"], Console(file=StringIO()))
    with pytest.raises(ConfigError, match="there is no topology nowhere; choose demo, l3dsr"):
        run_checks(["nowhere"], Console(file=StringIO()))
