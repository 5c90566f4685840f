"""Probes through the tunnel, end to end, and what is said of each fault."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path as FilePath

import pytest

from headrace.daemon.probing import TunnelPaths
from headrace.health import Checker, ProbeWay
from headrace.health.exchange import open_socket
from headrace.health.probe_tcp import TCP
from headrace.model import (
    Belief,
    Encapsulation,
    Health,
    KernelError,
    NextHop,
    Path,
    Probe,
    ProbePath,
    ProbeTarget,
)
from tests.daemon.probed_site import (
    ANSWER_S,
    GUE,
    IPIP,
    L2,
    MTU,
    OWN,
    PORT,
    VIP,
    Site,
    probe,
    probed_site,
    take,
)
from tests.underlay.network import connect

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

E2, E3, E4 = "10.2.0.2", "10.3.0.2", "10.4.0.2"


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that no test changes."""
    with probed_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(tmp_path: FilePath) -> Iterator[Site]:
    with probed_site(tmp_path) as made:
        yield made


def accepted(site: Site) -> dict[int, list[str]]:
    """Who connected where since the last call."""
    found = {number: each.accepted_from() for number, each in site.endpoints.items()}
    return {number: clients for number, clients in found.items() if clients}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("encapsulation", [IPIP, GUE])
@pytest.mark.parametrize(("outer", "inner"), list(itertools.product((4, 6), (4, 6))))
def test_a_marked_connection_to_the_vip_reaches_exactly_its_endpoint(
    well: Site, outer: int, inner: int, encapsulation: Encapsulation, number: int
) -> None:
    paths = well.paths(outer, encapsulation)

    words = well.probe(paths, well.target(number, inner, encapsulation))

    assert words == "connected"
    assert accepted(well) == {number: [str(OWN[inner])]}


@pytest.mark.parametrize("inner", [4, 6])
def test_so_does_one_by_mac(well: Site, inner: int) -> None:
    endpoint = well.endpoints[4].address(inner)
    target = replace(well.target(4, inner, L2), endpoint=endpoint)

    words = well.probe({(endpoint, L2): well.path(4, inner, L2)}, target)

    assert words == "connected"
    assert accepted(well) == {4: [{4: "10.4.0.1", 6: "fd04::1"}[inner]]}


def seclude(site: Site, number: int, net: str) -> Path:
    """Have an endpoint know one network, which only the load balancer is in; the path there."""
    secluded, device = site.endpoints[number], f"q{number}"
    endpoint, own, far = secluded.namespace, ip_address(f"{net}.1"), ip_address(f"{net}.2")
    connect(site.lb, device, endpoint, "q0")
    site.lb.ip(f"addr add {own}/24 dev {device}")
    endpoint.ip(f"addr add {far}/24 dev q0")
    endpoint.ip("link set p0 down")  # and with it the default route
    assert secluded.program is not None
    secluded.program.close()
    secluded.unwrap(site.pins / str(number), f"{net}.0/24", "q0", far)
    hop = NextHop(site.lb.index(device), site.lb.mac(device), endpoint.mac("q0"))
    return Path(own, far, hop, MTU, IPIP)


def test_endpoints_that_know_only_a_network_of_their_own_answer_probes(site: Site) -> None:
    """As those of the seed, which have another network with each load balancer."""
    nets = {2: "10.12.0", 3: "10.13.0"}
    paths = {
        (site.endpoints[number].address(4), IPIP): seclude(site, number, net)
        for number, net in nets.items()
    }

    words = [site.probe(paths, site.target(number)) for number in nets]

    assert words == ["connected"] * 2
    assert accepted(site) == {number: [f"{net}.1"] for number, net in nets.items()}


def test_the_source_of_probes_follows_a_route_that_leads_the_same_way_as_before(
    site: Site,
) -> None:
    paths, other = site.paths(), ip_address("10.99.0.1")
    site.lb.ip(f"addr add {other}/32 dev lo")
    route = f"{site.endpoints[3].address(4)}/32 via 10.1.0.254 src"
    site.lb.ip(f"route add {route} 10.1.0.1")

    async def work(tunnel: TunnelPaths) -> list[object]:
        ways = [tunnel.way_of(site.target(3))]
        await asyncio.to_thread(site.lb.ip, f"route replace {route} {other}")
        tunnel.look_again()
        await tunnel.set_paths(paths, frozenset(VIP.values()))
        ways.append(tunnel.way_of(site.target(3)))
        return [None if way is None else way.source for way in ways]

    assert site.probing(paths, work) == [None, other]  # None: the one that all have


def test_each_path_is_filled_to_its_own_size(well: Site) -> None:
    paths = {**well.paths(numbers=(2,)), **well.paths(numbers=(3,), mtu_bytes=1300)}

    async def work(tunnel: TunnelPaths) -> list[int]:
        sizes = []
        for number in (2, 3):
            target = well.target(number)
            with open_socket(TCP, target, tunnel.way_of(target)) as prober:
                where = str(target.vip), target.port
                await asyncio.get_running_loop().sock_connect(prober, where)
                sizes.append(prober.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        return sizes

    wide, narrow = well.probing(paths, work)

    assert (wide, narrow) == (MTU - 20 - 20 - 32, 1300 - 20 - 20 - 32)
    accepted(well)


def test_paths_come_change_and_go(well: Site) -> None:
    async def work(tunnel: TunnelPaths) -> list[str]:
        vips, target = frozenset(VIP.values()), well.target(2)
        said = [await probe(tunnel, target)]
        await tunnel.set_paths(well.paths(6), vips)
        said.append(await probe(tunnel, target))
        way = tunnel.way_of(target)
        await tunnel.set_paths(well.paths(numbers=(3,)), vips)
        said.append(await probe(tunnel, target))
        await tunnel.set_paths(well.paths(), vips)
        said.append(await probe(tunnel, target))
        assert way is not None
        again = tunnel.way_of(target)
        assert again is not None
        assert again.mark != way.mark  # sockets that still have it must not reach another
        await tunnel.set_paths(well.paths(), vips - {target.vip})
        said.append(await probe(tunnel, target))
        return said

    said = well.probing(well.paths(), work)

    assert said == ["connected", "connected", "no path", "connected", "no path"]
    assert accepted(well) == {2: [str(OWN[4])] * 3}


def test_nothing_is_left_when_it_is_closed(well: Site) -> None:
    well.probe(well.paths(), well.target(2))
    accepted(well)

    def left() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x48520001)
            sender.connect((str(VIP[4]), PORT))
            return bool(sender.getsockname()[0] != str(OWN[4]))

    assert not well.lb.inside(left)


def test_a_kernel_that_refuses_is_told_and_tried_again(site: Site) -> None:
    async def work(tunnel: TunnelPaths) -> tuple[ProbeWay | None, str, str]:
        target, vips = site.target(2), frozenset(VIP.values())
        site.lb.ip("link set lo down")
        with pytest.raises(KernelError):
            await tunnel.set_paths(site.paths(mtu_bytes=1400), vips)
        refused = tunnel.way_of(target), tunnel.likely_cause(target, "no path")
        site.lb.ip("link set lo up")
        await tunnel.set_paths(site.paths(), vips)
        return *refused, await probe(tunnel, target)

    way, cause, words = site.probing(site.paths(), work)

    assert way is None
    assert cause.startswith("this node cannot probe through tunnels (route probes of")
    assert words == "connected"


# --- faults ----------------------------------------------------------------------------------


def test_service_that_is_down(site: Site) -> None:
    site.endpoints[2].stop_serving()

    cause = site.cause(site.paths(), site.target(2))

    assert cause == f"nothing listens on port {PORT} at {E2}; start the service there"


@pytest.mark.parametrize("inner", [4, 6])
def test_vip_that_is_not_on_lo(site: Site, inner: int) -> None:
    site.endpoints[2].namespace.ip(f"addr del {VIP[inner]} dev lo")

    cause = site.cause(site.paths(), site.target(2, inner))

    assert cause.startswith(f"{E2} is alive at its own address, but takes no packets to")
    assert f"{VIP[inner]} is not on its lo" in cause
    assert ("rp_filter" in cause) == (inner == 4)


def test_a_belief_says_the_likely_cause(site: Site) -> None:
    site.endpoints[3].namespace.ip(f"addr del {VIP[4]} dev lo")
    often = Probe(interval_s=0.2, timeout_s=0.15, rise=1, fall=2)
    good, bad = (replace(site.target(number), probe=often) for number in (2, 3))

    async def work(tunnel: TunnelPaths) -> dict[ProbeTarget, Belief]:
        checker = Checker(tunnel)
        checker.set_targets(frozenset({good, bad}))
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            running = group.create_task(checker.run())
            while Health.UNKNOWN in {belief.health for belief in checker.beliefs.values()}:
                await checker.wait()
            running.cancel()
        return dict(checker.beliefs)

    beliefs = site.probing(site.paths(), work)

    assert beliefs[good].health is Health.UP
    assert beliefs[bad].health is Health.DOWN
    assert beliefs[bad].reason.startswith(f"timeout; likely cause: {E3} is alive")


def test_vip_that_is_not_on_the_lo_of_an_endpoint_by_mac(site: Site) -> None:
    site.endpoints[4].namespace.ip(f"addr del {VIP[4]} dev lo")

    cause = site.cause(site.paths(encapsulation=L2, numbers=(4,)), site.target(4, 4, L2))

    assert cause == (
        f"{E4} is alive at its own address, but takes no packets to {VIP[4]}: it is not on its lo"
    )


@pytest.mark.parametrize(("outer", "encapsulation"), [(4, IPIP), (6, IPIP), (4, GUE)])
def test_tunnel_that_is_missing(site: Site, outer: int, encapsulation: Encapsulation) -> None:
    remove_tunnel(site)

    cause = site.cause(site.paths(outer, encapsulation), site.target(2, 4, encapsulation))

    assert cause == (
        f"{site.endpoints[2].address(outer)} does not take {encapsulation} from this node: its "
        "tunnel is missing, or is for other addresses"
    )


def test_gue_in_ipv6_that_is_missing(site: Site) -> None:
    """The kernel tells nobody: it passes UDP in IPv6 without a checksum over."""
    remove_tunnel(site)

    cause = site.cause(site.paths(6, GUE), site.target(2, 4, GUE))

    assert "its tunnel is missing or for other addresses" in cause


def remove_tunnel(site: Site) -> None:
    (site.pins / "2" / "links" / "p0").unlink()


def test_tunnel_for_other_addresses(site: Site) -> None:
    program = site.endpoints[2].program
    assert program is not None
    program.close()
    site.endpoints[2].unwrap(site.pins / "2", balancers="9.9.9.9/32")

    cause = site.cause(site.paths(), site.target(2))

    assert "its tunnel is missing or for other addresses" in cause


def test_filter_at_the_endpoint(site: Site) -> None:
    """Tunnels end at the address of p0, and the way back is by p9, where it is known by."""
    endpoint = site.endpoints[2].namespace
    connect(endpoint, "p9", site.router, "e9")
    endpoint.ip("addr add 10.9.0.2/24 dev p9")
    site.router.ip("addr add 10.9.0.254/24 dev e9")
    endpoint.ip("route add 10.1.0.0/24 via 10.9.0.254")
    endpoint.sysctl("net.ipv4.conf.p0.rp_filter=1")
    known_as = ip_address("10.9.0.2")
    target = replace(site.target(2), endpoint=known_as)

    cause = site.cause({(known_as, IPIP): site.path(2, 4)}, target)

    assert "its rp_filter=1 drops them" in cause
    assert cause.startswith("10.9.0.2 is alive")


@pytest.mark.parametrize(
    ("is_told", "words"),
    [
        (True, f"says that the next link takes 1300 bytes, and packets to {E2} may have {MTU}"),
        (False, f"some link to {E2} takes less than the {MTU} bytes"),
    ],
)
def test_link_that_is_too_small(site: Site, *, is_told: bool, words: str) -> None:
    if is_told:
        site.router.ip("link set e2 mtu 1300")
    else:  # an interface that takes less drops the rest without a word
        site.endpoints[2].namespace.ip("route change default via 10.2.0.254 advmss 1460")
        site.endpoints[2].namespace.ip("link set p0 mtu 1300")
    target = site.target(2)

    async def work(tunnel: TunnelPaths) -> tuple[str, str]:
        arrived = await send_full_segment(tunnel, site)
        return arrived, tunnel.likely_cause(target, "path MTU too small: a packet of 1480 bytes")

    arrived, cause = site.probing(site.paths(), work)

    assert arrived == "small only"
    assert words in cause


def test_full_segment_arrives_where_all_is_well(well: Site) -> None:
    arrived = well.probing(well.paths(), lambda tunnel: send_full_segment(tunnel, well))

    assert arrived == "full"
    accepted(well)


async def send_full_segment(tunnel: TunnelPaths, site: Site) -> str:
    """Whether an endpoint gets a segment that fills the path: 1,480 bytes, headers included."""
    way = tunnel.way_of(site.target(2))
    assert way is not None
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as prober:
        prober.setblocking(False)  # noqa: FBT003
        take(prober, way)
        await loop.sock_connect(prober, (str(VIP[4]), PORT))
        connection, _ = site.endpoints[2].servers[0].accept()
        with connection:
            connection.setblocking(False)  # noqa: FBT003
            size = prober.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            assert size == MTU - 20 - 20 - 32
            await loop.sock_sendall(prober, bytes(size))
            try:
                async with asyncio.timeout(ANSWER_S):
                    return "full" if len(await loop.sock_recv(connection, 4096)) == size else "part"
            except TimeoutError:
                return "small only"


def test_endpoint_without_a_path(site: Site) -> None:
    target = site.target(2)

    words = site.probe(site.paths(numbers=(3,)), target)
    cause = site.cause(site.paths(numbers=(3,)), target)

    assert words == "no path"
    assert cause == f"this node knows no way to {E2}; its status says what is missing"


def test_endpoint_that_the_router_cannot_reach(site: Site) -> None:
    site.router.ip("addr del 10.2.0.254/24 dev e2")

    cause = site.cause(site.paths(), site.target(2))

    assert cause == f"10.1.0.254 says that {E2} cannot be reached"


def test_filter_of_this_node(site: Site) -> None:
    site.lb.sysctl("net.ipv4.conf.p0.rp_filter=1")
    site.lb.ip(f"route add {VIP[4]} via 10.4.0.2")

    cause = site.cause(site.paths(), site.target(2))

    assert cause == (
        f"rp_filter=1 of p0 on this node drops the answers, as {VIP[4]} is not routed that way; "
        "set it to 0 or 2"
    )


def test_vip_that_is_an_address_of_this_node(site: Site) -> None:
    site.lb.ip(f"addr add {VIP[4]} dev lo")

    cause = site.cause(site.paths(), site.target(2))

    assert cause == (
        f"{VIP[4]} is an address of this node, which answers its probes itself; remove it from here"
    )


def test_node_without_an_address_of_the_family(site: Site) -> None:
    for command in (f"addr del {OWN[6]}/64 dev p0", "addr del fd04::1/64 dev p1"):
        site.lb.ip(command)

    words = site.probe(site.paths(), site.target(2, 6))
    cause = site.cause(site.paths(), site.target(2, 6))

    assert words == "no path"
    assert cause == (
        f"this node has no IPv6 address to probe {VIP[6]} from; add one, or set path: direct"
    )


def test_endpoint_that_is_silent_everywhere(site: Site) -> None:
    for family in (4, 6):
        address = site.endpoints[2].address(family)
        site.endpoints[2].namespace.ip(f"addr del {address}/{24 if family == 4 else 64} dev p0")
    site.router.ip(f"neigh replace {E2} lladdr 02:00:00:00:00:99 dev e2")
    target = site.target(2)

    async def work(tunnel: TunnelPaths) -> list[str]:
        words = [tunnel.likely_cause(target, "timeout")]
        await asyncio.sleep(1.2)
        return [*words, tunnel.likely_cause(target, "timeout")]

    first, second = site.probing(site.paths(), work)

    assert first.startswith(f"{E2} is down, its tunnel is missing,")
    assert second == f"{E2} is silent at its own address, too: down, or cut off"


def test_direct_probe_that_is_refused(well: Site) -> None:
    target = replace(well.target(2), probe=Probe(path=ProbePath.DIRECT))

    async def work(tunnel: TunnelPaths) -> list[str]:
        return [tunnel.likely_cause(target, words) for words in ("refused", "timeout")]

    assert well.probing(well.paths(), work) == [
        f"nothing listens on port {PORT} at {E2}; start the service there",
        "",
    ]
