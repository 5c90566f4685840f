"""What the real kernel does is noticed, and what does not matter is not."""

import asyncio
import socket

import pytest

from headrace.model import Path, Unresolved
from headrace.underlay.memory import LAST_MAC_S
from headrace.underlay.netlink import EventSocket
from headrace.underlay.underlay import COALESCE_S
from tests.underlay.network import Namespace
from tests.underlay.node import CARRIER_S, PATIENCE_S, Answer, Node, by, is_path

pytestmark = pytest.mark.netns


async def test_the_watch_tells_when_the_last_mac_expires(
    node: Node, lb: Namespace, peer: Namespace
) -> None:
    async with node.watching():
        await node.path("10.0.0.2")
        peer.ip("link set p0 arp off")
        lb.ip("neigh replace 10.0.0.2 dev p0 nud failed")
        assert is_path(await node.path("10.0.0.2"))
        expires_at = node.now + LAST_MAC_S
        node.now = expires_at - 0.05
        assert is_path(await node.path("10.0.0.2"))
        await node.quiet()

        node.now = expires_at

        assert await node.told(within_s=PATIENCE_S)
        assert isinstance(await node.path("10.0.0.2"), Unresolved)


async def test_a_route_that_moves_is_noticed(node: Node, lb: Namespace) -> None:
    lb.ip("route add 56.56.56.0/24 via 10.0.0.2")
    async with node.watching():
        await node.until("56.56.56.1", by(lb, "p0"))

        lb.ip("route replace 56.56.56.0/24 via 10.0.1.2")

        await node.until("56.56.56.1", by(lb, "p1"))


async def test_a_route_that_moves_while_a_neighbour_is_waited_for_is_noticed(
    node: Node, lb: Namespace
) -> None:
    lb.ip("route add 56.56.56.0/24 via 10.0.0.2")
    lb.ip("route add 57.57.57.0/24 via 10.0.0.77")  # nobody's
    async with node.watching():
        await node.until("56.56.56.1", by(lb, "p0"))
        async with asyncio.TaskGroup() as group:
            group.create_task(node.path("56.56.56.1", "57.57.57.1"))
            await asyncio.sleep(COALESCE_S)

            lb.ip("route replace 56.56.56.0/24 via 10.0.1.2")

        await node.until("56.56.56.1", by(lb, "p1"), also=("57.57.57.1",))


async def test_a_gratuitous_arp_is_noticed(node: Node, peer: Namespace) -> None:
    async with node.watching():
        await node.until("10.0.0.2", is_path)
        peer.ip("link set p0 address 02:00:00:00:00:63")

        peer.announce_arp("p0", "10.0.0.2")

        def has_moved(answer: Answer) -> bool:
            return isinstance(answer, Path) and answer.next_hop.destination_mac == peer.mac("p0")

        await node.until("10.0.0.2", has_moved)


async def test_a_lost_carrier_and_its_return_are_noticed_and_the_neighbour_kept_again(
    node: Node, peer: Namespace
) -> None:
    async with node.watching():
        before = await node.until("10.0.0.2", is_path)

        peer.ip("link set p0 down")
        lost = await node.until("10.0.0.2", lambda answer: not is_path(answer), CARRIER_S)
        peer.ip("link set p0 up")
        after = await node.until("10.0.0.2", is_path, CARRIER_S)

    assert lost == Unresolved("p0 has no carrier")
    assert after == before
    neighbour = node.neighbour("10.0.0.2", "p0")
    assert neighbour is not None
    assert neighbour.managed


async def test_the_watch_alone_has_neighbours_kept_again_when_a_link_comes_back(
    node: Node, peer: Namespace
) -> None:
    async with node.watching():
        await node.until("10.0.0.2", is_path)

        peer.ip("link set p0 down")
        assert await node.told(within_s=CARRIER_S)
        await node.quiet()
        assert node.neighbour("10.0.0.2", "p0") is None
        peer.ip("link set p0 up")
        assert await node.told(within_s=CARRIER_S)

    neighbour = node.neighbour("10.0.0.2", "p0")
    assert neighbour is not None
    assert neighbour.managed


async def test_what_no_answer_depends_on_is_not_told(node: Node, lb: Namespace) -> None:
    async with node.watching():
        await node.until("10.0.0.2", is_path)
        await node.quiet()

        lb.ip("route add 99.0.0.0/8 via 10.0.1.2")
        lb.ip("neigh add 10.0.1.77 lladdr 02:00:00:00:00:63 dev p1")

        assert not await node.told(within_s=0.3)


async def test_an_overflow_of_events_is_told_as_a_change_and_survived(
    node: Node, lb: Namespace
) -> None:
    await node.path("10.0.0.2")
    events = node.underlay._events._socket
    events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for number in range(50):
        lb.ip(f"neigh add 10.0.1.{number + 100} lladdr 02:00:00:00:00:63 dev p1")

    async with node.watching():
        assert await node.told(within_s=PATIENCE_S)
        await node.quiet()

        lb.ip("route add 10.0.0.2/32 via 10.0.1.2")

        await node.until("10.0.0.2", by(lb, "p1"))


async def test_a_watch_that_was_cancelled_can_be_started_again(node: Node, lb: Namespace) -> None:
    async with node.watching():
        await node.until("10.0.0.2", by(lb, "p0"))

    async with node.watching():
        lb.ip("route add 10.0.0.2/32 via 10.0.1.2")
        await node.until("10.0.0.2", by(lb, "p1"))


async def test_a_neighbour_that_moves_to_another_port_of_the_bridge_is_noticed(
    bridge_node: Node, bridged: tuple[Namespace, Namespace, Namespace]
) -> None:
    lb, left, right = bridged
    async with bridge_node.watching():
        await bridge_node.until("10.0.0.2", by(lb, "p0"))
        mac = left.mac("p0").hex(":")
        left.ip("link set p0 address 02:00:00:00:00:63")
        right.ip(f"link set p0 address {mac}")
        right.ip("addr add 10.0.0.2/24 dev p0")

        right.announce_arp("p0", "10.0.0.2")

        await bridge_node.until("10.0.0.2", by(lb, "p1"))


async def test_a_bridge_whose_port_goes_down_is_left_by_the_other(
    bridge_node: Node, bridged: tuple[Namespace, Namespace, Namespace]
) -> None:
    lb, left, _right = bridged
    async with bridge_node.watching():
        await bridge_node.until("10.0.0.2", by(lb, "p0"))

        left.ip("link set p0 down")

        await bridge_node.until("10.0.0.2", by(lb, "p1"), CARRIER_S)


def test_event_datagrams_beyond_the_limit_are_an_overflow(
    lb: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.underlay.netlink.LIMIT_PENDING_DATAGRAMS", 2)
    events = lb.inside(EventSocket)
    try:
        for number in range(3):
            lb.ip(f"neigh add 10.0.1.{number + 100} lladdr 02:00:00:00:00:63 dev p1")
            events._collect(lambda: None)
        assert events.take() is None
        assert events.take() == []
    finally:
        events.close()
