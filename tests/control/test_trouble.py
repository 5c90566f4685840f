"""The reconciler at work while parts of the world fail: `run` runs, nobody helps it along."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import pytest

from headrace.control.holding import hold_back
from headrace.control.plan import (
    PutEndpoint,
    RemoveEndpoint,
    RemovePool,
    RemoveService,
    SetHashKeys,
    Step,
)
from headrace.model import (
    Announcement,
    Bgp,
    Document,
    Forwarding,
    KernelError,
    Reach,
    ServiceEntry,
    ServiceKey,
    SessionState,
    UnavailableError,
    dump_document,
    parse_document,
)
from headrace.model.values import Protocol

from .test_controller import ENTRY, KEY, NOTHING, SEED, THREE, Node

OTHER_KEY = ServiceKey(ip_address("20.20.20.2"), Protocol.TCP, 80)
ANNOUNCED = {Announcement(ip_network("20.20.20.1/32"))}
ENDPOINTS = {ip_address(f"5{n}.0.0.1") for n in (6, 7, 8)}
SILENCE = "the BGP speaker does not answer; its log says why"


def with_other_service(document: Document, *, announce: bool = False) -> Document:
    other = parse_document(
        "services: [{vip: 20.20.20.2, protocol: tcp, port: 80, endpoints: [{address: 59.0.0.1}],"
        f" announce: {str(announce).lower()}}}]"
    )
    return document.model_copy(update={"services": (*document.services, *other.services)})


def with_interfaces(document: Document, *names: str) -> Document:
    node = document.node.model_copy(update={"interfaces": names})
    return document.model_copy(update={"node": node})


def with_med(document: Document, med: int) -> Bgp:
    assert document.bgp is not None
    return document.bgp.model_copy(update={"med": med})


WITHOUT_SERVICES = THREE.model_copy(update={"services": ()})
OTHER_ONLY = with_other_service(WITHOUT_SERVICES)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("announcing.WITHDRAW_WAIT_S", 0.0),
        ("controller.RETRY_S", 0.01),
        ("announcing.SPEAKER_TIMEOUT_S", 0.02),
    ):
        monkeypatch.setattr(f"headrace.control.{name}", seconds)


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[None]:
    """The daemon's task during the block, and its BGP session."""
    node.speaker.sessions[ip_address("11.11.11.254")] = (SessionState.UP, 0.0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(node.controller.run())
        yield
        task.cancel()


async def until(look: Callable[[], bool]) -> None:
    """Return once it is so; the block's time limit bounds it."""
    while not look():
        await asyncio.sleep(0.001)


def problems(node: Node) -> tuple[str, ...]:
    return node.controller.status().problems


@pytest.mark.parametrize("step", range(7))
async def test_an_edit_that_fails_in_the_kernel_is_completed_by_itself(step: int) -> None:
    node = Node()
    async with running(node):
        node.journal.fail_at = step

        with pytest.raises(KernelError):
            await node.edit(THREE)
        shown = problems(node)
        await until(lambda: node.speaker.announced == ANNOUNCED and not problems(node))

    assert "Cannot allocate memory" in shown[0]
    assert node.dataplane.services == {KEY: ENTRY}


async def test_a_speaker_that_fails_an_edit_is_asked_again() -> None:
    node = Node()
    async with running(node):
        node.speaker.broken = True

        revision = await node.edit(THREE)
        shown = problems(node)
        node.speaker.broken = False
        await until(lambda: node.speaker.announced == ANNOUNCED and not problems(node))

    assert revision == 1
    assert shown[0] == "ExaBGP does not answer"


async def test_a_missing_interface_stops_neither_failover_nor_withdrawal() -> None:
    node = Node()
    async with running(node):
        await node.edit(with_interfaces(with_other_service(THREE, announce=True), "eth0", "eth1"))
        node.underlay.missing = {"eth1"}
        node.underlay.unreachable = ENDPOINTS
        node.controller.wake()

        await until(lambda: ip_network("20.20.20.1/32") not in heard(node))

        assert heard(node) == {ip_network("20.20.20.2/32")}
        assert [port.name for port in node.dataplane.ports] == ["eth0"]
        await until(lambda: "eth1 does not exist" in problems(node)[0])


def heard(node: Node) -> set[object]:
    return {announcement.prefix for announcement in node.speaker.announced}


async def test_an_interface_may_be_named_before_it_exists() -> None:
    node = Node()
    async with running(node):
        node.underlay.missing = {"eth1"}

        revision = await node.edit(with_interfaces(THREE, "eth1", "eth0"))
        shown = problems(node)
        attached = [port.name for port in node.dataplane.ports]
        node.underlay.missing.clear()
        await until(lambda: not problems(node))

    assert revision == 1
    assert "eth1 does not exist" in shown[0]
    assert attached == ["eth0"]
    assert [port.name for port in node.dataplane.ports] == ["eth1", "eth0"]


async def test_a_node_without_any_interface_announces_nothing() -> None:
    node = Node()
    async with running(node):
        await node.edit(with_interfaces(THREE, "eth0"))
        announced = heard(node)
        node.underlay.missing = {"eth0"}
        node.controller.wake()

        await until(lambda: not node.speaker.announced)

    assert announced == {ip_network("20.20.20.1/32")}


async def test_a_silent_speaker_holds_back_only_what_its_prefix_stands_on() -> None:
    node = Node()
    async with running(node):
        await node.edit(THREE)
        node.take_entries()
        node.speaker.silent = True

        await node.edit(OTHER_ONLY)
        held, entries = dict(node.dataplane.services), node.take_entries()
        shown = problems(node)
        node.speaker.silent = False
        await until(lambda: not problems(node))

    assert set(held) == {KEY, OTHER_KEY}
    assert not any(entry.startswith("-") for entry in entries)
    assert SILENCE in shown
    assert set(node.dataplane.services) == {OTHER_KEY}
    assert {reach.endpoint for reach in node.dataplane.endpoints} == {ip_address("59.0.0.1")}


async def test_a_problem_is_shown_while_it_is_tried_again() -> None:
    node = Node()
    node.speaker.silent = True
    async with running(node):
        await node.edit(THREE)
        before = node.speaker.asked
        shown = []
        while node.speaker.asked < before + 3:
            shown.append(problems(node)[:1])
            await asyncio.sleep(0)

    assert set(shown) == {(SILENCE,)}


async def test_only_the_first_edit_waits_for_a_silent_speaker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    node.speaker.silent = True
    async with asyncio.timeout(10):
        await node.edit(THREE)
        monkeypatch.setattr("headrace.control.announcing.SPEAKER_TIMEOUT_S", 60.0)

        await node.edit(with_other_service(THREE))


async def test_a_speaker_that_refuses_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    async with asyncio.timeout(10):
        node.speaker.broken = True
        await node.edit(THREE)
        node.speaker.broken, node.speaker.silent = False, True
        monkeypatch.setattr("headrace.control.announcing.SILENT_TIMEOUT_S", 60.0)

        await node.edit(THREE.model_copy(update={"bgp": with_med(THREE, 50)}))


async def test_a_speaker_that_answers_again_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    two = with_other_service(THREE)
    async with asyncio.timeout(10):
        node.speaker.silent = True
        await node.edit(THREE)
        node.speaker.silent = False
        await node.edit(two)
        node.speaker.silent = True
        monkeypatch.setattr("headrace.control.announcing.SILENT_TIMEOUT_S", 60.0)

        await node.edit(two.model_copy(update={"bgp": with_med(two, 50)}))


async def test_a_silent_speaker_lets_a_service_go_that_was_never_announced() -> None:
    node = Node()
    await node.edit(with_other_service(THREE))
    node.speaker.silent = True

    await node.edit(THREE)

    assert set(node.dataplane.services) == {KEY}


async def test_what_peers_may_have_heard_is_withdrawn_before_it_goes() -> None:
    node = Node()
    node.speaker.silent = True
    await node.edit(THREE)
    node.take_entries()
    node.speaker.silent = False

    await node.edit(WITHOUT_SERVICES)

    assert node.take_entries()[:2] == ["withdraw 20.20.20.1/32", f"-service {KEY}"]


async def test_what_an_earlier_daemon_announced_is_withdrawn_before_it_goes() -> None:
    """It was killed between keeping a revision and carrying it out."""
    node = Node()
    await node.edit(THREE)
    node.take_entries()
    node.store.append(dump_document(WITHOUT_SERVICES), author="the one that was killed")

    node.start()
    async with running(node):
        await until(lambda: not node.dataplane.endpoints)

    assert node.take_entries()[:2] == ["withdraw 20.20.20.1/32", f"-service {KEY}"]


async def test_the_last_withdrawal_is_given_up_when_the_speaker_is_silent() -> None:
    node = Node()
    await node.edit(THREE)
    node.speaker.silent = True

    async with asyncio.timeout(5):
        with pytest.raises(UnavailableError, match="does not answer"):
            await node.controller.withdraw_all()


async def test_nothing_is_announced_or_changed_after_the_last_withdrawal() -> None:
    node = Node()
    await node.edit(THREE)
    await node.controller.withdraw_all()

    with pytest.raises(UnavailableError, match="is stopping"):
        await node.edit(NOTHING)
    await node.controller._reconcile()

    assert node.speaker.announced == frozenset()
    assert node.controller.document == THREE


async def test_a_peer_is_told_to_the_speaker_once_and_again_after_a_failure() -> None:
    node = Node()
    node.speaker.broken = True
    await node.edit(THREE)
    node.speaker.broken = False
    more_peers = parse_document(SEED % "{address: 56.0.0.1}" + "node: {name: other}")

    await node.controller._reconcile()
    await node.edit(more_peers)

    assert node.speaker.configured == [THREE.bgp]


OTHER_REACH = Reach(ip_address("59.0.0.1"))


@pytest.mark.parametrize(
    ("heard", "held"),
    [
        pytest.param([], [], id="nothing is heard: nothing is held"),
        pytest.param(["20.20.20.9/32"], [], id="another VIP holds nothing"),
        pytest.param(
            ["20.20.20.1/32"],
            [RemoveService(KEY), RemovePool("shared"), RemoveEndpoint(OTHER_REACH)],
            id="a VIP holds its service, its pool and the endpoints",
        ),
    ],
)
def test_removals_wait_for_the_withdrawal_of_their_vip(heard: list[str], held: list[Step]) -> None:
    actual = Forwarding(
        (), {OTHER_REACH: None}, {"shared": 1, "own": 2}, {KEY: ServiceEntry("shared")}
    )
    steps: list[Step] = [
        SetHashKeys((1,)),
        PutEndpoint(OTHER_REACH, None),
        RemoveService(KEY),
        RemoveService(OTHER_KEY),
        RemovePool("shared"),
        RemovePool("own"),
        RemoveEndpoint(OTHER_REACH),
    ]

    split = hold_back(steps, actual, [ip_network(prefix) for prefix in heard])

    assert split.held == held
    assert split.free == [step for step in steps if step not in held]


def test_an_endpoint_goes_while_the_pool_of_a_heard_vip_stays() -> None:
    actual = Forwarding((), {OTHER_REACH: None}, {"shared": 1}, {KEY: ServiceEntry("shared")})
    steps: list[Step] = [RemoveEndpoint(OTHER_REACH)]

    assert hold_back(steps, actual, [KEY.prefix]).free == steps
