"""The main routing table as people read it, from a real kernel."""

from ipaddress import ip_address, ip_network

import pytest

from headrace.model import IPNetwork
from headrace.underlay import MainRoute, read_main_routes
from tests.underlay.network import Namespace

pytestmark = pytest.mark.netns

STATIC, KERNEL, BIRD = 4, 2, 12


def routes(node: Namespace, limit: int = 1000) -> dict[IPNetwork, MainRoute]:
    return {each.destination: each for each in node.inside(lambda: read_main_routes(limit))}


def test_routes_of_both_families_are_read_with_their_gateways(lb: Namespace) -> None:
    lb.ip("addr add 2001:db8::1/64 dev p0")
    lb.ip("route add default via 10.0.0.2 proto static")
    lb.ip("route add 56.56.56.0/24 proto bird nexthop via 10.0.0.2 nexthop via 10.0.1.2")
    lb.ip("route add 2001:db8:1::/48 via 2001:db8::2 proto static")

    found = routes(lb)

    first, second, sixth = map(ip_address, ("10.0.0.2", "10.0.1.2", "2001:db8::2"))
    for prefix, gateways, protocol in (
        ("10.0.0.0/24", (), KERNEL),
        ("0.0.0.0/0", (first,), STATIC),
        ("56.56.56.0/24", (first, second), BIRD),
        ("2001:db8::/64", (), KERNEL),
        ("2001:db8:1::/48", (sixth,), STATIC),
    ):
        network = ip_network(prefix)
        assert found[network] == MainRoute(network, gateways, protocol)


def test_routes_that_carry_no_packet_or_are_of_other_tables_are_left_out(lb: Namespace) -> None:
    lb.ip("route add blackhole 57.57.57.0/24")
    lb.ip("route add 58.58.58.0/24 via 10.0.0.2 table 100")

    found = {str(prefix) for prefix in routes(lb)}

    assert {"10.0.0.0/24", "10.0.1.0/24"} <= found
    assert not found & {"57.57.57.0/24", "58.58.58.0/24", "10.0.0.1/32", "127.0.0.0/8"}


def test_a_long_table_is_read_only_as_far_as_it_is_asked_for(lb: Namespace) -> None:
    for number in range(50):
        lb.ip(f"route add 60.60.{number}.0/24 via 10.0.0.2")

    assert len(routes(lb, limit=3)) == 3
    assert len(routes(lb)) >= 50
