"""Networks for the tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.underlay.network import Namespace, connect, namespaces
from tests.underlay.node import Node


@pytest.fixture
def wires() -> Iterator[tuple[Namespace, Namespace]]:
    """A node with 10.0.0.1/24 on p0 and 10.0.1.1/24 on p1, and a peer with .2 on each."""
    with namespaces("lb", "peer") as (lb, peer):
        for number in (0, 1):
            connect(lb, f"p{number}", peer, f"p{number}")
            lb.ip(f"addr add 10.0.{number}.1/24 dev p{number}")
            peer.ip(f"addr add 10.0.{number}.2/24 dev p{number}")
            lb.sysctl(f"net.ipv4.neigh.p{number}.locktime=0")
        yield lb, peer


@pytest.fixture
def lb(wires: tuple[Namespace, Namespace]) -> Namespace:
    return wires[0]


@pytest.fixture
def peer(wires: tuple[Namespace, Namespace]) -> Namespace:
    return wires[1]


@pytest.fixture
async def node(lb: Namespace) -> AsyncIterator[Node]:
    made = Node(lb)
    yield made
    made.underlay.close()


@pytest.fixture
def bridged() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """A node with 10.0.0.1/24 on the bridge br0 {p0, p1}; a host at each port, the left has .2."""
    with namespaces("lb", "left", "right") as (lb, left, right):
        lb.ip("link add br0 type bridge")
        lb.ip("link set br0 up")
        for device, host in (("p0", left), ("p1", right)):
            connect(lb, device, host, "p0")
            lb.ip(f"link set {device} master br0")
        lb.ip("addr add 10.0.0.1/24 dev br0")
        left.ip("addr add 10.0.0.2/24 dev p0")
        yield lb, left, right


@pytest.fixture
async def bridge_node(
    bridged: tuple[Namespace, Namespace, Namespace],
) -> AsyncIterator[Node]:
    made = Node(bridged[0])
    yield made
    made.underlay.close()
