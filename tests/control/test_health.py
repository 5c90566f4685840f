"""The controller while endpoints die and rise, drain, and the node is drained."""

from ipaddress import ip_address, ip_network

import pytest

from headrace.model import (
    Announcement,
    Bgp,
    Document,
    Encapsulation,
    Health,
    parse_document,
)

from .test_controller import Node
from .test_trouble import running, until

VIP = ip_network("20.20.20.1/32")
BGP = "bgp: {as: 64512, router_id: 11.11.11.1, peers: [{address: 11.11.11.254, as: 65001}]%s}\n"
WEB = (
    "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, announce: true, pool: web%s}]\n"
    "pools: {web: {health: {}, fail_open_above: %s, endpoints: [{address: 56.0.0.1},"
    " {address: 57.0.0.1}, {address: 58.0.0.1}]}}\n"
)


def web(service: str = ", hold_down_s: 0", *, above: float = 0.5, bgp: str = "") -> Document:
    return parse_document(BGP % bgp + WEB % (service, above))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("announcing.WITHDRAW_WAIT_S", 0.0),
        ("controller.RETRY_S", 0.01),
        ("announcing.SPEAKER_TIMEOUT_S", 0.02),
        ("rates.SAMPLE_S", 0.01),
    ):
        monkeypatch.setattr(f"headrace.control.{name}", seconds)
    monkeypatch.setattr("headrace.control.controller.SAMPLE_S", 0.01)


async def checked_node(document: Document) -> Node:
    """A node whose endpoints are all believed to be up."""
    node = Node()
    await node.edit(document)
    node.checker.believe(Health.UP)
    await node.controller._reconcile()
    node.take_entries()
    return node


def has_problem(node: Node, text: str) -> bool:
    return any(text in problem for problem in node.controller.status().problems)


async def test_nothing_is_announced_before_its_endpoints_were_asked() -> None:
    node = Node()

    await node.edit(web())
    unasked = node.speaker.announced
    (service,) = node.controller.status().services
    node.checker.believe(Health.UP, "57.0.0.1")
    await node.controller._reconcile()

    assert unasked == frozenset()
    assert service.why_not == "its endpoints were not asked often enough yet"
    assert node.speaker.announced == {Announcement(VIP)}


async def test_a_death_changes_only_the_tables_that_name_the_endpoint() -> None:
    node = await checked_node(web())
    resolved = len(node.store.texts)

    async with running(node):
        node.checker.believe(Health.DOWN, "57.0.0.1", reason="timeout")
        await until(lambda: ip_address("57.0.0.1") in node.dataplane.down)
        entries = node.take_entries()
        (service,) = node.controller.status().services

        assert [entry for entry in entries if not entry.startswith("announce")] == [
            "down 57.0.0.1",
            "+pool web",
        ]
        assert len(node.store.texts) == resolved
        assert [(e.health, e.why) for e in service.endpoints] == [
            (Health.UP, ""),
            (Health.DOWN, "timeout"),
            (Health.UP, ""),
        ]
        assert (service.healthy, service.announced, service.why_not) == (2, True, "")
        assert has_problem(node, "pool web: endpoint 57.0.0.1 is down: timeout")

        node.checker.believe(Health.UP, "57.0.0.1")
        await until(lambda: not node.dataplane.down)


async def test_the_vip_goes_with_its_last_healthy_endpoint_and_returns_after_the_hold_down() -> (
    None
):
    node = await checked_node(web(", hold_down_s: 0.1"))

    async with running(node):
        node.checker.believe(Health.DOWN, reason="timeout")
        await until(lambda: not node.speaker.announced)
        (service,) = node.controller.status().services
        node.checker.believe(Health.UP)
        await until(
            lambda: "held down for 0 s more" in node.controller.status().services[0].why_not
        )
        await until(lambda: node.speaker.announced == {Announcement(VIP)})

    assert service.why_not == "0 of 3 endpoints are healthy: 56.0.0.1: timeout"
    assert not service.announced


async def test_when_most_are_down_at_once_all_are_sent_to_and_it_is_said() -> None:
    node = await checked_node(web())

    async with running(node):
        node.checker.believe(Health.DOWN, "56.0.0.1")
        await until(lambda: node.dataplane.down == {ip_address("56.0.0.1")})
        node.checker.believe(Health.DOWN, "57.0.0.1")
        await until(lambda: not node.dataplane.down)

        assert has_problem(node, "pool web: 2 of 3 endpoints are down at once, more than")
        assert node.speaker.announced == {Announcement(VIP)}


async def test_an_address_is_down_everywhere_only_if_every_pool_finds_it_so() -> None:
    node = await checked_node(
        parse_document(
            "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: a},"
            " {vip: 20.20.20.1, protocol: tcp, port: 81, pool: b}]\n"
            "pools: {a: {health: {}, endpoints: [{address: 56.0.0.1}, {address: 57.0.0.1}]},"
            " b: {health: {}, endpoints: [{address: 57.0.0.1}, {address: 58.0.0.1}]}}"
        )
    )

    async with running(node):
        node.checker.believe(Health.DOWN, "57.0.0.1", pool="a")
        await until(lambda: "+pool a" in node.journal.entries)
        one = node.dataplane.down
        node.checker.believe(Health.DOWN, "57.0.0.1", pool="b")
        await until(lambda: "+pool b" in node.journal.entries)

    assert one == frozenset()
    assert node.take_entries() == ["+pool a", "down 57.0.0.1", "+pool b"]


async def test_a_belief_that_changes_during_a_change_is_not_undone_by_it() -> None:
    node = await checked_node(web())
    node.speaker.silent = True  # holds up the change that follows

    async with running(node):
        await until(lambda: node.speaker.asked >= 2)
        node.checker.believe(Health.DOWN, "57.0.0.1")
        await until(lambda: node.dataplane.down == {ip_address("57.0.0.1")})
        node.speaker.silent = False
        await node.edit(web(", med: 5"))

    assert node.dataplane.down == {ip_address("57.0.0.1")}


async def test_a_table_that_the_kernel_refuses_is_written_by_the_next_try() -> None:
    node = await checked_node(web())

    async with running(node):
        await until(lambda: node.speaker.asked >= 2)
        node.journal.fail_at = len(node.journal.entries)
        node.checker.believe(Health.DOWN, "57.0.0.1")
        await until(lambda: node.dataplane.down == {ip_address("57.0.0.1")})
        await until(lambda: not has_problem(node, "12"))

    assert "+pool web" in node.journal.entries


async def test_probes_take_the_paths_that_packets_take() -> None:
    node = await checked_node(web())
    node.underlay.unreachable = {ip_address("58.0.0.1")}

    await node.controller._reconcile()

    assert node.probe_paths.vips == {ip_address("20.20.20.1")}
    assert node.probe_paths.paths.keys() == {
        (ip_address("56.0.0.1"), Encapsulation.IPIP),
        (ip_address("57.0.0.1"), Encapsulation.IPIP),
    }


async def test_probes_without_a_path_are_a_problem_and_stop_nothing() -> None:
    node = Node()
    node.probe_paths.broken = True

    await node.edit(web())

    assert node.dataplane.services
    assert has_problem(node, "rule: Operation not supported")


async def test_an_endpoint_that_drains_counts_only_while_no_other_is_left() -> None:
    text = (BGP % "" + WEB % (", min_healthy: 100%", 0.5)).replace(
        "56.0.0.1", "56.0.0.1, state: draining"
    )
    node = await checked_node(parse_document(text))
    node.checker.believe(Health.DOWN, "56.0.0.1")

    await node.controller._reconcile()

    assert node.speaker.announced == {Announcement(VIP)}
    assert node.controller.status().services[0].healthy == 2


async def test_too_few_healthy_endpoints_are_told_with_what_is_needed() -> None:
    node = await checked_node(web(", min_healthy: 50%"))
    node.checker.believe(Health.DOWN, "56.0.0.1", "57.0.0.1", reason="refused")

    await node.controller._reconcile()

    assert node.speaker.announced == frozenset()
    assert node.controller.status().services[0].why_not == (
        "1 of 3 endpoints are healthy, 2 are needed: 56.0.0.1: refused"
    )


async def test_a_drain_with_a_time_ends_with_nothing_sent_and_says_what_is_left() -> None:
    text = (BGP % "" + WEB % ("", 0.5)).replace(
        "56.0.0.1", "56.0.0.1, state: draining, drain_timeout_s: 0.1"
    )
    node = await checked_node(parse_document(text))
    (endpoint, other, _) = node.controller.status().services[0].endpoints

    async with running(node):
        await until(
            lambda: node.controller.status().services[0].endpoints[0].packets_per_s is not None
        )
        await until(lambda: node.dataplane.down == {ip_address("56.0.0.1")})

    assert endpoint.drain_left_s is not None
    assert 0 < endpoint.drain_left_s <= 0.1
    assert (other.drain_left_s, other.packets_per_s) == (None, None)
    assert node.controller.status().services[0].endpoints[0].drain_left_s == 0


def drained(document: Document, wait_s: float) -> Document:
    node = document.node.model_copy(update={"drain": True, "drain_wait_s": wait_s})
    return document.model_copy(update={"node": node})


async def test_a_drained_node_asks_routers_to_go_elsewhere_and_then_withdraws() -> None:
    node = await checked_node(web())

    async with running(node):
        await until(lambda: node.speaker.announced == {Announcement(VIP)})
        await node.edit(drained(web(), 0.1))
        asked = node.speaker.announced
        draining = node.controller.status()
        await until(lambda: not node.speaker.announced)
        done = node.controller.status()
        await node.edit(web())
        await until(lambda: node.speaker.announced == {Announcement(VIP)})

    assert asked == {Announcement(VIP, 100, ("65535:0",), 2, 50)}
    assert draining.drain == "draining"
    assert draining.services[0].announced
    assert (done.drain, done.services[0].why_not) == ("drained", "this node is drained")
    assert node.controller.status().drain == "active"


async def test_a_node_that_drains_begins_nothing() -> None:
    node = Node()

    await node.edit(drained(web(), 60))
    node.checker.believe(Health.UP)
    await node.controller._reconcile()

    assert node.speaker.announced == frozenset()


async def test_a_daemon_that_starts_on_a_drained_node_announces_nothing() -> None:
    node = await checked_node(web())
    await node.edit(drained(web(), 60))

    node.start()
    node.checker.believe(Health.UP)
    await node.controller._reconcile()

    assert node.controller.status().drain == "drained"
    assert node.speaker.announced == frozenset()


async def test_a_standby_node_is_worse_in_every_way_that_routers_look_at() -> None:
    node = await checked_node(web(bgp=", role: standby, med: 7"))

    assert node.speaker.announced == {Announcement(VIP, 107, (), 2, 50)}


async def test_aggregates_are_announced_while_a_vip_in_them_is() -> None:
    node = await checked_node(web(bgp=", aggregate: [20.20.20.0/24, 20.20.30.0/24]"))
    both = {each.prefix for each in node.speaker.announced}

    await node.edit(web(bgp=", aggregate: [20.20.20.0/24], aggregate_only: true"))
    only = {each.prefix for each in node.speaker.announced}
    (service,) = node.controller.status().services
    node.checker.believe(Health.DOWN)
    await node.controller._reconcile()

    assert both == {VIP, ip_network("20.20.20.0/24")}
    assert only == {ip_network("20.20.20.0/24")}
    assert service.announced
    assert node.speaker.announced == frozenset()


async def test_a_restarted_daemon_leaves_peers_alone_until_endpoints_were_asked() -> None:
    node = await checked_node(web())
    asked = node.speaker.asked

    node.start()
    await node.controller._reconcile()
    unasked = (node.speaker.asked, node.take_entries())
    node.checker.believe(Health.UP)
    await node.controller._reconcile()

    assert unasked == (asked, [])
    assert node.speaker.asked == asked + 1
    assert node.take_entries() == []


async def test_a_restarted_daemon_withdraws_what_it_finds_dead() -> None:
    node = await checked_node(web())

    node.start()
    async with running(node):
        await until(lambda: bool(node.checker.beliefs))
        node.checker.believe(Health.DOWN)
        await until(lambda: not node.speaker.announced)


async def test_a_speakers_alarm_is_a_problem_of_the_node() -> None:
    node = await checked_node(web())
    node.speaker.alarmed = ("BFD with 11.11.11.254 is lost: BIRD does not run",)

    assert has_problem(node, "BFD with 11.11.11.254 is lost")


async def test_a_speaker_that_fails_at_a_death_is_asked_again() -> None:
    node = await checked_node(web())

    async with running(node):
        await until(lambda: node.speaker.asked >= 2)
        node.speaker.broken = True
        node.checker.believe(Health.DOWN)
        await until(lambda: has_problem(node, "ExaBGP does not answer"))
        node.speaker.broken = False
        await until(lambda: not node.speaker.announced)


async def test_a_bgp_section_without_peers_is_no_work_for_the_speaker() -> None:
    node = Node()
    bgp = web().bgp
    assert bgp is not None
    without = Bgp.model_construct(**{**dict(bgp), "peers": ()})

    await node.controller._announcing.configure(without)

    assert node.speaker.configured == []


async def test_who_is_down_and_cannot_be_removed_yet_stays_down_when_another_dies() -> None:
    other = (
        "services: [{vip: 20.20.20.2, protocol: tcp, port: 80, health: {},"
        " endpoints: [{address: 61.0.0.1}, {address: 62.0.0.1}]}]"
    )
    rest, whole = parse_document(BGP % "" + other), web()
    both = whole.model_copy(update={"services": (*whole.services, *rest.services)})
    node = await checked_node(both)
    node.checker.believe(Health.DOWN, "56.0.0.1")
    await node.controller._reconcile()
    node.speaker.silent = True  # the first VIP may still be announced, so its pool stays

    await node.edit(rest)
    node.checker.believe(Health.UP)
    node.checker.believe(Health.DOWN, "61.0.0.1")
    await node.controller._follow()

    assert node.dataplane.down == {ip_address("56.0.0.1"), ip_address("61.0.0.1")}
