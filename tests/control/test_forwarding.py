"""What the kernel forwards is changed by one at a time, and nobody else stands still for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headrace.model import Document, Health, KernelError, ServiceEntry, parse_document

from .test_controller import KEY, THREE, TWO, Node

WAIT_S = 0.2
A, B = "56.0.0.1", "57.0.0.1"
CHECK = {"interval_s": 1}


@pytest.fixture(autouse=True)
def quick_withdrawals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.announcing.WITHDRAW_WAIT_S", 0.0)


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[asyncio.TaskGroup]:
    """The controller runs during the block."""
    async with asyncio.TaskGroup() as group:
        run = group.create_task(node.controller.run())
        yield group
        run.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


def document(*ports: int, health: object = "none") -> Document:
    """A service and a pool of its own for each port."""
    services = [
        {
            "vip": f"20.0.0.{port}",
            "protocol": "tcp",
            "port": port,
            "announce": True,
            "health": health,
            "endpoints": [{"address": A}, {"address": B}],
        }
        for port in ports
    ]
    peers = [{"address": "11.11.11.254", "as": 65001}]
    bgp = {"as": 64512, "router_id": "11.11.11.1", "peers": peers}
    return parse_document(json.dumps({"services": services, "bgp": bgp}))


async def test_the_loop_turns_while_a_table_waits_for_room_and_no_belief_is_lost() -> None:
    node, turns = Node(), 0
    async with running(node) as group:
        await node.edit(document(1, health=CHECK))
        node.checker.believe(Health.UP)
        node.dataplane.room_wait_s = WAIT_S
        edit = group.create_task(node.edit(document(1, 2, health=CHECK)))

        while not edit.done():
            if node.controller._forwarder.in_force is None:  # it is under way
                node.checker.believe(Health.DOWN, A)
                turns += 1
            await asyncio.sleep(WAIT_S / 50)

        await until(lambda: {str(each) for each in node.dataplane.down} == {A})
    assert turns > 2


async def test_two_changes_that_wait_for_room_do_not_mix() -> None:
    node = Node()
    node.dataplane.room_wait_s = 0.01

    await asyncio.gather(node.edit(document(1)), node.edit(document(2, 3)), node.edit(THREE))

    assert set(node.dataplane.services) == {KEY}
    assert node.controller.revision == 3


async def test_nothing_is_announced_for_maps_that_no_packet_uses_yet() -> None:
    """A new version's daemon begins beside the program of the version before."""
    node = Node()
    node.dataplane.is_held = True
    node.journal.fail_at = 8  # the second service; the first one is as desired by then

    with pytest.raises(KernelError, match="service"):
        await node.edit(document(1, 2))

    entries = node.take_entries()
    assert entries[-1].startswith("+service")
    assert not any(entry.startswith("announce") for entry in entries)

    async with running(node):
        await until(lambda: len(node.speaker.announced) == 2)
    assert not node.dataplane.is_held


async def test_what_another_program_changed_is_mended_at_the_next_look() -> None:
    node = Node()
    await node.edit(THREE)
    node.dataplane.services[KEY] = ServiceEntry("elsewhere")

    async with running(node):
        await until(lambda: node.dataplane.services[KEY].pool == str(KEY))


async def test_an_edit_that_stays_on_the_same_ground_looks_at_no_interface_again() -> None:
    node = Node()
    await node.edit(THREE)
    node.dataplane.ports = []

    await node.edit(TWO)
    assert node.dataplane.ports == []

    async with running(node):  # which begins with a look at everything
        await until(lambda: bool(node.dataplane.ports))
