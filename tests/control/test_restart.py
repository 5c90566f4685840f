"""A daemon that begins where another ended, and routes that take the place of others."""

import asyncio
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_network

import pytest

from headrace.control.announcing import UNDECIDED_S
from headrace.control.ground import all_services
from headrace.model import Document, Health, dump_document, parse_document

from .test_controller import Node, quick_withdrawals
from .test_health import BGP, checked_node, web
from .test_trouble import running, until

__all__ = ["quick_withdrawals"]  # for every test here

VIP = ip_network("20.20.20.1/32")
OTHER = ip_network("20.20.20.2/32")
WHOLE = ip_network("20.20.20.0/24")
HOLD_DOWN_S = 10.0


def pair(bgp: str = "", *, hold_down_s: float = 0.0) -> Document:
    """Two VIPs, each with an endpoint of its own."""
    services = ", ".join(
        f"{{vip: 20.20.20.{n}, protocol: tcp, port: 80, announce: true, pool: p{n},"
        f" hold_down_s: {hold_down_s}}}"
        for n in (1, 2)
    )
    pools = ", ".join(
        f"p{n}: {{health: {{}}, endpoints: [{{address: 5{n}.0.0.1}}]}}" for n in (1, 2)
    )
    return parse_document(f"{BGP % bgp}services: [{services}]\npools: {{{pools}}}\n")


def heard(node: Node) -> set[object]:
    return {each.prefix for each in node.speaker.announced}


async def pass_time(node: Node, seconds: float) -> None:
    """Have the node look again when that time is over."""
    announcing = node.controller._announcing
    now = announcing._now()
    announcing._now = lambda: now + seconds
    await announcing._settle(again=False)


async def test_a_dead_vip_is_not_announced_by_a_daemon_that_starts() -> None:
    node = await checked_node(pair())
    node.checker.believe(Health.DOWN, "52.0.0.1")
    await node.controller._reconcile()
    before = heard(node)
    node.take_entries()

    node.start()
    await node.controller._reconcile()
    await pass_time(node, UNDECIDED_S + 1)
    node.checker.believe(Health.UP, "51.0.0.1")
    await node.controller._reconcile()

    assert before == {VIP}
    assert heard(node) == {VIP}
    assert node.take_entries() == []


async def test_a_daemon_that_starts_again_and_again_holds_a_route_down_all_the_same() -> None:
    node = await checked_node(web(f", hold_down_s: {HOLD_DOWN_S}"))
    node.checker.believe(Health.DOWN)
    await node.controller._reconcile()
    node.take_entries()

    for _ in range(3):
        node.start()
        await node.controller._reconcile()
        node.checker.believe(Health.UP)
        await node.controller._reconcile()
    early = heard(node)
    why = node.controller.status().services[0].why_not
    await pass_time(node, HOLD_DOWN_S)

    assert early == set()
    assert why.startswith("held down for")
    assert heard(node) == {VIP}


async def test_the_first_daemon_of_a_speaker_holds_nothing_down() -> None:
    node = await checked_node(web(f", hold_down_s: {HOLD_DOWN_S}"))
    node.speaker.announced, node.speaker.is_new = frozenset(), True  # the machine was restarted

    node.start()
    await node.controller._reconcile()
    unasked = heard(node)
    node.checker.believe(Health.UP)
    await node.controller._reconcile()

    assert unasked == set()
    assert heard(node) == {VIP}


async def test_nothing_is_told_or_taken_away_before_it_is_known_what_peers_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.control.announcing.SPEAKER_TIMEOUT_S", 0.02)
    node = await checked_node(pair())
    node.speaker.is_known = False

    node.start()
    asked = node.speaker.asked
    await node.edit(parse_document(BGP % ""))
    early = (node.speaker.asked, heard(node), len(node.dataplane.services))
    problems = node.controller.status().problems
    node.speaker.is_known = True
    await node.controller._reconcile()

    assert early == (asked, {VIP, OTHER}, 2)
    assert any("does not answer" in each for each in problems)
    assert heard(node) == set()
    assert not node.dataplane.services


@pytest.mark.parametrize("health", [Health.UP, Health.UNKNOWN, Health.DOWN])
async def test_a_restart_leaves_an_aggregate_that_stands_for_its_vips(health: Health) -> None:
    node = await checked_node(
        pair(", aggregate: [20.20.20.0/24], aggregate_only: true", hold_down_s=HOLD_DOWN_S)
    )
    node.take_entries()

    node.start()
    await node.controller._reconcile()
    node.checker.believe(health)
    await node.controller._reconcile()
    await pass_time(node, UNDECIDED_S + 1)

    told = [] if health is not Health.DOWN else ["withdraw 20.20.20.0/24"]
    assert [each for each in node.take_entries() if "20.20.20" in each] == told


async def test_what_peers_heard_of_by_an_aggregate_alone_is_not_announced_on_a_guess() -> None:
    both = ", aggregate: [20.20.20.0/24]"
    node = await checked_node(pair(f"{both}, aggregate_only: true"))

    node.start()
    await node.edit(pair(both))
    await pass_time(node, UNDECIDED_S + 1)
    guessed = heard(node)
    node.checker.believe(Health.UP, "51.0.0.1")
    await node.controller._reconcile()

    assert guessed == {WHOLE}
    assert heard(node) == {WHOLE, VIP}


SUBSTITUTES = pytest.mark.parametrize(
    ("before", "after", "entries"),
    [
        pytest.param(
            "",
            ", aggregate: [20.20.20.0/24], aggregate_only: true",
            ["announce 20.20.20.0/24", "withdraw 20.20.20.1/32", "withdraw 20.20.20.2/32"],
            id="aggregate only",
        ),
        pytest.param(
            ", aggregate: [20.20.20.0/24], aggregate_only: true",
            "",
            ["announce 20.20.20.1/32", "announce 20.20.20.2/32", "withdraw 20.20.20.0/24"],
            id="back",
        ),
        pytest.param(
            ", aggregate: [20.20.20.0/24], aggregate_only: true",
            ", aggregate: [20.20.0.0/16], aggregate_only: true",
            ["announce 20.20.0.0/16", "withdraw 20.20.20.0/24"],
            id="wider",
        ),
    ],
)


@SUBSTITUTES
async def test_peers_hear_of_the_substitute_before_what_it_stands_for_goes(
    before: str, after: str, entries: list[str]
) -> None:
    node = await checked_node(pair(before))

    await node.edit(pair(after))

    made = node.take_entries()
    begun = [each for each in made if each.startswith("announce")]
    assert sorted(made) == sorted(entries)
    assert made[: len(begun)] == begun


@SUBSTITUTES
@pytest.mark.parametrize("crash", ["a change that was kept", "one that peers heard the half of"])
async def test_a_daemon_that_finds_a_change_unmade_makes_it_in_that_order_too(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str, entries: list[str], crash: str
) -> None:
    document = pair(after, hold_down_s=HOLD_DOWN_S)
    node = await checked_node(pair(before, hold_down_s=HOLD_DOWN_S))
    if crash == "a change that was kept":
        node.store.append(dump_document(document), author="test")
    else:
        with monkeypatch.context() as dying:
            dying.setattr("headrace.control.announcing.asyncio.sleep", die)
            with pytest.raises(asyncio.CancelledError):
                await node.edit(document)

    node.start()
    async with running(node):
        await until(lambda: len(node.checker.beliefs) == 2)
        for number in (1, 2):
            node.checker.believe(Health.UP, f"5{number}.0.0.1")
            await until(partial(serves, node, number))
        await until(lambda: len(node.journal.entries) >= len(entries))

    made = node.take_entries()
    begun = [each for each in made if each.startswith("announce")]
    assert sorted(made) == sorted(entries)
    assert made[: len(begun)] == begun


async def die(_seconds: float) -> None:
    """The daemon is killed where it waits for routers to act."""
    raise asyncio.CancelledError


def serves(node: Node, number: int) -> bool:
    """Whether a VIP works, and peers know."""
    service = node.controller.status().services[number - 1]
    return service.announced and service.healthy == 1


async def test_an_aggregate_that_is_held_down_is_not_missed_when_it_is_to_stand_alone() -> None:
    aggregate = ", aggregate: [20.20.20.0/24]"
    services = (
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, announce: true, pool: web,"
        " hold_down_s: 0}, {vip: 20.20.20.2, protocol: tcp, port: 80, announce: true, pool: web,"
        " hold_down_s: 600}]\n"
        "pools: {web: {health: {}, endpoints: [{address: 56.0.0.1}]}}\n"
    )
    node = await checked_node(parse_document(BGP % aggregate + services))
    node.checker.believe(Health.DOWN)
    await node.controller._reconcile()
    node.checker.believe(Health.UP)
    await node.controller._reconcile()
    held_down = heard(node)

    await node.edit(parse_document(BGP % f"{aggregate}, aggregate_only: true" + services))

    assert held_down == {VIP}
    assert heard(node) == {WHOLE}


async def test_a_belief_that_changes_in_the_middle_of_a_change_takes_nothing_away() -> None:
    node = await checked_node(pair())
    announcing = node.controller._announcing
    document = pair(", aggregate: [20.20.20.0/24], aggregate_only: true")
    ground = node.controller._ground(all_services(document))
    ground = replace(ground, document=document)

    await announcing.prepare(ground)
    await announcing._settle(again=False)
    meanwhile = heard(node)
    await announcing.conclude(ground)

    assert meanwhile == {VIP, OTHER}
    assert heard(node) == {WHOLE}


async def test_a_substitute_that_cannot_be_keeps_nothing_announced() -> None:
    node = await checked_node(pair())
    node.checker.believe(Health.DOWN, "52.0.0.1")
    node.underlay.unreachable = {ip_address("51.0.0.1")}

    await node.edit(pair(", aggregate: [20.20.20.0/24], aggregate_only: true"))

    assert heard(node) == set()


async def test_a_withdrawal_does_not_wait_for_a_substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    node = await checked_node(pair())
    told: list[set[object]] = []

    async def die_meanwhile(_seconds: float) -> None:
        told.append(heard(node))
        node.checker.believe(Health.DOWN)
        await node.controller._announcing._settle(again=False)
        told.append(heard(node))

    monkeypatch.setattr("headrace.control.announcing.asyncio.sleep", die_meanwhile)
    await node.edit(pair(", aggregate: [20.20.20.0/24], aggregate_only: true"))

    assert told == [{VIP, OTHER, WHOLE}, set()]


async def test_an_aggregate_is_held_down_as_the_vips_in_it_and_no_longer() -> None:
    text = (
        f"{BGP % ', aggregate: [20.20.20.0/24], aggregate_only: true'}"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, announce: true, pool: web,"
        " hold_down_s: 0}, {vip: 30.30.30.1, protocol: tcp, port: 80, announce: true,"
        " hold_down_s: 600, endpoints: [{address: 60.0.0.1}]}]\n"
        "pools: {web: {health: {}, endpoints: [{address: 56.0.0.1}]}}\n"
    )
    node = await checked_node(parse_document(text))
    announcing = node.controller._announcing
    node.checker.believe(Health.DOWN)
    await announcing._settle(again=False)
    gone = heard(node)
    deadline = announcing._next_deadline()
    node.checker.believe(Health.UP)
    await announcing._settle(again=False)

    assert WHOLE not in gone
    assert deadline is None
    assert WHOLE in heard(node)
