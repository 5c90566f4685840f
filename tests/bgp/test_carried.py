"""What sessions carry, as both speakers tell it, against real routers."""

import pytest

from tests.bgp.namespaces import eventually
from tests.bgp.support import Network, bgp_section

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP6 = "2001:db8::1"
PREFIXES = f"{VIP}/32", f"{VIP6}/128"
BOTH = ["ipv4", "ipv6"]


@pytest.mark.parametrize("model", ["bird", "frr"])
@pytest.mark.parametrize("carried", [["ipv4"], BOTH], ids=["one", "both"])
def test_the_families_that_a_router_agreed_to_are_told_and_those_missing_are_an_alarm(
    network: Network, kind: str, model: str, carried: list[str]
) -> None:
    start = network.frr if model == "frr" else network.router
    router = start(both_families=carried == BOTH)
    host = network.host(bgp_section(router, speaker=kind, families=BOTH))

    host.announce(*PREFIXES)
    eventually(lambda: host.is_up(router.address) and router.has(VIP))

    assert host.ask(do="families") == {router.address: carried}
    alarms = host.ask(do="alarms")
    expected = [] if carried == BOTH else [f"BGP with {router.address} carries no ipv6 prefixes"]
    assert [alarm.partition(":")[0] for alarm in alarms] == expected
    if carried == BOTH:
        eventually(lambda: router.has(VIP6))


def test_ipv4_by_ipv6_next_hops_is_an_alarm_where_the_router_does_not_take_them(
    network: Network,
) -> None:
    """With ExaBGP; BIRD then says an IPv4 next hop, which the router does take."""
    router = network.router(both_families=True)
    section = bgp_section(router, families=BOTH, extended_next_hop=True)
    section["peers"][0]["address"] = router.address6
    host = network.host(section)

    host.announce(*PREFIXES)
    eventually(lambda: router.has(VIP6))

    assert host.ask(do="families") == {router.address6: ["ipv6"]}
    (alarm,) = host.ask(do="alarms")
    assert "carries no ipv4 prefixes" in alarm
    assert "with extended next hops" in alarm
    assert not router.has(VIP)


def test_a_successor_knows_what_sessions_carry_and_what_they_cannot_say(
    network: Network, kind: str
) -> None:
    router = network.router(both_families=True)
    network.lb.ip("address", "delete", "fd09:1::1/64", "dev", "r1")
    section = bgp_section(router, speaker=kind, families=BOTH)
    first = network.host(section)
    first.announce(*PREFIXES, "2001:db8::2/128")
    eventually(lambda: router.has(VIP))
    eventually(lambda: first.ask(do="unsaid"))
    told = [first.ask(do="unsaid"), first.ask(do="alarms")]
    first.kill()

    second = network.host(section)
    eventually(lambda: second.is_up(router.address))
    again = [second.ask(do="unsaid"), second.ask(do="alarms")]
    second.announce(*PREFIXES, {"prefix": "2001:db8::2/128", "next_hop": "fd09:1::9"})
    eventually(lambda: second.ask(do="unsaid") == {router.address: [PREFIXES[1]]})
    second.announce(PREFIXES[0])
    eventually(lambda: second.ask(do="unsaid") == {})

    assert told == again
    assert told[0] == {router.address: [PREFIXES[1], "2001:db8::2/128"]}
    assert f"{router.address} is not told of {PREFIXES[1]} and 1 more" in told[1][0]
    assert second.ask(do="families") == {router.address: BOTH}
    assert second.ask(do="alarms") == []
