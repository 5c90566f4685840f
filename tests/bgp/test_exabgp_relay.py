"""ExaBGP's relay, without I/O: what it says to ExaBGP and to the daemon."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bgp.relay.exabgp import RETRY_S, ExabgpRelay
from headrace.bgp.relay.exabgp_text import LIMIT_COMMAND_PREFIXES
from headrace.bgp.relay.messages import (
    LIMIT_LINE_BYTES,
    PROTOCOL_VERSION,
    MessageError,
    Side,
)
from headrace.bgp.relay.wanted import Wanted
from tests.bgp.relay_lines import (
    OTHER,
    R1,
    R2,
    R6,
    VIP,
    announce_line,
    command_line,
    hand_over_line,
    state_line,
)
from tests.bgp.support import whole as all_fields

BESIDE = {"10.9.1.1": "fd09:1::1", "fd09::1": "10.9.9.1"}


def new_relay(wanted: Wanted | None = None) -> ExabgpRelay:
    return ExabgpRelay(exabgp_pid=42, wanted=wanted or Wanted(), beside=BESIDE.get)


def commands_of(relay: ExabgpRelay) -> list[str]:
    return relay.data_to_send(Side.SPEAKER).decode().splitlines()


def told_by(relay: ExabgpRelay) -> list[dict[str, Any]]:
    return [json.loads(line) for line in relay.data_to_send(Side.DAEMON).splitlines()]


def announcing(*prefixes: str) -> ExabgpRelay:
    """A relay whose one peer has heard of these prefixes."""
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    relay.receive(Side.DAEMON, announce_line(1, *prefixes), 0.0)
    relay.receive(Side.SPEAKER, b"done\n" * len(commands_of(relay)), 0.0)
    relay.data_to_send(Side.DAEMON)
    return relay


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def with_a_tail_begun(data: bytes) -> list[bytes]:
    return [data + b'{"type": "ann']


@pytest.mark.parametrize("split", [whole, byte_by_byte, with_a_tail_begun])
def test_a_set_is_told_to_a_peer_and_then_acknowledged(
    split: Callable[[bytes], list[bytes]],
) -> None:
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 3.0)
    relay.data_to_send(Side.DAEMON)
    wanted = {"prefix": VIP, "med": 5, "communities": ["1:2", "1:2:3", "65535:65281"]}

    for part in split(announce_line(7, wanted)):
        relay.receive(Side.DAEMON, part, 4.0)
    commands = commands_of(relay)
    before = told_by(relay)
    relay.receive(Side.SPEAKER, b"done\n", 4.0)

    attributes = "next-hop 10.9.1.1 med 5 community [ 1:2 65535:65281 ] large-community [ 1:2:3 ]"
    assert commands == [f"neighbor {R1} announce attributes {attributes} nlri {VIP}"]
    assert before == []
    assert told_by(relay) == [{"type": "answer", "id": 7, "problems": [], "lines": []}]


@pytest.mark.parametrize("split", [whole, byte_by_byte, with_a_tail_begun])
def test_what_exabgp_says_may_come_in_any_pieces(split: Callable[[bytes], list[bytes]]) -> None:
    relay = new_relay()
    relay.connect(0.0)
    told_by(relay)

    for part in split(state_line(R1, "up") + state_line(R2, "connected") + state_line(R1, "down")):
        relay.receive(Side.SPEAKER, part, 3.0)

    assert told_by(relay) == [
        {"type": "session", "peer": R1, "state": "up", "since": 3.0, "reason": ""}
        | {"families": None, "unsaid": []},
        {"type": "session", "peer": R1, "state": "down", "since": 3.0, "reason": "peer reset"},
    ]


def test_only_the_difference_is_sent() -> None:
    relay = announcing("20.20.20.1/32", OTHER, "20.20.20.3/32")

    relay.receive(
        Side.DAEMON,
        announce_line(2, "20.20.20.1/32", {"prefix": OTHER, "med": 9}, "20.20.20.4/32"),
        1.0,
    )

    assert commands_of(relay) == [
        f"neighbor {R1} withdraw attributes next-hop 10.9.1.1 nlri 20.20.20.3/32",
        f"neighbor {R1} announce attributes next-hop 10.9.1.1 med 9 nlri 20.20.20.2/32",
        f"neighbor {R1} announce attributes next-hop 10.9.1.1 nlri 20.20.20.4/32",
    ]


def test_a_set_that_nobody_can_hear_is_acknowledged_and_told_later() -> None:
    relay = new_relay()
    relay.connect(0.0)
    told_by(relay)

    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    answers = told_by(relay)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 5.0)

    assert [answer["id"] for answer in answers] == [1]
    assert len(commands_of(relay)) == 1


def test_a_session_carries_the_family_of_its_own_end() -> None:
    relay = new_relay()
    relay.connect(0.0)
    for peer in (R1, R6):
        relay.receive(Side.SPEAKER, state_line(peer, "up"), 0.0)

    relay.receive(Side.DAEMON, announce_line(1, VIP, "2001:db8::1/128"), 0.0)

    assert commands_of(relay) == [
        f"neighbor {R1} announce attributes next-hop 10.9.1.1 nlri {VIP}",
        "neighbor fd09::254 announce attributes next-hop fd09::1 nlri 2001:db8::1/128",
    ]


def test_a_large_set_is_cut_into_commands_of_bounded_length() -> None:
    prefixes = [f"20.{n >> 8}.{n & 255}.0/24" for n in range(LIMIT_COMMAND_PREFIXES + 1)]
    relay = new_relay()
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)

    relay.receive(Side.DAEMON, announce_line(1, *prefixes), 0.0)

    lengths = [len(command.partition(" nlri ")[2].split()) for command in commands_of(relay)]
    assert lengths == [LIMIT_COMMAND_PREFIXES, 1]


def test_changes_wait_until_exabgp_has_answered_those_before() -> None:
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    commands_of(relay)

    relay.receive(Side.DAEMON, announce_line(2), 0.0)
    relay.receive(Side.DAEMON, announce_line(3, OTHER), 0.0)
    waiting = commands_of(relay)
    relay.receive(Side.SPEAKER, b"done\n", 0.0)

    assert waiting == []
    assert [command.split()[2] for command in commands_of(relay)] == ["withdraw", "announce"]


def test_what_exabgp_refuses_is_reported_and_not_tried_again_at_once() -> None:
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    told_by(relay)
    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    (command,) = commands_of(relay)

    relay.receive(Side.SPEAKER, b"error\n", 0.0)

    assert told_by(relay) == [
        {"type": "refused", "command": command},
        {"type": "answer", "id": 1, "problems": [command], "lines": []},
    ]
    assert commands_of(relay) == []


@pytest.mark.parametrize(
    ("prefixes", "action"),
    [pytest.param((), "withdraw", id="withdrawn"), pytest.param((VIP,), "announce", id="changed")],
)
def test_what_exabgp_refused_is_told_anew_with_the_next_set_until_it_is_done(
    prefixes: tuple[str, ...], action: str
) -> None:
    relay = announcing(VIP, OTHER)
    routes = [{"prefix": prefix, "med": 9} for prefix in prefixes] + [{"prefix": OTHER}]
    actions, problems = [], []

    for request_id, reply in enumerate([b"error\n", b"error\n", b"done\n", b""], start=2):
        relay.receive(Side.DAEMON, announce_line(request_id, *routes), 1.0)
        commands = commands_of(relay)
        actions.append([command.split()[2] for command in commands])
        relay.receive(Side.SPEAKER, reply, 1.0)
        answers = [message for message in told_by(relay) if message["type"] == "answer"]
        problems += [answer["problems"] == commands for answer in answers if answer["problems"]]
        assert commands_of(relay) == []

    assert actions == [[action], [action], [action], []]
    assert problems == [True, True]


def test_a_withdrawal_without_a_daemon_is_tried_again_after_a_while_until_it_is_done() -> None:
    relay = announcing(VIP)
    relay.disconnect(100.0)
    asked, deadlines = [], []

    for now, reply in [(160.0, b"error\n"), (161.0, b""), (160.0 + RETRY_S, b"done\n"), (1e3, b"")]:
        relay.tick(now)
        asked.append([command.split()[2] for command in commands_of(relay)])
        relay.receive(Side.SPEAKER, reply, now)
        deadlines.append(relay.next_deadline())

    assert asked == [["withdraw"], [], ["withdraw"], []]
    assert deadlines == [160.0 + RETRY_S, 160.0 + RETRY_S, None, None]


def test_why_a_session_does_not_come_up_is_told_once_for_each_reason_to_each_daemon() -> None:
    relay = new_relay()
    relay.connect(0.0)
    told_by(relay)

    relay.receive(Side.SPEAKER, state_line(R1, "down") * 2, 3.0)
    first = told_by(relay)
    relay.disconnect(4.0)
    relay.connect(5.0)
    told_by(relay)
    relay.receive(Side.SPEAKER, state_line(R1, "down"), 6.0)

    down = {"type": "session", "peer": R1, "state": "down", "reason": "peer reset"}
    assert first == [down | {"since": 3.0}]
    assert told_by(relay) == [down | {"since": 6.0}]


def test_a_command_is_answered_with_the_lines_that_exabgp_printed() -> None:
    relay = announcing(VIP)

    relay.receive(Side.DAEMON, command_line(4, "show neighbor summary"), 0.0)
    commands = commands_of(relay)
    relay.receive(
        Side.SPEAKER, b"Peer AS\n" + state_line(R2, "up") + b"10.9.1.254 65001\ndone\n", 0.0
    )

    answer = next(message for message in told_by(relay) if message["type"] == "answer")
    assert commands == ["show neighbor summary"]
    assert answer["lines"] == ["Peer AS", "10.9.1.254 65001"]


def test_a_session_without_a_known_address_of_ours_is_begun_again() -> None:
    relay = announcing(VIP)

    relay.receive(Side.SPEAKER, state_line(R2, "up", local="None"), 0.0)

    assert commands_of(relay) == [f"neighbor {R2} teardown 4"]


def test_the_greeting_tells_a_new_daemon_what_there_is() -> None:
    relay = announcing(VIP)
    relay.disconnect(1.0)

    relay.connect(0.0)

    assert told_by(relay) == [
        {
            "type": "hello",
            "version": PROTOCOL_VERSION,
            "speaker": 42,
            "announcements": [all_fields(VIP)],
            "sessions": [[R1, 0.0]],
            "families": {},
            "unsaid": {},
            "watched": [],
        }
    ]


def test_announcements_outlive_the_daemon_for_a_while() -> None:
    relay = announcing(VIP)
    relay.disconnect(100.0)

    relay.tick(159.9)
    kept = commands_of(relay)
    relay.tick(160.0)

    assert kept == []
    assert commands_of(relay) == [f"neighbor {R1} withdraw attributes next-hop 10.9.1.1 nlri {VIP}"]
    assert relay.next_deadline() is None


def test_what_outlived_the_daemon_may_leave_before_it_is_withdrawn() -> None:
    relay = announcing(VIP)
    leaving = all_fields({"prefix": VIP, "communities": ["65535:0"]})
    relay.receive(Side.DAEMON, announce_line(2, VIP, drain_s=30.0, leaving=[leaving]), 0.0)
    relay.disconnect(100.0)

    relay.tick(160.0)
    drained = commands_of(relay)
    relay.receive(Side.SPEAKER, b"done\n", 160.0)
    relay.tick(189.9)
    kept = commands_of(relay)
    relay.tick(190.0)

    expected = "announce attributes next-hop 10.9.1.1 community [ 65535:0 ] nlri"
    assert drained == [f"neighbor {R1} {expected} {VIP}"]
    assert kept == []
    assert commands_of(relay) == [f"neighbor {R1} withdraw attributes next-hop 10.9.1.1 nlri {VIP}"]
    assert relay.next_deadline() is None


def test_the_while_stands_still_for_a_daemon_that_announces_nothing() -> None:
    relay = announcing(VIP)
    relay.disconnect(100.0)
    relay.connect(110.0)
    while_it_is_there = relay.next_deadline()
    relay.disconnect(150.0)

    assert while_it_is_there is None
    assert relay.next_deadline() == 200.0


def test_a_daemon_that_announces_ends_the_while() -> None:
    relay = announcing(VIP)
    relay.disconnect(100.0)
    relay.connect(0.0)

    relay.receive(Side.DAEMON, announce_line(1, VIP), 150.0)
    relay.tick(1000.0)

    assert commands_of(relay) == []
    assert relay.next_deadline() is None


def test_what_an_absent_daemon_asked_is_not_answered_to_its_successor() -> None:
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    relay.receive(Side.DAEMON, command_line(2, "version"), 0.0)

    relay.disconnect(1.0)
    relay.connect(0.0)
    told_by(relay)
    relay.receive(Side.SPEAKER, b"done\n", 1.0)

    assert told_by(relay) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\n", id="empty"),
        pytest.param(b"announce\n", id="not JSON"),
        pytest.param(b"[1]\n", id="a list"),
        pytest.param(b'{"type": "sing", "id": 1}\n', id="an unknown type"),
        pytest.param(b'{"type": "announce", "id": 1}\n', id="no announcements"),
        pytest.param(announce_line(1, announcements=[["a"]]), id="half a route"),
        pytest.param(announce_line(1, announcements=[[[], 1, [], 0, None, None]]), id="a list"),
        pytest.param(announce_line(1, peers={R1: [65001]}), id="half the terms"),
        pytest.param(announce_line(1, peers=[R1]), id="no terms"),
        pytest.param(announce_line(1, keep_s=[]), id="no time"),
        pytest.param(b'{"type": "hand_over", "id": 1}\n', id="no time to hand over in"),
        pytest.param(b'{"type": "command", "id": 1}\n', id="no text"),
        pytest.param(b"x" * (LIMIT_LINE_BYTES + 1), id="a line over the limit"),
    ],
)
def test_what_is_no_message_changes_nothing(line: bytes) -> None:
    relay = announcing(VIP)

    with pytest.raises(MessageError):
        relay.receive(Side.DAEMON, line, 0.0)

    relay.disconnect(0.0)
    relay.connect(0.0)
    assert told_by(relay)[0]["announcements"] == [all_fields(VIP)]


@given(st.sampled_from(Side), st.binary() | st.text(alphabet='{}[]":,\n1a').map(str.encode))
def test_no_bytes_raise_anything_but_a_message_error(side: Side, data: bytes) -> None:
    relay = announcing(VIP)

    try:
        relay.receive(side, data + b"\n", 0.0)
    except MessageError:
        assert side is Side.DAEMON


def test_new_terms_are_told_as_a_difference() -> None:
    relay = announcing(VIP, OTHER)

    relay.receive(Side.DAEMON, announce_line(2, VIP, OTHER, peers={R1: [65001, [6], False]}), 0.0)

    assert [command.split()[2] for command in commands_of(relay)] == ["withdraw"]


def test_the_end_of_a_set_is_told_once_a_session_when_there_is_a_set() -> None:
    relay = new_relay()
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    before = commands_of(relay)

    relay.receive(Side.DAEMON, announce_line(1, VIP, end_of_rib=True), 0.0)
    commands = commands_of(relay)
    relay.receive(Side.SPEAKER, b"done\n" * len(commands), 0.0)
    relay.receive(Side.DAEMON, announce_line(2, OTHER, end_of_rib=True), 0.0)

    assert before == []
    assert [command.split()[2] for command in commands] == ["announce", "announce"]
    assert commands[-1] == f"neighbor {R1} announce eor ipv4 unicast"
    assert not any("eor" in command for command in commands_of(relay))


def test_a_set_is_handed_over_to_the_next_relay() -> None:
    relay = announcing(VIP)
    relay.receive(Side.DAEMON, hand_over_line(5, within_s=10.0), 100.0)
    wanted, before = Wanted(), told_by(relay)

    inherited = wanted.inherit(relay.handover or "", 109.0)
    relay.note_kept(None, 100.0)
    heir = new_relay(wanted)
    heir.receive(Side.SPEAKER, state_line(R1, "up"), 110.0)

    assert before == []
    assert inherited
    assert told_by(relay)[-1] == {"type": "answer", "id": 5, "problems": [], "lines": []}
    assert commands_of(heir) == [f"neighbor {R1} announce attributes next-hop 10.9.1.1 nlri {VIP}"]
    assert heir.next_deadline() == 169.0
