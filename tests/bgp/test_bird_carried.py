"""What sessions carry, as BIRD's relay tells it, without I/O."""

from typing import Any

import pytest

from headrace.bgp.relay.bird import BirdRelay
from headrace.bgp.relay.messages import Side
from tests.bgp.relay_lines import OTHER, R1, VIP, announce_line
from tests.bgp.test_bird_relay import (
    DONE,
    NAME,
    SHOWN,
    commands_of,
    learnt,
    ready_relay,
    told_by,
)

NOT_AGREED = SHOWN.replace(b"UP\n     Table:          master6", b"DOWN\n     Table:       x")
NOT_SHOWN = b"".join(line + b"\n" for line in SHOWN.splitlines() if b"Channel" not in line)
VIP6 = "2001:db8::1/128"
BOTH = {R1: [65001, [4, 6], False]}


def with_session(*routes: str | dict[str, Any], shown: bytes = SHOWN) -> BirdRelay:
    """A relay whose one session is shown so, and which wants these routes."""
    relay = ready_relay()
    relay.receive(Side.DAEMON, announce_line(1, *routes, peers=BOTH), 0.0)
    commands_of(relay)
    relay.receive(Side.SPEAKER, DONE + f"+{NAME}: State changed to up\n".encode(), 1.0)
    told_by(relay)
    learnt(relay, 2.0, shown)
    return relay


@pytest.mark.parametrize(
    ("shown", "families"),
    [
        pytest.param(SHOWN, [4, 6], id="both"),
        pytest.param(NOT_AGREED, [4], id="the router has one"),
        pytest.param(SHOWN.replace(b"State:          UP", b"State:          DOWN"), [], id="none"),
        pytest.param(NOT_SHOWN, None, id="another BIRD"),
    ],
)
def test_a_session_is_told_with_the_families_that_bird_shows(
    shown: bytes, families: list[int] | None
) -> None:
    relay = ready_relay()

    relay.receive(Side.SPEAKER, f"+{NAME}: State changed to up\n".encode(), 1.0)
    before = told_by(relay)
    told = learnt(relay, 2.0, shown)
    relay.disconnect(3.0)
    relay.connect(4.0)

    up = {"type": "session", "peer": R1, "state": "up", "since": 1.0, "reason": ""}
    assert before == []
    assert told == [up | {"families": families, "unsaid": []}]
    assert told_by(relay)[0]["families"] == ({} if families is None else {R1: families})


def test_a_session_that_is_gone_before_bird_shows_it_is_not_told() -> None:
    relay = ready_relay()

    relay.receive(Side.SPEAKER, f"+{NAME}: State changed to up\n".encode(), 1.0)
    gone = learnt(relay, 2.0, b"8003 No protocols match\n")
    relay.receive(Side.SPEAKER, f"+{NAME}: State changed to up\n".encode(), 3.0)

    assert gone == []
    assert [each["since"] for each in learnt(relay, 4.0)] == [3.0]


@pytest.mark.parametrize(
    ("route", "shown", "unsaid"),
    [
        pytest.param(VIP6, SHOWN, [VIP6], id="no own address"),
        pytest.param({"prefix": VIP6, "next_hop": "2001:db8::9"}, SHOWN, [], id="given"),
        pytest.param({"prefix": VIP6, "next_hop": "10.9.1.9"}, SHOWN, [VIP6], id="the other's"),
        pytest.param(VIP6, SHOWN.replace(b"::\n", b"fd09::1\n"), [], id="an own address"),
        pytest.param(VIP6, NOT_AGREED, [], id="not carried at all"),
        pytest.param(VIP6, NOT_SHOWN, [], id="not known"),
    ],
)
def test_what_a_session_has_no_next_hop_for_is_told(
    route: str | dict[str, Any], shown: bytes, unsaid: list[str]
) -> None:
    relay = with_session(VIP, route, shown=shown)
    relay.disconnect(3.0)
    relay.connect(4.0)
    hello = told_by(relay)[0]

    relay.receive(Side.DAEMON, announce_line(2, VIP, peers=BOTH), 5.0)
    after = told_by(relay)

    assert hello["unsaid"].get(R1, []) == unsaid
    assert [each["unsaid"] for each in after if each["type"] == "session"] == [[]] * bool(unsaid)


def test_a_route_that_bird_will_not_say_to_a_peer_is_told_while_it_is_like_that() -> None:
    invalid = {"prefix": VIP, "next_hop": R1}  # the peer itself
    relay = with_session(invalid, OTHER)

    notice = f"+{NAME}: Invalid route {VIP} withdrawn\n".encode()
    relay.receive(Side.SPEAKER, notice * 2, 3.0)
    told = told_by(relay)
    relay.receive(Side.DAEMON, announce_line(2, VIP, OTHER, peers=BOTH), 4.0)

    assert [each["unsaid"] for each in told] == [[VIP]]
    assert [each["unsaid"] for each in told_by(relay)] == [[]]
