"""Why sessions are down: the speakers' words as they were seen, and the remedy beside them."""

from ipaddress import ip_address, ip_network

import pytest

from headrace.bgp.link import Carried, Hello
from headrace.bgp.remedies import explain_down
from headrace.bgp.sessions import DOWN_DELAY_S, Sessions
from headrace.model import Bgp, Family, SessionEvent, SessionState, build_bgp

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


def up_with(*families: str, unsaid: str = "", **peer: object) -> list[str]:
    """The alarms of one session that is up and carries these."""
    given = {"address": str(PEER), "as": 64513} | peer
    bgp = build_bgp({"as": 64512, "router_id": "10.9.1.1", "peers": [given]})
    sessions = Sessions(lambda _event: None)
    sessions.keep(bgp)
    prefixes = frozenset(map(ip_network, unsaid.split()))
    carried = Carried(frozenset(map(Family, families)) if families else None, prefixes)
    sessions.note(SessionEvent(PEER, SessionState.UP), 1.0, carried)
    return sessions.alarms(bgp, 1000.0)


def test_a_family_that_a_session_did_not_negotiate_is_an_alarm_with_its_remedy() -> None:
    both = ["ipv4", "ipv6"]

    (alarm,) = up_with("ipv4", families=both)

    assert alarm.startswith("BGP with 10.9.1.254 carries no ipv6 prefixes: ")
    assert "enable (activate) ipv6 unicast for this node there" in alarm
    assert "or take ipv6 from the peer's families" in alarm
    assert up_with(*both, families=both) == up_with("ipv4") == up_with(families=both) == []


def test_a_prefix_without_a_next_hop_is_an_alarm_while_the_session_is_up() -> None:
    (one,) = up_with(unsaid="fd00::1/128")
    (many,) = up_with(unsaid="fd00::2/128 fd00::1/128")

    assert f"{PEER} is not told of fd00::1/128: " in one
    assert f"{PEER} is not told of fd00::1/128 and 1 more: " in many


def test_what_a_session_carries_is_forgotten_with_it() -> None:
    sessions, bgp = Sessions(lambda _event: None), section()
    sessions.keep(bgp)
    carried = Carried(frozenset({Family.IPV4}), frozenset({ip_network("20.20.20.1/32")}))
    hello = Hello(4, 1, frozenset(), {PEER: 1.0}, {}, {PEER: carried})

    sessions.meet(hello)
    up = sessions.families, sessions.unsaid
    sessions.lose("the speaker ended")

    assert up == ({PEER: carried.families}, {PEER: carried.unsaid})
    assert (sessions.families, sessions.unsaid) == ({}, {})
