"""What export policies keep from peers, as the status tells it."""

import time
from ipaddress import ip_address, ip_network

import pytest

from headrace.control.withheld import withheld_of
from headrace.model import Announcement, SessionState, parse_document

from .test_controller import Node

TEXT = (
    "services:\n"
    "- {vip: 20.20.20.1, protocol: udp, port: 53, announce: true, endpoints: [{address: 57.0.0.1}]}"
    "\n"
    "- {vip: 20.20.30.1, protocol: udp, port: 53, announce: true, endpoints: [{address: 57.0.0.1}]}"
    "\n"
    "bgp:\n"
    "  as: 64512\n"
    "  router_id: 10.0.0.1\n"
    "  prefix_sets: {lab: [{prefix: 20.20.30.0/24, le: 32}]}\n"
    "  policies: {hide: [{conditions: {prefixes: {set: lab}}, actions: {result: reject}}]}\n"
    "  peers:\n"
    "  - {address: 10.9.1.254, as: 65001, export: [hide]}\n"
    "  - {address: 10.9.2.254, as: 65001%s}\n"
)
SHOWN, LAB = ip_network("20.20.20.1/32"), ip_network("20.20.30.1/32")
STRICT, OTHER = ip_address("10.9.1.254"), ip_address("10.9.2.254")


async def test_a_route_that_one_peer_is_not_to_hear_is_told_beside_that_peer() -> None:
    node = Node()

    await node.edit(parse_document(TEXT % ""))

    status = node.controller.status()
    assert [(peer.address, peer.rejected) for peer in status.peers] == [
        (STRICT, (LAB,)),
        (OTHER, ()),
    ]
    assert [(each.announced, each.why_not) for each in status.services] == [(True, "")] * 2


async def test_a_route_that_no_peer_is_to_hear_is_told_beside_its_service() -> None:
    node = Node()

    await node.edit(parse_document(TEXT % ", export_default: reject"))

    shown, hidden = node.controller.status().services
    assert (shown.announced, shown.why_not) == (True, "")
    assert (hidden.announced, hidden.why_not) == (
        False,
        "the export policies of every BGP peer reject its route; see bgp.policies",
    )


AGGREGATE = (
    "services:\n"
    "- {vip: 20.20.30.1, protocol: udp, port: 53, announce: true, endpoints: [{address: 57.0.0.1}]}"
    "\n"
    "bgp:\n"
    "  as: 64512\n"
    "  router_id: 10.0.0.1\n"
    "  aggregate: [20.20.30.0/24]\n"
    "  aggregate_only: %s\n"
    "  prefix_sets:\n"
    "    net: [{prefix: 20.20.30.0/24}]\n"
    "    vip: [{prefix: 20.20.30.1/32}]\n"
    "    all: [{prefix: 20.20.30.0/24, le: 32}]\n"
    "  policies: {hide: [{conditions: {prefixes: {set: %s}}, actions: {result: reject}}]}\n"
    "  peers: [{address: 10.9.1.254, as: 65001, export: [hide]}]\n"
)


@pytest.mark.parametrize(
    ("aggregate_only", "hidden", "why_not"),
    [
        ("false", "net", ""),
        ("false", "vip", ""),
        ("false", "all", "the export policies of every BGP peer reject its route"),
        ("true", "vip", ""),
        (
            "true",
            "net",
            "the export policies of every BGP peer reject its aggregate 20.20.30.0/24",
        ),
    ],
)
async def test_a_vip_is_announced_by_its_own_route_or_by_an_aggregate_that_a_peer_hears(
    aggregate_only: str, hidden: str, why_not: str
) -> None:
    node = Node()

    await node.edit(parse_document(AGGREGATE % (aggregate_only, hidden)))

    (service,) = node.controller.status().services
    assert (service.announced, service.why_not.partition(";")[0]) == (not why_not, why_not)


async def test_a_vip_is_not_announced_while_no_session_is_up_that_carries_its_family() -> None:
    node = Node()
    await node.edit(parse_document(TEXT % ", families: [ipv6]"))
    before = node.controller.status().services[0]

    node.speaker.sessions[STRICT] = (SessionState.DOWN, time.monotonic())
    after = node.controller.status().services[0]

    assert (before.announced, before.why_not) == (True, "")
    assert (after.announced, after.why_not) == (
        False,
        "no BGP session that carries IPv4 prefixes is up",
    )


async def test_a_vip_that_only_a_peer_without_a_session_would_hear_of_is_not_announced() -> None:
    node = Node()
    await node.edit(parse_document(TEXT % ""))

    node.speaker.sessions[OTHER] = (SessionState.DOWN, time.monotonic())

    shown, hidden = node.controller.status().services
    assert (shown.announced, shown.why_not) == (True, "")
    assert not hidden.announced
    assert hidden.why_not.startswith("the BGP peers whose sessions are up reject its route")


def test_a_peer_that_carries_another_family_is_kept_from_nothing() -> None:
    document = parse_document(TEXT % ", families: [ipv6], export_default: reject")

    withheld = withheld_of(document.bgp, [Announcement(SHOWN), Announcement(LAB)])

    assert withheld.by_peer == {STRICT: {LAB}, OTHER: frozenset()}
    assert withheld.from_all == {LAB}


def test_only_peers_that_carry_a_family_count_for_what_nobody_hears() -> None:
    document = parse_document(TEXT % ", families: [ipv6]")
    of_ipv4_alone = parse_document(TEXT % "")
    other = Announcement(ip_network("fd20::1/128"))

    assert withheld_of(document.bgp, [Announcement(LAB)]).from_all == {LAB}
    assert withheld_of(of_ipv4_alone.bgp, [other]).from_all == frozenset()
