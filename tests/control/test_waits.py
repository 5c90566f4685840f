"""Routers need a moment to act on a withdrawal: what it stood on is there until that is over."""

import pytest

from headrace.control.announcing import WITHDRAW_WAIT_S
from headrace.model import parse_document
from tests.control.test_controller import NOTHING, SEED, THREE, TWO, Node

AGGREGATED = parse_document(
    (SEED % "{address: 56.0.0.1}").replace(
        "as: 64512", "as: 64512, aggregate: [20.20.20.0/24], aggregate_only: true"
    )
)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node that notes its waits, and does not wait."""
    node = Node()

    async def wait(seconds: float) -> None:
        node.journal.note(f"wait {seconds}")

    monkeypatch.setattr("headrace.control.announcing.asyncio.sleep", wait)
    return node


async def test_nothing_is_removed_before_routers_have_acted_on_the_withdrawal(node: Node) -> None:
    await node.edit(THREE)
    node.take_entries()

    await node.edit(NOTHING)

    assert node.take_entries()[:3] == [
        "withdraw 20.20.20.1/32",
        f"wait {WITHDRAW_WAIT_S}",
        "-service 20.20.20.1:8080/tcp",
    ]


async def test_a_route_is_withdrawn_once_routers_have_acted_on_its_substitute(node: Node) -> None:
    await node.edit(THREE)
    node.take_entries()

    await node.edit(AGGREGATED)

    assert node.take_entries()[-3:] == [
        "announce 20.20.20.0/24",
        f"wait {WITHDRAW_WAIT_S}",
        "withdraw 20.20.20.1/32",
    ]


async def test_a_daemon_that_stops_waits_for_routers_to_act(node: Node) -> None:
    await node.edit(THREE)
    node.take_entries()

    await node.controller.withdraw_all()

    assert node.take_entries() == ["withdraw 20.20.20.1/32", f"wait {WITHDRAW_WAIT_S}"]


async def test_a_change_that_withdraws_nothing_waits_for_nothing(node: Node) -> None:
    await node.edit(THREE)
    await node.edit(TWO)

    assert [entry for entry in node.take_entries() if entry.startswith("wait")] == []
