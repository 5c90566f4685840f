"""BIRD's relay, without I/O: what it says to BIRD and to the daemon."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bgp.relay.bird import DEAF_S, ECHO, POLL_S, RETRY_S, BirdRelay
from headrace.bgp.relay.bird_text import name_of, peer_of, render_routes
from headrace.bgp.relay.messages import MessageError, Route, Side
from headrace.bgp.relay.wanted import Wanted
from tests.bgp.relay_lines import (
    OTHER,
    R1,
    VIP,
    announce_line,
    command_line,
    hand_over_line,
)
from tests.bgp.support import whole

GREETING = b"0001 BIRD 2.0.12 ready.\n"
DONE = b"0003 Reconfigured\n"
REFUSED = b"8002 no\n"
NAME = "peer_10_9_1_254"
ESTABLISHED = (
    b"2002-Name       Proto      Table      State  Since         Info\n"
    b"1002-peer_10_9_1_254 BGP        ---        up     2026-11-26 16:26:12.601  Established   \n"
    b"0000 \n"
)
ACTIVE = ESTABLISHED.replace(b"up    ", b"start ").replace(
    b"Established   ", b"Active   Socket: No"
)
SHOWN = (
    b"1002-peer_10_9_1_254 BGP        ---        up     2026-11-26 16:26:12.601  Established   \n"
    b"1006-  BGP state:          Established\n"
    b"     Neighbor address: 10.9.1.254\n"
    b"       Multiprotocol\n"
    b"         AF announced: ipv4 ipv6\n"
    b"   Channel ipv4\n"
    b"     State:          UP\n"
    b"     Table:          master4\n"
    b"     BGP Next hop:   10.9.1.1\n"
    b"   Channel ipv6\n"
    b"     State:          UP\n"
    b"     Table:          master6\n"
    b"     BGP Next hop:   ::\n"
    b" \n"
    b"0000 \n"
)
ASKED = f'show protocols all "{NAME}"'
WATCHED = (
    b"1020-bfd1:\n"
    b" IP address                Interface  State      Since         Interval  Timeout\n"
    b" 10.9.1.254                r1         Up         2026-11-26 16:40:36.855    0.100    0.300\n"
    b"0000 \n"
)
NOT_WATCHED = WATCHED.replace(b"Up  ", b"Down")
INIT = WATCHED.replace(b"Up  ", b"Init")
ADMIN_DOWN = WATCHED.replace(b"Up  ", b"AdminDown")
NO_BFD = b"1020-bfd1:\n IP address                Interface  State\n0000 \n"


def commands_of(relay: BirdRelay) -> list[str]:
    return relay.data_to_send(Side.SPEAKER).decode().splitlines()


def told_by(relay: BirdRelay) -> list[dict[str, Any]]:
    return [json.loads(line) for line in relay.data_to_send(Side.DAEMON).splitlines()]


def ready_relay() -> BirdRelay:
    """A relay that BIRD and a daemon have greeted."""
    relay = BirdRelay(own_pid=42, wanted=Wanted())
    relay.receive(Side.SPEAKER, GREETING + b"0000 \n", 0.0)
    relay.connect(0.0)
    commands_of(relay)
    told_by(relay)
    relay.routes_file = None
    return relay


def announcing(*prefixes: str) -> BirdRelay:
    """A relay whose BIRD has taken these prefixes."""
    relay = ready_relay()
    relay.receive(Side.DAEMON, announce_line(1, *prefixes), 0.0)
    commands_of(relay)
    relay.receive(Side.SPEAKER, DONE, 0.0)
    told_by(relay)
    relay.routes_file = None
    return relay


def looked(relay: BirdRelay, sessions: bytes, watched: bytes, now: float) -> list[dict[str, Any]]:
    """What a relay tells after a look at BIRD that shows this."""
    relay.tick(now)
    relay.receive(Side.SPEAKER, sessions, now)
    relay.receive(Side.SPEAKER, watched, now)
    return told_by(relay) + learnt(relay, now)


def learnt(relay: BirdRelay, now: float, shown: bytes = SHOWN) -> list[dict[str, Any]]:
    """What a relay tells once BIRD has shown a session that it asks about, if it asks."""
    if ASKED in commands_of(relay):
        relay.receive(Side.SPEAKER, shown, now)
    return told_by(relay)


def test_there_is_a_file_of_routes_before_bird_starts() -> None:
    relay = BirdRelay(own_pid=42, wanted=Wanted())

    assert relay.routes_file == render_routes({}, 0)


def test_nothing_is_asked_before_bird_greets_and_then_one_thing_at_a_time() -> None:
    relay = BirdRelay(own_pid=42, wanted=Wanted())
    relay.connect(0.0)
    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    before = commands_of(relay)

    relay.receive(Side.SPEAKER, GREETING, 1.0)
    first = commands_of(relay)
    relay.receive(Side.SPEAKER, b"0000 \n", 1.0)

    assert before == []
    assert first == [ECHO]
    assert commands_of(relay) == ["configure"]


def test_a_set_is_a_file_that_bird_reads_and_is_then_acknowledged() -> None:
    relay = ready_relay()

    relay.receive(Side.DAEMON, announce_line(7, {"prefix": VIP, "med": 5}), 1.0)
    commands = commands_of(relay)
    before = told_by(relay)
    relay.receive(Side.SPEAKER, b"0002-Reading configuration from x\n" + DONE, 1.0)

    assert relay.routes_file == render_routes({VIP: Route(med=5)}, 64512)
    assert commands == ["configure"]
    assert before == []
    assert [(message["id"], message["problems"]) for message in told_by(relay)] == [(7, [])]


def test_a_set_that_is_the_same_is_acknowledged_at_once() -> None:
    relay = announcing(VIP)

    relay.receive(Side.DAEMON, announce_line(2, VIP), 1.0)

    assert relay.routes_file is None
    assert commands_of(relay) == []
    assert [message["id"] for message in told_by(relay)] == [2]


def test_what_bird_refuses_is_reported() -> None:
    relay = ready_relay()

    relay.receive(Side.DAEMON, announce_line(1, VIP), 0.0)
    relay.receive(Side.SPEAKER, b"0002-Reading\n8002 bird.conf:3:1 syntax error\n", 0.0)

    assert told_by(relay)[0]["problems"] == ["Reading; bird.conf:3:1 syntax error"]


@pytest.mark.parametrize("prefixes", [(), (OTHER,)], ids=["withdrawn", "announced"])
def test_what_bird_refused_is_asked_for_again_until_it_is_taken(prefixes: tuple[str, ...]) -> None:
    relay = announcing(VIP)
    commands, problems = [], []

    for request_id, reply in enumerate([REFUSED, REFUSED, DONE, b""], start=2):
        relay.receive(Side.DAEMON, announce_line(request_id, *prefixes), 1.0)
        commands.append(commands_of(relay))
        relay.receive(Side.SPEAKER, reply, 1.0)
        problems += [message["problems"] for message in told_by(relay)]

    assert commands == [["configure"], ["configure"], ["configure"], []]
    assert problems == [["no"], ["no"], [], []]


def test_a_set_is_not_acknowledged_before_bird_has_taken_it_however_often_it_is_told() -> None:
    relay = ready_relay()
    relay.receive(Side.DAEMON, announce_line(1, VIP) + announce_line(2, VIP), 0.0)
    before = told_by(relay)

    relay.receive(Side.SPEAKER, REFUSED, 0.0)
    relay.receive(Side.SPEAKER, DONE, 0.0)

    assert before == []
    assert [(each["id"], each["problems"]) for each in told_by(relay)] == [(1, ["no"]), (2, [])]


def test_routes_that_could_not_be_written_are_a_problem_and_asked_for_again() -> None:
    relay = announcing(VIP)
    problems, files = [], []

    for request_id, problem in enumerate(["no room", None, None], start=2):
        relay.receive(Side.DAEMON, announce_line(request_id), 1.0)
        files.append(relay.routes_file)
        relay.note_written(problem)
        relay.receive(Side.SPEAKER, DONE * len(commands_of(relay)), 1.0)
        problems += [message["problems"] for message in told_by(relay)]

    assert files == [render_routes({}, 64512), render_routes({}, 64512), None]
    assert problems == [["no room"], [], []]


def test_a_withdrawal_without_a_daemon_is_tried_again_after_a_while_until_it_is_taken() -> None:
    relay = announcing(VIP)
    relay.disconnect(100.0)
    asked = []

    for now, reply in [(160.0, REFUSED), (161.0, b""), (160.0 + RETRY_S, DONE), (1000.0, b"")]:
        relay.tick(now)
        asked.append("configure" in commands_of(relay))
        relay.receive(Side.SPEAKER, reply, now)
        relay.receive(Side.SPEAKER, (ACTIVE + NO_BFD) * 2, now)
        asked[-1] |= "configure" in commands_of(relay)

    assert asked == [True, False, True, False]


def test_announcements_outlive_the_daemon_for_a_while() -> None:
    relay = announcing(VIP)
    relay.tick(100.0)
    commands_of(relay)
    relay.receive(Side.SPEAKER, ESTABLISHED + NO_BFD, 100.0)
    relay.disconnect(100.0)

    relay.tick(159.9)
    kept = relay.routes_file
    relay.tick(160.0)

    assert kept is None
    assert relay.routes_file == render_routes({}, 64512)


def test_what_outlived_the_daemon_may_leave_before_it_is_withdrawn() -> None:
    relay = announcing(VIP)
    left = whole({"prefix": VIP, "communities": ["65535:0"]})
    relay.receive(Side.DAEMON, announce_line(2, VIP, drain_s=30.0, leaving=[left]), 0.0)
    relay.disconnect(100.0)

    relay.tick(160.0)
    drained, relay.routes_file = relay.routes_file, None
    relay.tick(189.9)
    kept = relay.routes_file
    relay.tick(190.0)

    assert drained == render_routes({VIP: Route(communities=("65535:0",))}, 64512)
    assert kept is None
    assert relay.routes_file == render_routes({}, 64512)


def test_a_session_that_comes_and_goes_between_two_looks_is_told_of() -> None:
    relay = ready_relay()
    first = looked(relay, ESTABLISHED, NO_BFD, 1.0)

    relay.receive(
        Side.SPEAKER,
        f"+{NAME}: Received: Administrative reset\n"
        f"+{NAME}: State changed to stop\n"
        f"+{NAME}: State changed to down\n"
        f"+{NAME}: Starting\n"
        f"+{NAME}: State changed to up\n".encode(),
        1.1,
    )
    notices = told_by(relay) + learnt(relay, 1.1)
    after = looked(relay, ESTABLISHED, NO_BFD, 1.0 + POLL_S)

    assert [(each["peer"], each["state"]) for each in first] == [(R1, "up")]
    assert [(each["state"], each["reason"]) for each in notices] == [
        ("down", "Received: Administrative reset"),
        ("up", ""),
    ]
    assert after == []


def test_a_look_tells_of_what_no_notice_told() -> None:
    relay = ready_relay()
    looked(relay, ESTABLISHED, NO_BFD, 1.0)

    down = looked(relay, ACTIVE, NO_BFD, 2.0)
    gone = looked(relay, b"8003 No protocols match\n", NO_BFD, 3.0)

    assert [(each["peer"], each["state"], each["reason"]) for each in down] == [
        (R1, "down", "Socket: No")
    ]
    assert gone == []


def test_why_a_session_does_not_come_up_is_told_once_for_each_reason() -> None:
    relay = ready_relay()

    first = looked(relay, ACTIVE, NO_BFD, 1.0)
    relay.receive(Side.SPEAKER, f"+{NAME}: Error: Bad peer AS: 9\n".encode(), 1.1)
    relay.receive(Side.SPEAKER, f"+{NAME}: State changed to stop\n".encode(), 1.1)
    again = told_by(relay) + looked(relay, ACTIVE, NO_BFD, 2.0)
    other = looked(relay, ACTIVE.replace(b"Socket: No", b"BGP Error: Bad peer AS"), NO_BFD, 3.0)

    assert [(each["state"], each["reason"]) for each in first] == [("down", "Socket: No")]
    assert again == []
    assert [each["reason"] for each in other] == ["BGP Error: Bad peer AS"]


def test_each_change_of_what_bfd_says_is_told_once() -> None:
    relay = ready_relay()
    none = b"9001 There is no BFD protocol running\n"
    looks = [WATCHED, WATCHED, NOT_WATCHED, INIT, ADMIN_DOWN, NO_BFD, none]

    told = [looked(relay, ACTIVE, look, float(now)) for now, look in enumerate(looks, start=1)]

    states = [[m["state"] for m in messages if m["type"] == "watched"] for messages in told]
    assert states == [["up"], [], ["down"], ["init"], ["admin_down"], [None], []]


def test_a_new_daemon_is_told_of_sessions_and_watches() -> None:
    relay = announcing(VIP)
    looked(relay, ESTABLISHED, WATCHED, 3.0)
    relay.disconnect(4.0)

    relay.connect(0.0)

    hello = told_by(relay)[0]
    assert hello["speaker"] == 42
    assert hello["announcements"] == [whole(VIP)]
    assert hello["sessions"] == [[R1, 3.0]]
    assert hello["watched"] == [[R1, "up", 3.0]]


def test_what_an_absent_daemon_asked_is_not_answered_to_its_successor() -> None:
    relay = ready_relay()
    relay.receive(Side.DAEMON, command_line(3, "configure"), 0.0)

    relay.disconnect(1.0)
    relay.connect(0.0)
    told_by(relay)
    relay.receive(Side.SPEAKER, DONE, 1.0)

    assert told_by(relay) == []


def test_a_bird_that_does_not_answer_is_deaf_after_a_while() -> None:
    relay = ready_relay()
    relay.tick(1.0)

    assert relay.next_deadline() == 1.0 + DEAF_S
    assert not relay.is_deaf(0.9 + DEAF_S)
    assert relay.is_deaf(1.0 + DEAF_S)


def test_a_hand_over_keeps_the_set_and_ends_bird_without_a_word_to_routers() -> None:
    relay = announcing(VIP)

    relay.receive(Side.DAEMON, hand_over_line(5, within_s=10.0), 100.0)
    heir, kept, before = Wanted(), relay.handover, commands_of(relay)
    relay.note_kept(None, 100.0)

    assert before == []
    assert commands_of(relay) == ["graceful restart"]
    assert heir.inherit(kept or "", 109.0)
    assert heir.routes == {VIP: Route()}


def test_a_hand_over_that_could_not_be_kept_is_a_problem_and_bird_goes_on() -> None:
    relay = announcing(VIP)
    relay.receive(Side.DAEMON, hand_over_line(5, within_s=10.0), 100.0)

    relay.note_kept("no room", 100.0)

    assert commands_of(relay) == []
    assert [(each["id"], each["problems"]) for each in told_by(relay)] == [(5, ["no room"])]


def test_nothing_leaves_once_it_has_been_withdrawn() -> None:
    relay = announcing(VIP)
    relay.receive(Side.DAEMON, announce_line(2, VIP, drain_s=30.0, leaving=[whole(VIP)]), 0.0)
    relay.disconnect(100.0)

    relay.withdraw(101.0)
    relay.tick(160.0)

    assert relay.routes_file == render_routes({}, 64512)


def test_a_withdrawal_is_settled_once_bird_has_taken_it() -> None:
    relay = announcing(VIP, OTHER)

    relay.withdraw(1.0)
    asked = commands_of(relay), relay.is_settled
    relay.receive(Side.SPEAKER, DONE, 1.0)

    assert asked == (["configure"], False)
    assert relay.routes_file == render_routes({}, 64512)
    assert relay.is_settled


@pytest.mark.parametrize("peer", ["10.9.1.254", "fd09:1::254", "::1", "2001:db8:0:1::"])
def test_a_peers_name_names_it(peer: str) -> None:
    assert peer_of(name_of(peer)) == peer
    assert len(name_of(peer)) < 64  # BIRD's longest name


def test_routes_of_both_families_are_rendered_with_all_they_have() -> None:
    routes = {
        VIP: Route(
            med=5,
            communities=("64512:7", "64512:1:2"),
            prepend=2,
            local_pref=9,
            next_hop="10.9.1.7",
        ),
        "2001:db8::1/128": Route(next_hop="fd09::7"),
    }

    text = render_routes(routes, 64512)

    assert text == (
        "function export_to(ip peer; bool next_hop_is_ipv6) {\n"
        "    reject;\n"
        "}\n"
        "protocol static vips4 {\n"
        "    ipv4;\n"
        "    route 20.20.20.1/32 unreachable { bgp_path.prepend(64512); bgp_path.prepend(64512);"
        " given_med = 5; given_next_hop4 = 10.9.1.7; bgp_local_pref = 9;"
        " bgp_community.add((64512, 7)); bgp_large_community.add((64512, 1, 2)); };\n"
        "}\n"
        "protocol static vips6 {\n"
        "    ipv6;\n"
        "    route 2001:db8::1/128 unreachable { given_next_hop6 = fd09::7; };\n"
        "}\n"
    )


@given(st.sampled_from(Side), st.binary() | st.text(alphabet="+-_peer0129.: \n").map(str.encode))
def test_no_bytes_raise_anything_but_a_message_error(side: Side, data: bytes) -> None:
    relay = announcing(VIP)
    relay.tick(1.0)

    try:
        relay.receive(side, data + b"\n", 1.0)
    except MessageError:
        assert side is Side.DAEMON
