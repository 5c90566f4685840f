"""Which of the kernel's events can change an answer."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from headrace.underlay.changes import (
    Destinations,
    Event,
    FdbEvent,
    Interest,
    LinkEvent,
    NeighbourEvent,
    RouteEvent,
    RulesEvent,
    any_touches,
)
from headrace.underlay.snapshot import FdbKey
from tests.underlay.values import by_index, key, link, mac

ETH0 = link(2, "eth0", None)
INTEREST = Interest(
    links=by_index([ETH0]),
    neighbours={key(2, "10.0.0.1"): mac(1), key(2, "10.0.0.2"): None},
    fdb={FdbKey(3, mac(1)): 4},
    destinations=Destinations([ip_address("56.56.56.1"), ip_address("2001:db8::1")]),
)


def route(network: str, prefix_length: int) -> RouteEvent:
    return RouteEvent(ip_address(network), prefix_length)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(LinkEvent(2, replace(ETH0, carrier=False)), id="carrier lost"),
        pytest.param(LinkEvent(2, None), id="link gone"),
        pytest.param(LinkEvent(5, link(5, "eth1")), id="link new"),
        pytest.param(NeighbourEvent(key(2, "10.0.0.1"), mac(9)), id="neighbour's MAC changed"),
        pytest.param(NeighbourEvent(key(2, "10.0.0.1"), None), id="neighbour lost"),
        pytest.param(NeighbourEvent(key(2, "10.0.0.2"), mac(9)), id="neighbour answered"),
        pytest.param(FdbEvent(FdbKey(3, mac(1)), 5), id="MAC moved to another port"),
        pytest.param(FdbEvent(FdbKey(3, mac(1)), None), id="MAC forgotten"),
        pytest.param(route("56.56.56.1", 32), id="host route"),
        pytest.param(route("56.56.0.0", 16), id="covering route"),
        pytest.param(route("0.0.0.0", 0), id="default route"),
        pytest.param(route("2001:db8::", 64), id="IPv6 route"),
        pytest.param(RulesEvent(), id="address, rule or next-hop object"),
    ],
)
def test_an_event_of_something_that_an_answer_depends_on_matters(event: Event) -> None:
    assert any_touches([event], INTEREST)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(LinkEvent(2, ETH0), id="link as it was"),
        pytest.param(LinkEvent(5, None), id="unknown link gone"),
        pytest.param(NeighbourEvent(key(2, "10.0.0.1"), mac(1)), id="neighbour turned stale"),
        pytest.param(NeighbourEvent(key(2, "10.0.0.9"), mac(9)), id="another neighbour"),
        pytest.param(NeighbourEvent(key(3, "10.0.0.1"), mac(9)), id="on another device"),
        pytest.param(FdbEvent(FdbKey(3, mac(1)), 4), id="MAC where it was"),
        pytest.param(FdbEvent(FdbKey(3, mac(7)), 5), id="another host's MAC"),
        pytest.param(route("56.56.56.0", 32), id="neighbouring host route"),
        pytest.param(route("57.0.0.0", 8), id="route to elsewhere"),
        pytest.param(route("2001:db8:1::", 48), id="IPv6 route to elsewhere"),
    ],
)
def test_an_event_that_no_answer_depends_on_does_not_matter(event: Event) -> None:
    assert not any_touches([event], INTEREST)


def test_a_default_route_of_a_family_without_destinations_does_not_matter() -> None:
    interest = Interest(destinations=Destinations([ip_address("56.56.56.1")]))

    assert not any_touches([route("::", 0)], interest)


def test_of_several_events_of_one_thing_only_the_last_matters() -> None:
    lost = NeighbourEvent(key(2, "10.0.0.1"), None)
    back = NeighbourEvent(key(2, "10.0.0.1"), mac(1))

    assert not any_touches([lost, back], INTEREST)
    assert any_touches([back, lost], INTEREST)


def test_every_route_event_matters_by_itself() -> None:
    assert any_touches([route("56.56.56.1", 32), route("99.0.0.0", 8)], INTEREST)
