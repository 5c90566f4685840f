"""How routers hear of prefixes from both speakers: families, next hops and attributes."""

from typing import Any

import pytest

from tests.bgp.namespaces import eventually
from tests.bgp.routers import BirdRouter
from tests.bgp.support import Host, Network, bgp_section

pytestmark = pytest.mark.netns

VIP4 = "20.20.20.1/32"
VIP6 = "2001:db8:20::1/128"
KEY = "it's-#;{}-ok"


def heard(router: BirdRouter, host: Host, announcement: dict[str, Any]) -> str:
    """What a router knows of a prefix once it has heard of it."""
    host.announce(announcement)
    return eventually(lambda: router.heard(announcement["prefix"]))


def attributes(shown: str) -> dict[str, str]:
    """BGP's attributes in what BIRD shows of a route."""
    pairs = (line.strip().partition(":") for line in shown.splitlines() if "BGP." in line)
    return {name.removeprefix("BGP."): value.strip() for name, _, value in pairs}


def test_a_prefix_goes_to_the_sessions_of_its_family(network: Network, kind: str) -> None:
    router = network.router()
    section = bgp_section(router, speaker=kind)
    section["peers"].append({"address": router.address6, "as": 65001})
    host = network.host(section)

    host.announce(VIP4, VIP6)

    eventually(lambda: router.has("20.20.20.1") and router.has("2001:db8:20::1"))
    eventually(lambda: host.is_up(router.address) and host.is_up(router.address6))
    assert "via 10.9.1.1 " in router.route("20.20.20.1")
    assert "via fd09:1::1 " in router.route("2001:db8:20::1")


def test_a_router_sees_med_and_communities_and_their_change(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    first = {"prefix": VIP4, "med": 50, "communities": ["64512:7", "64512:1:2", "64512:9"]}
    before = attributes(heard(router, host, first))
    host.announce({"prefix": VIP4, "med": 60, "communities": ["65535:0"]})
    eventually(lambda: "BGP.med: 60" in router.heard(VIP4))
    after = attributes(router.heard(VIP4))

    assert before["med"] == "50"
    assert set(before["community"].split()) == {"(64512,7)", "(64512,9)"}
    assert before["large_community"] == "(64512, 1, 2)"
    assert before["next_hop"] == "10.9.1.1"
    assert before["as_path"] == "64512"
    assert after["community"] == "(65535,0)"
    assert "large_community" not in after


def test_an_external_router_sees_the_path_prepended_and_no_local_preference(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    seen = attributes(heard(router, host, {"prefix": VIP4, "prepend": 2, "local_pref": 300}))

    assert seen["as_path"] == "64512 64512 64512"
    assert seen["local_pref"] == "100"  # what BIRD itself gives to external routes


def test_an_internal_router_sees_the_local_preference_and_an_empty_path(
    network: Network, kind: str
) -> None:
    router = network.router(as_number=64512)
    section = bgp_section(router, speaker=kind)
    section["peers"][0]["as"] = 64512
    host = network.host(section)

    wanted = {"prefix": VIP4, "med": 9, "prepend": 2, "local_pref": 300}
    seen = attributes(heard(router, host, wanted))

    assert seen["med"] == "9"
    assert seen["local_pref"] == "300"
    assert seen["as_path"] == ""


def test_a_next_hop_may_be_given(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    seen = attributes(heard(router, host, {"prefix": VIP4, "next_hop": "10.9.1.77"}))

    assert seen["next_hop"] == "10.9.1.77"


def test_a_next_hop_of_the_other_family_is_not_taken(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    seen = attributes(heard(router, host, {"prefix": VIP4, "next_hop": "fd09:1::77"}))

    assert seen["next_hop"] == "10.9.1.1"


@pytest.mark.parametrize("model", ["bird", "frr"])
@pytest.mark.parametrize(
    ("session", "prefix", "next_hop"),
    [
        pytest.param(4, VIP6, "fd09:1::1", id="IPv6 over IPv4"),
        pytest.param(6, VIP4, "10.9.1.1", id="IPv4 over IPv6"),
    ],
)
def test_a_session_carries_the_other_family_where_asked(  # noqa: PLR0917 - a table
    network: Network, kind: str, model: str, session: int, prefix: str, next_hop: str
) -> None:
    router = (network.frr if model == "frr" else network.router)(both_families=True)
    peer = router.address if session == 4 else router.address6
    section = bgp_section(router, speaker=kind)
    section["peers"] = [{"address": peer, "as": 65001, "families": ["ipv4", "ipv6"]}]
    host = network.host(section)

    host.announce(prefix)
    eventually(lambda: router.has(prefix.partition("/")[0]))

    route = router.route(prefix.partition("/")[0])
    assert f"via {next_hop} " in route or "via fe80:" in route  # FRR prefers the link-local one


def test_ipv4_has_an_ipv6_next_hop_where_asked(network: Network, kind: str) -> None:
    router = network.router(both_families=True, extended=True)
    section = bgp_section(router, speaker=kind)
    peer = {"address": router.address6, "as": 65001, "families": ["ipv4", "ipv6"]}
    section["peers"] = [peer | {"extended_next_hop": True}]
    host = network.host(section)

    seen = attributes(heard(router, host, {"prefix": VIP4}))

    assert seen["next_hop"].split()[0] == "fd09:1::1"
    assert "via inet6 f" in router.route("20.20.20.1")


def test_a_session_without_an_address_of_the_other_family_carries_the_rest(
    network: Network, kind: str
) -> None:
    router = network.router(both_families=True)
    network.lb.ip("-6", "address", "flush", "dev", "r1", "scope", "global")
    host = network.host(
        bgp_section(router, speaker=kind, families=["ipv4", "ipv6"]),
    )

    host.announce(VIP4, VIP6)

    eventually(lambda: router.has("20.20.20.1"))
    assert host.is_up(router.address)
    assert not router.has("2001:db8:20::1")


def test_an_aggregate_is_a_prefix_as_any_other(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    host.announce("20.20.0.0/16")

    eventually(lambda: router.has("20.20.0.0/16"))


def test_frr_hears_of_an_announcement_and_its_withdrawal(network: Network, kind: str) -> None:
    router = network.frr()
    host = network.host(bgp_section(router, speaker=kind))

    host.announce({"prefix": VIP4, "med": 50, "communities": ["64512:1:2"], "prepend": 1})
    eventually(lambda: router.has("20.20.20.1"))
    host.announce()

    eventually(lambda: not router.has("20.20.20.1"))


@pytest.mark.parametrize("model", ["bird", "frr"])
def test_a_session_is_authenticated(network: Network, kind: str, model: str) -> None:
    router = (network.frr if model == "frr" else network.router)(password=KEY)
    host = network.host(bgp_section(router, speaker=kind, password=KEY))

    host.announce(VIP4)

    eventually(lambda: router.has("20.20.20.1"))


@pytest.mark.parametrize("model", ["bird", "frr"])
def test_a_wrong_password_gives_no_session_and_harms_no_other(
    network: Network, kind: str, model: str
) -> None:
    make = network.frr if model == "frr" else network.router
    right, wrong = make(1, password=KEY), make(2, password=KEY)
    section = bgp_section(right, wrong, speaker=kind, password=KEY)
    section["peers"][1]["password"] = KEY[1:]
    host = network.host(section)

    host.announce(VIP4)
    eventually(lambda: right.has("20.20.20.1"))
    eventually(lambda: wrong.refused_keys() > 2)  # both ends have tried

    assert not host.is_up(wrong.address)
    assert not wrong.has("20.20.20.1")
    assert right.refused_keys() == 0
    host.ask(do="configure", bgp=bgp_section(right, wrong, speaker=kind, password=KEY))
    eventually(lambda: wrong.has("20.20.20.1"))


@pytest.mark.parametrize("model", ["bird", "frr"])
@pytest.mark.parametrize("session", [4, 6])
def test_both_ends_demand_a_ttl_of_255(
    network: Network, kind: str, model: str, session: int
) -> None:
    router = (network.frr if model == "frr" else network.router)(gtsm=True)
    section = bgp_section(router, speaker=kind)
    peer = router.address if session == 4 else router.address6
    section["peers"] = [{"address": peer, "as": 65001, "gtsm": True}]
    host = network.host(section)

    host.announce(VIP4, VIP6)

    eventually(lambda: router.has("20.20.20.1" if session == 4 else "2001:db8:20::1"))


def test_a_session_that_demands_a_ttl_of_255_takes_no_less(network: Network, kind: str) -> None:
    careless = network.router()  # BIRD sends with a TTL of 1
    host = network.host(bgp_section(careless, speaker=kind, gtsm=True))
    other = network.router(2, gtsm=True)
    host.ask(
        do="configure",
        bgp=bgp_section(careless, other, speaker=kind, gtsm=True),
    )

    host.announce(VIP4)
    eventually(lambda: other.has("20.20.20.1"))

    assert not host.is_up(careless.address)


def test_a_session_may_have_several_hops(network: Network, kind: str) -> None:
    router = network.router(multihop=4)
    host = network.host(bgp_section(router, speaker=kind, multihop=4, local_address="10.9.1.1"))

    host.announce(VIP4)

    eventually(lambda: router.has("20.20.20.1"))


def test_a_hold_time_is_agreed_on(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind, hold_time_s=30))

    eventually(lambda: host.is_up(router.address))

    shown = router.ask("show", "protocols", "all", "lb_ipv4")
    assert next(line for line in shown.splitlines() if "Hold timer" in line).endswith("/30")
