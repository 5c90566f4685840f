"""From a target to the outer header and the legs that it may leave by."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest

from headrace.model import Encapsulation, OuterSources, Target, Tunnel, Unresolved
from headrace.underlay.outer import Outer, outer_header
from headrace.underlay.snapshot import Link, Route, TunnelEnds
from tests.underlay.values import Table, by_index, direct, leg, link, tunnel_device

# Node llb1 of the seed: 31.31.31.1 is ep1 behind a bridge, 56.56.56.1 its loopback address.
VETH = link(2, "ellb1ep1")
TUNNEL = tunnel_device(5, "ipip11", "ipip", "31.31.31.253", "31.31.31.1")
ENDPOINT = ip_address("56.56.56.1")
REMOTE = ip_address("31.31.31.1")
LOCAL = ip_address("31.31.31.253")
IPIP, GUE, L2 = Encapsulation
NO_SOURCE = OuterSources()
EVERY_SOURCE = OuterSources(IPv4Address("10.0.0.8"), IPv6Address("2001:db8::8"))


def outer(
    endpoint: str,
    table: Table,
    *links: Link,
    encapsulation: Encapsulation = IPIP,
    tunnel: Tunnel | None = None,
    sources: OuterSources = NO_SOURCE,
) -> Outer | Unresolved:
    target = Target(ip_address(endpoint), encapsulation)
    return outer_header(target, tunnel, sources, by_index(links), table)


@pytest.mark.parametrize("encapsulation", [IPIP, GUE])
@pytest.mark.parametrize(
    "route",
    [
        pytest.param(Route((leg(5, "45.45.1.1", "45.45.1.254"),)), id="via the tunnel's far end"),
        pytest.param(direct(5, "45.45.1.254"), id="by the tunnel device"),
    ],
)
def test_a_tunnel_device_on_the_route_gives_the_outer_addresses(
    route: Route, encapsulation: Encapsulation
) -> None:
    table = Table({"56.56.56.1": route, "31.31.31.1": direct(2, "31.31.31.253")})

    header = outer("56.56.56.1", table, VETH, TUNNEL, encapsulation=encapsulation)

    target = Target(ENDPOINT, encapsulation)
    assert header == Outer(target, REMOTE, LOCAL, (leg(2, None, "31.31.31.253"),))


@pytest.mark.parametrize(
    ("kind", "endpoint", "local", "remote"),
    [
        pytest.param("ipip", "56.56.56.1", "10.0.0.1", "10.0.0.2", id="v4 in v4"),
        pytest.param("sit", "2001:db8::1", "10.0.0.1", "10.0.0.2", id="v6 in v4"),
        pytest.param("ip6tnl", "56.56.56.1", "fd00::1", "fd00::2", id="v4 in v6"),
        pytest.param("ip6tnl", "2001:db8::1", "fd00::1", "fd00::2", id="v6 in v6"),
    ],
)
def test_the_outer_family_is_that_of_the_tunnel_device(
    kind: str, endpoint: str, local: str, remote: str
) -> None:
    device = tunnel_device(5, "tun5", kind, local, remote)
    table = Table({endpoint: direct(5), remote: direct(2)})

    header = outer(endpoint, table, VETH, device, sources=EVERY_SOURCE)

    expected = (ip_address(remote), ip_address(local), (leg(2),))
    assert header == Outer(Target(ip_address(endpoint)), *expected)


def test_a_tunnel_device_from_any_address_sends_from_the_documents_source() -> None:
    device = tunnel_device(5, "tun5", "ip6tnl", None, "fd00::2")
    table = Table({"56.56.56.1": direct(5), "fd00::2": direct(2)})

    header = outer("56.56.56.1", table, VETH, device, sources=EVERY_SOURCE)

    assert isinstance(header, Outer)
    assert header.source == EVERY_SOURCE.v6


def test_a_tunnel_of_the_document_wins_over_the_route() -> None:
    table = Table({"56.56.56.1": direct(5), "32.32.32.1": direct(2, "32.32.32.253")})
    tunnel = Tunnel(ENDPOINT, ip_address("32.32.32.99"), ip_address("32.32.32.1"))

    header = outer("56.56.56.1", table, VETH, TUNNEL, tunnel=tunnel, sources=EVERY_SOURCE)

    legs = (leg(2, None, "32.32.32.253"),)
    assert header == Outer(Target(ENDPOINT), tunnel.remote, tunnel.local, legs)


@pytest.mark.parametrize("encapsulation", [IPIP, GUE])
@pytest.mark.parametrize("endpoint", ["56.56.56.1", "2001:db8::1"])
def test_without_a_tunnel_the_endpoint_itself_is_the_outer_destination(
    endpoint: str, encapsulation: Encapsulation
) -> None:
    table = Table({endpoint: Route((leg(2, "31.31.31.1", "31.31.31.253"),))})

    header = outer(endpoint, table, VETH, encapsulation=encapsulation)

    target = Target(ip_address(endpoint), encapsulation)
    assert header == Outer(target, target.endpoint, None, (leg(2, "31.31.31.1", "31.31.31.253"),))


@pytest.mark.parametrize(
    ("endpoint", "stated", "sources", "expected", "hashed"),
    [
        pytest.param(
            "10.1.0.1", "10.0.0.9", EVERY_SOURCE, "10.0.0.8", False, id="the document's is first"
        ),
        pytest.param("fd00::9", None, EVERY_SOURCE, "2001:db8::8", False, id="by family"),
        pytest.param(
            "10.1.0.1",
            None,
            OuterSources(v4=IPv4Network("172.16.0.0/16")),
            "172.16.0.0",
            True,
            id="an IPv4 prefix leaves 16 bits to the hash",
        ),
        pytest.param(
            "fd00::9",
            "fd00::8",
            OuterSources(v6=IPv6Network("2001:db8::7:0/112")),
            "2001:db8::7:0",
            True,
            id="an IPv6 prefix, too",
        ),
        pytest.param(
            "10.1.0.1", "10.0.0.9", NO_SOURCE, "10.0.0.9", False, id="then the route's own"
        ),
        pytest.param(
            "10.1.0.1",
            "10.0.0.9",
            OuterSources(v6=EVERY_SOURCE.v6),
            "10.0.0.9",
            False,
            id="one of another family counts for nothing",
        ),
        pytest.param("10.1.0.1", "fd00::8", NO_SOURCE, None, False, id="nor does the route's then"),
        pytest.param("10.1.0.1", None, NO_SOURCE, None, False, id="none: that of the leg"),
    ],
)
def test_the_outer_source_is_the_first_one_stated_of_the_family(
    endpoint: str, stated: str | None, sources: OuterSources, expected: str | None, *, hashed: bool
) -> None:
    source = ip_address(stated) if stated else None
    table = Table({endpoint: Route((leg(2, "10.0.0.1", "10.0.0.7"),), source)})

    header = outer(endpoint, table, VETH, sources=sources)

    assert isinstance(header, Outer)
    assert header.source == (ip_address(expected) if expected else None)
    assert header.source_hashed == hashed


def test_a_tunnel_device_bound_to_a_device_takes_the_route_by_it() -> None:
    ends = TunnelEnds(LOCAL, REMOTE, parent=2)
    bound = link(5, "ipip11", "ipip", mac=None, tunnel=ends)
    table = Table({"56.56.56.1": direct(5), ("31.31.31.1", 2): direct(2)})

    header = outer("56.56.56.1", table, VETH, bound)

    assert header == Outer(Target(ENDPOINT), REMOTE, LOCAL, (leg(2),))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        pytest.param(
            tunnel_device(5, "tunl0", "ipip", None, None),
            "tunl0 has no remote address; give it one",
            id="tunl0",
        ),
        pytest.param(
            link(5, "fou1", "ipip", tunnel=TunnelEnds(LOCAL, REMOTE, plain=False)),
            "fou1 adds more than an IP header",
            id="fou",
        ),
    ],
)
def test_a_tunnel_device_that_cannot_be_replaced_is_refused_by_name(
    device: Link, words: str
) -> None:
    header = outer("56.56.56.1", Table({"56.56.56.1": direct(5)}), VETH, device)

    assert isinstance(header, Unresolved)
    assert words in header.reason


@pytest.mark.parametrize("encapsulation", Encapsulation)
def test_an_address_without_a_route_is_named_with_the_reason(encapsulation: Encapsulation) -> None:
    header = outer("9.9.9.9", Table({}), encapsulation=encapsulation)

    assert header == Unresolved("9.9.9.9 has no route")


def test_a_tunnels_remote_without_a_route_is_named_with_the_reason() -> None:
    header = outer("56.56.56.1", Table({"56.56.56.1": direct(5)}), TUNNEL)

    assert header == Unresolved("31.31.31.1 has no route")


@pytest.mark.parametrize("endpoint", ["10.0.0.2", "fd00::2"])
def test_l2_takes_the_legs_to_an_attached_endpoint_and_no_source(endpoint: str) -> None:
    legs = (leg(2, "10.0.0.1"), leg(2, endpoint), leg(2))
    tunnel = Tunnel(ip_address(endpoint), LOCAL, REMOTE)
    table = Table({endpoint: Route(legs, ip_address("10.0.0.9"))})

    header = outer(endpoint, table, VETH, encapsulation=L2, tunnel=tunnel, sources=EVERY_SOURCE)

    target = Target(ip_address(endpoint), L2)
    assert header == Outer(target, target.endpoint, None, legs[1:])


@pytest.mark.parametrize(
    ("route", "behind"),
    [
        pytest.param(Route((leg(2, "10.0.0.1"),)), "the router 10.0.0.1", id="router"),
        pytest.param(direct(5), "the tunnel device ipip11", id="tunnel"),
    ],
)
def test_l2_refuses_an_endpoint_that_is_not_attached(route: Route, behind: str) -> None:
    header = outer("56.56.56.1", Table({"56.56.56.1": route}), VETH, TUNNEL, encapsulation=L2)

    assert header == Unresolved(
        f"56.56.56.1 is behind {behind}, and l2 reaches attached networks only; "
        "attach this node to the endpoint's network, or use encapsulation ipip or gue"
    )
