"""What an operator sees is of the moment of asking, however often it was asked before."""

from ipaddress import ip_address

from headrace.control.kept import Kept
from headrace.control.status import StatusBuilder
from headrace.model import Health, parse_document

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
