"""What an operator sees is of the moment of asking, however often it was asked before."""

import time
from ipaddress import ip_address, ip_network

import pytest

from headrace.control.kept import Kept
from headrace.control.status import StatusBuilder
from headrace.model import Family, Health, IPAddress, IPNetwork, SessionState, parse_document

from .test_controller import Node

TEXT = (
    "services:\n"
    "- {vip: 20.20.20.1, protocol: udp, port: 53, pool: web%s}\n"
    "- {vip: 20.20.20.2, protocol: udp, port: 53, pool: web}\n"
    "- {vip: 20.20.20.3, protocol: tcp, port: 80-82, endpoints: [{address: 57.0.0.1}]}\n"
    "pools: {web: {health: {}, endpoints: [{address: 56.0.0.1}, {address: 56.0.0.2%s}]}}\n"
)


def assert_status_is_of_now(node: Node) -> None:
    """One who has never looked before sees the same."""
    controller = node.controller
    shown, builder = controller.status(), controller._status
    controller._status = StatusBuilder(node.dataplane, node.speaker)
    first = controller.status()
    controller._status = builder
    assert shown.services == first.services
    assert shown.pools == first.pools
    assert shown.problems == first.problems


async def test_each_status_is_as_if_it_were_the_first() -> None:
    node = Node()
    await node.edit(parse_document(TEXT % ("", "")))
    assert_status_is_of_now(node)

    node.dataplane.packets = 5
    assert [each.received.packets for each in node.controller.status().services] == [5, 5, 15]
    assert_status_is_of_now(node)

    node.checker.believe(Health.DOWN, "56.0.0.2")
    await node.controller._reconcile()
    (_, sick), *_ = (each.endpoints for each in node.controller.status().services)
    assert sick.health is Health.DOWN
    assert_status_is_of_now(node)

    node.underlay.unreachable.add(ip_address("57.0.0.1"))
    await node.controller._reconcile()
    assert not node.controller.status().services[2].endpoints[0].reachable
    assert_status_is_of_now(node)

    await node.edit(parse_document(TEXT % (", name: dns", ", weight: 3")))
    dns = node.controller.status().services[0]
    assert (dns.name, dns.endpoints[1].weight) == ("dns", 3)
    assert_status_is_of_now(node)

    node.dataplane.services.clear()
    assert not any(each.forwarding for each in node.controller.status().services)
    assert_status_is_of_now(node)


async def test_the_views_of_services_that_nothing_has_happened_to_are_not_made_again() -> None:
    node = Node()
    await node.edit(parse_document(TEXT % ("", "")))
    before = node.controller.status().pools

    after = node.controller.status().pools

    assert all(one.endpoints is other.endpoints for one, other in zip(before, after, strict=True))


def test_a_value_is_kept_while_it_is_made_of_the_same_objects() -> None:
    kept, one, other = Kept[object](), object(), object()

    first = kept.of("a", (one, other), object)

    assert kept.of("a", (one, other), object) is first
    assert kept.of("b", (one, other), object) is not first
    assert kept.of("a", (other, one), object) is not first


def test_what_is_not_to_be_kept_is_made_again() -> None:
    kept, basis = Kept[object](), object()
    first, second = (kept.of(name, (basis,), object) for name in "ab")

    kept.keep({"b"})

    assert kept.of("b", (basis,), object) is second
    assert kept.of("a", (basis,), object) is not first


BGP = (
    "services:\n"
    "- {vip: 20.20.20.1, protocol: udp, port: 53, announce: true, endpoints: [{address: 57.0.0.1}]}"
    "\n"
    "- {vip: 'fd20::1', protocol: udp, port: 53, announce: true, endpoints: [{address: 57.0.0.1}]}"
    "\n"
    "bgp:\n"
    "  as: 64512\n"
    "  router_id: 10.0.0.1\n"
    "  peers:\n"
    "  - {address: 10.9.1.254, as: 65001, families: [ipv4, ipv6]}\n"
    "  - {address: 10.9.2.254, as: 65001, families: [ipv4, ipv6]}\n"
)
FIRST, SECOND = ip_address("10.9.1.254"), ip_address("10.9.2.254")
VIP4, VIP6 = ip_network("20.20.20.1/32"), ip_network("fd20::1/128")
NOT_AGREED = "no BGP session that is up carries IPv6 prefixes: the routers did not agree to them"
NO_HOP = "no BGP session that is up has an IPv6 address for the next hop"
ONLY_4, NO_6 = frozenset({Family.IPV4}), frozenset({VIP6})


@pytest.mark.parametrize(
    ("families", "unsaid", "down", "told", "why_not"),
    [
        pytest.param({}, {}, (), [2, 2], "", id="not known"),
        pytest.param({FIRST: frozenset(Family)}, {}, (), [2, 2], "", id="agreed"),
        pytest.param({FIRST: ONLY_4}, {}, (), [1, 2], "", id="one router has not agreed"),
        pytest.param(
            dict.fromkeys((FIRST, SECOND), ONLY_4), {}, (), [1, 1], NOT_AGREED, id="none has"
        ),
        pytest.param({FIRST: ONLY_4}, {}, (SECOND,), [1, 0], NOT_AGREED, id="that up has not"),
        pytest.param({}, {FIRST: NO_6}, (), [1, 2], "", id="one has no next hop"),
        pytest.param({}, {FIRST: NO_6, SECOND: NO_6}, (), [1, 1], NO_HOP, id="none has a next hop"),
        pytest.param({FIRST: ONLY_4}, {SECOND: NO_6}, (), [1, 1], NO_HOP, id="one of each"),
    ],
)
async def test_a_vip_is_announced_only_where_a_session_carries_and_can_say_it(
    families: dict[IPAddress, frozenset[Family]],
    unsaid: dict[IPAddress, frozenset[IPNetwork]],
    down: tuple[IPAddress, ...],
    told: list[int],
    why_not: str,
) -> None:
    node = Node()
    await node.edit(parse_document(BGP))
    before = node.controller.status()

    node.speaker.families |= families
    node.speaker.unsaid |= unsaid
    node.speaker.sessions |= dict.fromkeys(down, (SessionState.DOWN, time.monotonic()))
    status = node.controller.status()

    assert [each.announced for each in before.services] == [True, True]
    assert [len(peer.announced) for peer in status.peers] == told
    ipv4, ipv6 = status.services
    assert (ipv4.announced, ipv4.why_not) == (True, "")
    assert (ipv6.announced, ipv6.why_not.partition(";")[0]) == (not why_not, why_not)
    assert any(why_not in problem for problem in status.problems) is bool(why_not)
    assert_status_is_of_now(node)


async def test_a_peer_that_is_down_is_told_once_with_what_the_speaker_says_of_it() -> None:
    node = Node()
    await node.edit(parse_document(BGP))

    node.speaker.sessions[FIRST] = (SessionState.DOWN, time.monotonic())
    node.speaker.alarmed = (f"BGP with {FIRST} port 179: no answer",)

    assert node.controller.status().problems == node.speaker.alarmed


async def test_what_a_speaker_refuses_and_tells_as_well_is_one_problem_until_it_is_there() -> None:
    node = Node()
    node.speaker.broken, node.speaker.alarmed = True, ("ExaBGP does not answer",)
    await node.edit(parse_document(BGP))
    problems = node.controller.status().problems

    node.speaker.broken, node.speaker.alarmed = False, ()
    await node.controller._try_reconcile()
    status = node.controller.status()

    assert problems.count("ExaBGP does not answer") == 1
    assert status.problems == ()
    assert [each.announced for each in status.services] == [True, True]
