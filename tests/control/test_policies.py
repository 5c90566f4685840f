"""Policies of the document on their way to the data plane, and what becomes of old flows."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from headrace.control.beliefs import disabled_sets
from headrace.control.desired import build_desired, targets_of
from headrace.control.plan import SetDown, SetServerIds, plan_forwarding
from headrace.control.settling import settle_interval_s
from headrace.model import (
    Affinity,
    Announcement,
    Document,
    Encapsulation,
    FlowTable,
    Forwarding,
    OuterSources,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
    Target,
    Tuning,
    Unserved,
    parse_document,
)

from .fakes import FakeUnderlay
from .test_controller import SEED, Node


@pytest.fixture(autouse=True)
def quick_withdrawals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.announcing.WITHDRAW_WAIT_S", 0.0)


BGP = """
bgp:
  as: 64512
  router_id: 11.11.11.1
  peers: [{address: 11.11.11.254, as: 65001}%s]
"""
BGP4, BGP6 = BGP % "", BGP % ", {address: 'fd11::254', as: 65001}"


def document(service: str, more: str = "") -> Document:
    return parse_document(f"services: [{{{service}}}]\n{more}")


async def test_a_range_of_ports_is_a_service_for_each_port_and_counted_as_one() -> None:
    node = Node()
    await node.edit(
        document(
            "vip: 20.20.20.1, protocol: tcp, port: 80-82, affinity: source-ip, flow_table: never,"
            " sources: [10.0.0.0/8], unserved: pass, endpoints: [{address: 56.0.0.1}]"
        )
    )
    node.dataplane.packets = 5

    (shown,) = node.controller.status().services

    entry = ServiceEntry(
        "20.20.20.1:80-82/tcp",
        Affinity.SOURCE_IP,
        FlowTable.NEVER,
        Unserved.PASS,
        frozenset([ip_network("10.0.0.0/8")]),
    )
    keys = [ServiceKey(ip_address("20.20.20.1"), Protocol.TCP, port) for port in (80, 81, 82)]
    assert node.dataplane.services == dict.fromkeys(keys, entry)
    assert (shown.key, shown.forwarding) == ("20.20.20.1:80-82/tcp", True)
    assert (shown.received.packets, shown.received.bytes) == (15, 1500)
    assert (shown.affinity, shown.flow_table, shown.unserved) == ("source-ip", "never", "pass")


async def test_a_changed_policy_is_one_step() -> None:
    node = Node()
    text = "vip: 20.20.20.1, protocol: udp, port: 53, endpoints: [{address: 56.0.0.1}]"
    await node.edit(document(text))
    node.take_entries()

    await node.edit(document(f"{text}, flow_table: always"))

    assert node.take_entries() == ["+service 20.20.20.1:53/udp"]


async def test_what_holds_for_the_node_is_set_before_anything_else() -> None:
    node = Node()

    await node.edit(
        document(
            "vip: 20.20.20.1, protocol: udp, port: 53, endpoints: [{address: 56.0.0.1}]",
            "node: {answers_per_s: 7, gue_port: 6081}\ncluster: {udp_idle_s: 60}",
        )
    )

    assert node.take_entries()[:3] == ["hash keys", "tuning", "+endpoint 56.0.0.1"]
    assert node.dataplane.tuned == Tuning(answers_per_s=7, udp_idle_s=60, gue_port=6081)


async def test_an_endpoint_is_reached_as_each_of_its_pools_wants_it() -> None:
    node = Node()
    one = "endpoints: [{address: 56.0.0.1}]"
    await node.edit(
        parse_document(
            f"pools: {{a: {{{one}}}, b: {{{one}, encapsulation: gue}}, c: {{{one}, dscp: 46}},"
            f" d: {{{one}, encapsulation: l2}}}}\n"
            "node: {source: 10.9.0.0/16}\nservices:\n"
            + "".join(
                f"- {{vip: 20.20.20.1, protocol: tcp, port: {port}, pool: {pool}}}\n"
                for port, pool in enumerate("abcd", 80)
            )
        )
    )

    address, source = ip_address("56.0.0.1"), ip_address("10.9.0.0")
    gue, l2 = Encapsulation.GUE, Encapsulation.L2
    assert set(node.dataplane.endpoints) == {
        Reach(address, source, address, source_hashed=True),
        Reach(address, source, address, gue, source_hashed=True),
        Reach(address, source, address, source_hashed=True, dscp=46),
        Reach(address, encapsulation=l2),
    }
    assert [each.endpoints[0].path for each in node.controller.status().services] == [
        "ipip 10.9.0.0/16 > 56.0.0.1 by 00:00:00:00:00:02",
        "gue 10.9.0.0/16 > 56.0.0.1 by 00:00:00:00:00:02",
        "ipip 10.9.0.0/16 > 56.0.0.1 by 00:00:00:00:00:02",
        "l2 by 00:00:00:00:00:02",
    ]


async def test_an_unreachable_endpoint_keeps_the_header_that_its_pool_gave_it() -> None:
    node = Node()
    text = "vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 56.0.0.1}], dscp: 10"
    await node.edit(document(text))
    before = set(node.dataplane.endpoints)
    node.take_entries()
    node.underlay.unreachable = {ip_address("56.0.0.1")}

    await node.controller._reconcile()

    assert set(node.dataplane.endpoints) == before
    assert node.take_entries() == ["+endpoint 56.0.0.1"]


IPV6 = (
    "vip: '%s', protocol: sctp, port: any, announce: true,"
    " endpoints: [{address: 'fd56::1'}, {address: 56.0.0.1}]"
)


@pytest.mark.parametrize(
    ("vip", "prefix"), [("2001:db8::1", "2001:db8::1/128"), ("2001:db8::/64", "2001:db8::/64")]
)
async def test_an_ipv6_vip_or_prefix_is_served_and_announced(vip: str, prefix: str) -> None:
    node = Node()

    await node.edit(document(IPV6 % vip, BGP6))
    (shown,) = node.controller.status().services

    assert node.speaker.announced == {Announcement(ip_network(prefix))}
    assert (shown.announced, shown.why_not) == (True, "")


async def test_a_prefix_goes_only_after_it_was_withdrawn() -> None:
    node = Node()
    await node.edit(document(IPV6 % "2001:db8::/64", BGP6))
    node.take_entries()
    node.speaker.broken = True

    await node.edit(parse_document(BGP6))
    held = set(node.dataplane.services)
    node.speaker.broken = False
    await node.controller._reconcile()

    assert held == {ServiceKey(ip_network("2001:db8::/64"), Protocol.SCTP, 0)}
    assert node.take_entries()[:2] == [
        "withdraw 2001:db8::/64",
        "-service [2001:db8::/64]:any/sctp",
    ]


async def test_a_vip_that_no_peer_can_hear_of_is_told() -> None:
    node = Node()

    await node.edit(document(IPV6 % "2001:db8::1", BGP4))

    assert node.controller.status().services[0].why_not == (
        "it is to be announced, but no BGP peer hears IPv6 prefixes; name ipv6 in its families"
    )


def seed(**states: str) -> Document:
    """Three endpoints in these states."""
    return parse_document(
        SEED
        % ", ".join(
            f"{{address: 5{n}.0.0.1, state: {states.get(f'e{n}', 'active')}}}" for n in (6, 7, 8)
        )
    )


async def test_a_disabled_endpoint_gets_nothing_and_a_draining_one_its_old_flows() -> None:
    node = Node()
    await node.edit(seed())
    node.take_entries()

    await node.edit(seed(e6="disabled", e7="draining"))
    disabled = node.take_entries()
    await node.edit(seed())

    assert disabled == ["down 56.0.0.1", "+pool 20.20.20.1:8080/tcp"]
    assert node.dataplane.down == frozenset()


async def test_a_service_whose_endpoints_are_all_disabled_is_withdrawn() -> None:
    node = Node()
    await node.edit(seed())

    await node.edit(seed(e6="disabled", e7="disabled", e8="disabled"))

    assert node.speaker.announced == frozenset()
    assert node.controller.status().services[0].why_not == "every endpoint is disabled"


async def test_a_disabled_endpoint_stays_down_when_it_is_removed() -> None:
    """It may linger in the data plane: flows may be remembered that would go there."""
    node = Node()
    await node.edit(seed(e6="disabled"))
    node.take_entries()

    await node.edit(parse_document(SEED % "{address: 57.0.0.1}, {address: 58.0.0.1}"))

    assert node.take_entries() == ["+pool 20.20.20.1:8080/tcp", "-endpoint 56.0.0.1"]


async def test_an_endpoint_that_was_removed_while_it_was_disabled_comes_back_up() -> None:
    node = Node()
    await node.edit(seed(e6="disabled"))
    await node.edit(parse_document(SEED % "{address: 57.0.0.1}, {address: 58.0.0.1}"))

    await node.edit(seed())

    assert node.dataplane.read().down == frozenset()


async def test_an_endpoint_that_one_of_its_pools_uses_is_not_down() -> None:
    service = "- {{vip: 20.20.20.1, protocol: tcp, port: {}, endpoints: [{}]}}\n"
    one, other = "{address: 56.0.0.1, state: disabled}", "{address: 56.0.0.1}"
    found = parse_document("services:\n" + service.format(80, one) + service.format(81, other))
    paths = await FakeUnderlay().resolve(targets_of(found), {}, OuterSources())

    desired = build_desired(found, paths, Forwarding((), {}, {}, {}), None, disabled_sets(found))

    assert desired.down == frozenset()
    assert [pool.table.candidates[0].down for pool in desired.pools.values()] == [True, False]


async def test_a_disabled_endpoint_with_a_new_path_is_put_down_as_well() -> None:
    found = seed(e6="disabled")
    underlay = FakeUnderlay()
    paths = await underlay.resolve(targets_of(found), {}, OuterSources())
    before = build_desired(found, paths, Forwarding((), {}, {}, {}), None, disabled_sets(found))
    actual = Forwarding(before.hash_keys, before.endpoints, {}, {}, down=before.down)
    underlay.outer = {ip_address("56.0.0.1"): ip_address("32.32.32.9")}
    paths = await underlay.resolve(targets_of(found), {}, OuterSources())

    steps = plan_forwarding(build_desired(found, paths, actual, None, disabled_sets(found)), actual)

    assert SetDown(frozenset([ip_address("56.0.0.1")])) in steps


QUIC = (
    "vip: 20.20.20.1, protocol: udp, port: 443, quic: true,"
    " endpoints: [{address: 56.0.0.1, server_id: %d}, {address: 57.0.0.1}]"
)


async def test_server_ids_are_set_after_the_table_and_once() -> None:
    node = Node()
    pool = "20.20.20.1:443/udp"

    await node.edit(document(QUIC % 7))
    first = node.take_entries()
    await node.controller._reconcile()
    again = node.take_entries()
    await node.edit(document(QUIC % 8))
    other = node.take_entries()

    assert first[-3:] == [f"+pool {pool}", f"server ids {pool}", f"+service {pool}"]
    assert again == []
    assert other == [f"server ids {pool}"]
    assert {n: reach.endpoint for n, reach in node.dataplane.server_ids[pool].items()} == {
        8: ip_address("56.0.0.1")
    }


async def test_server_ids_name_an_endpoint_behind_another_tunnel_anew() -> None:
    node = Node()
    await node.edit(document(QUIC % 7))
    node.underlay.outer = {ip_address("56.0.0.1"): ip_address("32.32.32.9")}
    node.take_entries()

    await node.controller._reconcile()

    assert node.take_entries() == [
        "+endpoint 56.0.0.1",
        "down nobody",
        "+pool 20.20.20.1:443/udp",
        "server ids 20.20.20.1:443/udp",
        "-endpoint 56.0.0.1",
    ]


async def test_server_ids_are_taken_away_with_their_last_service_that_routes_by_them() -> None:
    node = Node()
    await node.edit(document(QUIC % 7))
    text = QUIC.replace(", server_id: %d", "").replace("quic: true", "quic: false")
    found = document(text)
    paths = await node.underlay.resolve(targets_of(found), {}, OuterSources())
    actual = node.dataplane.read()

    steps = plan_forwarding(build_desired(found, paths, actual, None, disabled_sets(found)), actual)

    assert SetServerIds("20.20.20.1:443/udp", {}) in steps


async def test_room_for_several_new_pools_is_made_at_once() -> None:
    node = Node()
    service = "- {{vip: 20.20.20.1, protocol: tcp, port: {}, endpoints: [{{address: 56.0.0.1}}]}}\n"
    lines = [service.format(port) for port in (80, 81, 82)]

    await node.edit(parse_document("services:\n" + lines[0] + lines[1]))
    two = node.take_entries()
    await node.edit(parse_document("services:\n" + "".join(lines)))

    assert two.index("room for 2") < two.index("+pool 20.20.20.1:80/tcp")
    assert not any(entry.startswith("room") for entry in node.take_entries())


def test_targets_are_those_of_pools_that_are_used() -> None:
    found = parse_document(
        "pools: {p: {endpoints: [{address: 56.0.0.1}], encapsulation: gue},"
        " q: {endpoints: [{address: 57.0.0.1}]}}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: p}]"
    )

    assert targets_of(found) == {Target(ip_address("56.0.0.1"), Encapsulation.GUE)}


@pytest.mark.parametrize(
    ("idle_s", "interval_s"), [(1, 1.0), (20, 1.0), (600, 30.0), (3600, 60.0), (604_800, 60.0)]
)
def test_settled_slots_are_looked_for_a_few_times_in_the_idle_time(
    idle_s: int, interval_s: float
) -> None:
    assert settle_interval_s(idle_s) == interval_s


async def test_slots_are_settled_by_the_documents_time_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.control.settling.SETTLE_S_MAX", 0.0)
    node = Node()
    await node.edit(parse_document("cluster: {transition_idle_s: 600}"))
    node.dataplane.fails_to_settle = True

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(node.controller.run())
        while len(node.dataplane.settled_after_s) < 3:
            await asyncio.sleep(0)
        task.cancel()

    assert set(node.dataplane.settled_after_s) == {600}
