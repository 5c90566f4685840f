"""IPv6, attached endpoints, several legs and learned MTUs: answers from the real kernel."""

import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv6Address, IPv6Network, ip_address

import pytest

from headrace.model import (
    Encapsulation,
    IPAddress,
    NextHop,
    OuterSources,
    Path,
    Target,
    Tunnel,
    Unresolved,
)
from headrace.underlay.memory import LAST_MAC_S
from tests.underlay.network import Namespace, connect, namespaces
from tests.underlay.node import Node, by, is_path

pytestmark = pytest.mark.netns

GUE, L2 = Encapsulation.GUE, Encapsulation.L2
LEARN_S = 5.0
"""More than neighbour discovery and an ICMP error take on a busy machine."""


@pytest.fixture
def dual(lb: Namespace, peer: Namespace) -> None:
    """The node's wires with IPv6 too: fd00:0::1 on p0, fd00:1::1 on p1, the peer has ::2."""
    for number in (0, 1):
        lb.ip(f"-6 addr add fd00:{number}::1/64 dev p{number} nodad")
        peer.ip(f"-6 addr add fd00:{number}::2/64 dev p{number} nodad")


async def answer_to(
    node: Node, target: Target, sources: OuterSources, tunnel: Tunnel | None = None
) -> Path | Unresolved:
    """How one target is reached now."""
    tunnels = {} if tunnel is None else {target.endpoint: tunnel}
    return (await node.underlay.resolve([target], tunnels, sources))[target]


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize("encapsulation", [Encapsulation.IPIP, GUE])
async def test_an_ipv6_endpoint_behind_a_router_is_reached_by_the_routers_mac(
    node: Node, lb: Namespace, peer: Namespace, encapsulation: Encapsulation
) -> None:
    lb.ip("-6 route add 2001:db8::/64 via fd00:0::2 mtu 1400")
    target = Target(ip_address("2001:db8::9"), encapsulation)

    answer = await answer_to(node, target, OuterSources())

    assert answer == Path(
        outer_source=ip_address("fd00:0::1"),
        outer_destination=target.endpoint,
        next_hop=NextHop(lb.index("p0"), lb.mac("p0"), peer.mac("p0")),
        mtu_bytes=1400,
        encapsulation=encapsulation,
    )


@pytest.mark.usefixtures("dual")
async def test_an_ipv6_prefix_as_source_leaves_its_low_bits_to_the_hash(node: Node) -> None:
    sources = OuterSources(v6=IPv6Network("2001:db8:5::/112"))

    answer = await answer_to(node, Target(ip_address("fd00:0::2"), GUE), sources)

    assert isinstance(answer, Path)
    assert (answer.outer_source, answer.source_hashed) == (ip_address("2001:db8:5::"), True)


@pytest.mark.usefixtures("dual")
async def test_a_tunnel_of_the_document_may_be_of_the_other_family(
    node: Node, lb: Namespace, peer: Namespace
) -> None:
    endpoint = ip_address("56.56.56.1")
    tunnel = Tunnel(endpoint, ip_address("fd00:1::1"), ip_address("fd00:1::2"))

    answer = await answer_to(node, Target(endpoint), OuterSources(), tunnel)

    hop = NextHop(lb.index("p1"), lb.mac("p1"), peer.mac("p1"))
    assert answer == Path(tunnel.local, tunnel.remote, hop, 1500)


async def test_an_ipv6_route_by_a_link_local_gateway_needs_a_source_beyond_the_link(
    node: Node, lb: Namespace, peer: Namespace
) -> None:
    peer.ip("-6 addr add fe80::99/64 dev p0 nodad")
    lb.ip("-6 addr add fe80::1/64 dev p0 nodad")
    lb.ip("-6 route add 2001:db8::/64 via fe80::99 dev p0")
    target = Target(ip_address("2001:db8::9"))

    without = await answer_to(node, target, OuterSources())
    answer = await answer_to(node, target, OuterSources(v6=IPv6Address("2001:db8:5::1")))

    reason = "p0 has no address to send to 2001:db8::9 from; set node.source6"
    assert without == Unresolved(reason)
    assert isinstance(answer, Path)
    assert answer.next_hop.destination_mac == peer.mac("p0")


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("addr add 2001:db8::9/128 dev lo", "2001:db8::9 is an address of this node"),
        ("route add blackhole 2001:db8::9", "2001:db8::9 has a route of type blackhole"),
        ("route add unreachable 2001:db8::9", "2001:db8::9 has a route of type unreachable"),
        ("route add prohibit 2001:db8::9", "2001:db8::9 has a route of type prohibit"),
        (
            "route flush table main",
            "2001:db8::9 has no route; add one, or name a tunnel in node.tunnels",
        ),
        (
            "route add 2001:db8::9 via fd00:0::77",
            "fd00:0:0:0:0:0:0:77 on p0 has not answered neighbour discovery yet",
        ),
    ],
)
async def test_an_ipv6_endpoint_that_cannot_be_reached_says_why(
    node: Node, lb: Namespace, command: str, reason: str
) -> None:
    lb.ip(f"-6 {command}")

    answer = await node.path("2001:db8::9")

    assert answer == Unresolved(reason.replace("fd00:0:0:0:0:0:0:77", "fd00::77"))


@pytest.mark.usefixtures("dual")
async def test_an_ipv6_neighbour_is_kept_resolved_and_its_last_mac_serves_for_a_while(
    node: Node, lb: Namespace, peer: Namespace
) -> None:
    before = await node.path("fd00:0::2")
    kept = node.neighbour("fd00:0::2", "p0")
    peer.ip("-6 addr del fd00:0::2/64 dev p0")
    lb.ip("-6 neigh replace fd00:0::2 dev p0 nud failed")

    assert await node.path("fd00:0::2") == before
    node.now += LAST_MAC_S
    assert isinstance(await node.path("fd00:0::2"), Unresolved)
    assert kept is not None
    assert kept.managed


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize("endpoint", ["10.0.1.2", "fd00:1::2"])
async def test_l2_sends_to_the_mac_of_an_attached_endpoint(
    node: Node, lb: Namespace, peer: Namespace, endpoint: str
) -> None:
    answer = await answer_to(node, Target(ip_address(endpoint), L2), OuterSources())

    hop = NextHop(lb.index("p1"), lb.mac("p1"), peer.mac("p1"))
    assert answer == Path(None, None, hop, 1500, encapsulation=L2)


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize(
    ("network", "endpoint", "router"),
    [
        ("56.56.56.0/24", "56.56.56.1", "10.0.0.2"),
        ("2001:db8::/64", "2001:db8::9", "fd00::2"),
    ],
)
async def test_l2_refuses_an_endpoint_behind_a_router(
    node: Node, lb: Namespace, network: str, endpoint: str, router: str
) -> None:
    lb.ip(f"route add {network} via {router}")

    answer = await answer_to(node, Target(ip_address(endpoint), L2), OuterSources())

    assert isinstance(answer, Unresolved)
    assert answer.reason.startswith(f"{endpoint} is behind the router {router}, and l2 reaches")


async def test_one_endpoint_may_be_asked_for_by_several_encapsulations(node: Node) -> None:
    targets = [Target(ip_address("10.0.0.2"), encapsulation) for encapsulation in Encapsulation]

    answers = await node.underlay.resolve(targets, {}, OuterSources())

    found = [path for path in answers.values() if isinstance(path, Path)]
    assert [path.encapsulation for path in found] == list(Encapsulation)
    assert len({path.next_hop for path in found}) == 1


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize(
    ("network", "first", "legs"),
    [
        ("99.0.0.0/8", "99.0.0.1", "nexthop via 10.0.0.2 nexthop via 10.0.1.2"),
        ("2001:db8::/64", "2001:db8::1", "nexthop via fd00:0::2 nexthop via fd00:1::2"),
    ],
)
async def test_endpoints_spread_over_a_multipath_route_and_stay_where_they_are(
    node: Node, lb: Namespace, network: str, first: str, legs: str
) -> None:
    lb.ip(f"route add {network} {legs}")
    targets = [Target(ip_address(first) + number) for number in range(200)]

    answers = await node.underlay.resolve(targets, {}, OuterSources())
    again = await node.underlay.resolve(reversed(targets), {}, OuterSources())

    counts = Counter(path.next_hop.ifindex for path in answers.values() if isinstance(path, Path))
    assert set(counts) == {lb.index("p0"), lb.index("p1")}
    assert all(70 <= count <= 130 for count in counts.values())
    assert again == answers


async def test_a_leg_that_loses_its_link_moves_its_endpoints_to_the_others(
    node: Node, lb: Namespace
) -> None:
    lb.ip("route add 99.0.0.0/8 nexthop via 10.0.0.2 nexthop via 10.0.1.2")
    targets = [Target(ip_address("99.0.0.1") + number) for number in range(20)]
    await node.underlay.resolve(targets, {}, OuterSources())
    lb.ip("link set p0 down")

    answers = await node.underlay.resolve(targets, {}, OuterSources())

    assert all(map(by(lb, "p1"), answers.values()))


@pytest.mark.usefixtures("dual")
async def test_an_ipv6_route_that_moves_is_noticed(node: Node, lb: Namespace) -> None:
    lb.ip("-6 route add 2001:db8::/64 via fd00:0::2")
    async with node.watching():
        await node.until("2001:db8::9", by(lb, "p0"))

        lb.ip("-6 route replace 2001:db8::/64 via fd00:1::2")

        await node.until("2001:db8::9", by(lb, "p1"))


async def test_an_ipv6_neighbour_behind_a_bridge_is_found_by_its_port(
    bridge_node: Node, bridged: tuple[Namespace, Namespace, Namespace]
) -> None:
    lb, left, _right = bridged
    lb.ip("-6 addr add fd00::1/64 dev br0 nodad")
    left.ip("-6 addr add fd00::2/64 dev p0 nodad")

    answer = await bridge_node.path("fd00::2")

    hop = NextHop(lb.index("p0"), lb.mac("br0"), left.mac("p0"))
    assert answer == Path(ip_address("fd00::1"), ip_address("fd00::2"), hop, 1500)


@pytest.fixture
def narrow() -> Iterator[tuple[Namespace, Namespace]]:
    """A node, a router that forwards, and behind it a link of MTU 1300 to 99.0.0.1 and fd99::1."""
    with namespaces("lb", "router", "far") as (lb, router, far):
        connect(lb, "p0", router, "p0")
        connect(router, "p1", far, "p0")
        router.sysctl("net.ipv4.ip_forward=1")
        router.sysctl("net.ipv6.conf.all.forwarding=1")
        for namespace, device, addresses in (
            (lb, "p0", ("10.0.0.1/24", "fd00::1/64")),
            (router, "p0", ("10.0.0.2/24", "fd00::2/64")),
            (router, "p1", ("99.0.0.2/24", "fd99::2/64")),
            (far, "p0", ("99.0.0.1/24", "fd99::1/64")),
        ):
            for address in addresses:
                nodad = "nodad" if ":" in address else ""
                namespace.ip(f"addr add {address} dev {device} {nodad}")
        router.ip("link set p1 mtu 1300")
        lb.ip("route add 99.0.0.0/24 via 10.0.0.2")
        lb.ip("-6 route add fd99::/64 via fd00::2")
        yield lb, router


@pytest.fixture
async def narrow_node(narrow: tuple[Namespace, Namespace]) -> AsyncIterator[Node]:
    made = Node(narrow[0])
    yield made
    made.underlay.close()


@pytest.mark.parametrize("endpoint", ["99.0.0.1", "fd99::1"])
async def test_a_path_mtu_that_the_kernel_has_learned_counts(
    narrow_node: Node, endpoint: str
) -> None:
    before = await narrow_node.path(endpoint)

    learn_path_mtu(narrow_node.namespace, ip_address(endpoint))

    after = await narrow_node.path(endpoint)
    assert is_path(before)
    assert isinstance(before, Path)
    assert isinstance(after, Path)
    assert (before.mtu_bytes, after.mtu_bytes) == (1500, 1300)


def learn_path_mtu(namespace: Namespace, destination: IPAddress) -> None:
    """Send what is too big for the path, and return when the kernel has been told so."""
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    level, discover, errors = (
        (socket.IPPROTO_IP, 10, 11) if destination.version == 4 else (socket.IPPROTO_IPV6, 23, 25)
    )

    def send_and_hear() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(level, discover, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            sender.setsockopt(level, errors, 1)  # IP_RECVERR
            sender.settimeout(LEARN_S)
            sender.connect((str(destination), 9))
            sender.send(bytes(1400))
            with pytest.raises(OSError, match="Message too long") as told:
                sender.recv(1)
            assert told.value.errno == errno.EMSGSIZE

    namespace.inside(send_and_hear)
