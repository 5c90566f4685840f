"""Why sessions are down: the speakers' words as they were seen, and the remedy beside them."""

from ipaddress import ip_address, ip_network

import pytest

from headrace.bgp.link import Hello
from headrace.bgp.remedies import explain_down
from headrace.bgp.sessions import DOWN_DELAY_S, Sessions, Unsaid
from headrace.model import Announcement, Bgp, SessionEvent, SessionState, build_bgp

PEER = ip_address("10.9.1.254")


def section() -> Bgp:
    """One peer at a port of its own."""
    peer = {"address": str(PEER), "as": 64513, "port": 1790}
    return build_bgp({"as": 64512, "router_id": "10.9.1.1", "peers": [peer]})


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        pytest.param("", "`password`", id="silence"),
        pytest.param("closing connection", "`password`", id="ExaBGP: no connection"),
        pytest.param("notification sent (2,2)", "AS numbers differ", id="ExaBGP: wrong AS"),
        pytest.param("BGP Error: Bad peer AS", "AS numbers differ", id="BIRD: wrong AS"),
        pytest.param("Received: Bad peer AS", "AS numbers differ", id="BIRD: wrong AS there"),
        pytest.param("Received: Bad BGP identifier", "router_id", id="BIRD: same router id"),
        pytest.param("notification sent (4,0)", "loses packets", id="ExaBGP: hold timer"),
        pytest.param("BGP Error: Hold timer expired", "loses packets", id="BIRD: hold timer"),
        pytest.param("Received: Administrative shutdown", "enable", id="BIRD: shut down"),
        pytest.param("Received: Connection rejected", "as a neighbour", id="BIRD: unknown there"),
        pytest.param("Socket: Connection refused", "nothing listens", id="BIRD: nobody there"),
        pytest.param("Socket: No route to host", "ip route get", id="BIRD: no route"),
        pytest.param("something new", "the router says", id="unknown"),
    ],
)
def test_a_session_that_is_down_is_told_with_its_remedy(reason: str, remedy: str) -> None:
    said = explain_down(section().peers[0], reason)

    assert said.startswith("BGP with 10.9.1.254 port 1790: ")
    assert remedy in said
    assert reason == "closing connection" or reason in said


def test_it_is_an_alarm_while_the_session_is_down_for_longer_than_a_moment() -> None:
    events: list[SessionEvent] = []
    sessions, bgp = Sessions(events.append), section()
    sessions.keep(bgp)
    sessions.note(SessionEvent(PEER, SessionState.UP), 100.0)
    up = sessions.alarms(bgp, 1000.0)

    sessions.note(SessionEvent(PEER, SessionState.DOWN, "first"), 1000.0)
    young = sessions.alarms(bgp, 1000.0 + DOWN_DELAY_S / 2)
    sessions.note(SessionEvent(PEER, SessionState.DOWN, "second"), 1000.0 + DOWN_DELAY_S)
    (old,) = sessions.alarms(bgp, 1000.0 + DOWN_DELAY_S)

    assert (up, young) == ([], [])
    assert "second" in old
    assert [event.reason for event in events] == ["", "first"]
    assert sessions.states[PEER] == (SessionState.DOWN, 1000.0)


def test_what_kept_a_session_down_is_forgotten_once_it_is_up() -> None:
    sessions, bgp = Sessions(lambda _event: None), section()
    sessions.keep(bgp)
    sessions.note(SessionEvent(PEER, SessionState.DOWN, "first"), 0.0)

    sessions.meet(Hello(4, 1, frozenset(), {PEER: 1.0}, {}))
    sessions.note(SessionEvent(PEER, SessionState.DOWN), 2.0)

    assert "no answer" in sessions.alarms(bgp, 1000.0)[0]


UNSAID = f"neighbor {PEER} announce: no own address beside 10.9.1.1 for the next hop of "


def test_a_prefix_without_a_next_hop_is_an_alarm_while_it_is_desired() -> None:
    first, other = (Announcement(ip_network(f"fd00::{n}/128")) for n in range(2))
    unsaid = Unsaid()
    for each in (first, other):
        unsaid.note(f"{UNSAID}{each.prefix}", frozenset((first, other)))
    unsaid.note(f"neighbor {PEER} withdraw attributes nlri {first.prefix}", frozenset((first,)))

    (alarm,) = unsaid.alarms(frozenset((first, other)))
    changed = unsaid.alarms(frozenset((other,)))
    unsaid.forget(PEER)

    assert f"{PEER} is not told of {first.prefix}" in alarm
    assert changed == []
    assert unsaid.alarms(frozenset((first, other))) == []
