"""What sessions carry, as ExaBGP's relay tells it, without I/O."""

import pytest

from headrace.bgp.relay.messages import Side
from tests.bgp.relay_lines import R1, R2, R6, VIP, announce_line, negotiated_line, state_line
from tests.bgp.test_exabgp_relay import commands_of, new_relay, told_by


def test_the_families_of_a_session_are_told_with_it() -> None:
    relay = new_relay()
    relay.connect(0.0)
    told_by(relay)

    relay.receive(Side.SPEAKER, negotiated_line(R1, "ipv6 unicast", "ipv4 unicast", "x y"), 0.0)
    before = told_by(relay)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    first = told_by(relay)
    relay.disconnect(1.0)
    relay.connect(2.0)

    assert before == []
    assert [message["families"] for message in first] == [[4, 6]]
    assert told_by(relay)[0]["families"] == {R1: [4, 6]}


@pytest.mark.parametrize(
    ("nexthop", "families"), [([], [6]), (["ipv4 unicast ipv6"], [4, 6])], ids=["not", "agreed"]
)
@pytest.mark.parametrize("is_first", [False, True])
def test_ipv4_by_ipv6_next_hops_is_carried_only_where_both_ends_agree_to_them(
    nexthop: list[str], families: list[int], *, is_first: bool
) -> None:
    relay = new_relay()
    relay.connect(0.0)
    terms = announce_line(1, peers={R6: [65001, [4, 6], True]})
    session = negotiated_line(R6, "ipv4 unicast", "ipv6 unicast", nexthop=nexthop)
    session += state_line(R6, "up")

    if is_first:
        relay.receive(Side.SPEAKER, session, 0.0)
    relay.receive(Side.DAEMON, terms, 0.0)
    if not is_first:
        relay.receive(Side.SPEAKER, session, 0.0)

    told = [message for message in told_by(relay) if message["type"] == "session"]
    assert told[-1]["families"] == families


def test_the_families_of_a_session_that_did_not_come_up_are_not_the_next_ones() -> None:
    relay = new_relay()
    relay.connect(0.0)
    told_by(relay)

    relay.receive(Side.SPEAKER, negotiated_line(R1, "ipv4 unicast"), 0.0)
    relay.receive(Side.SPEAKER, state_line(R1, "down") + state_line(R1, "up"), 0.0)

    assert told_by(relay)[-1]["families"] is None


def test_what_has_no_next_hop_is_told_at_each_change_and_to_each_daemon() -> None:
    relay = new_relay()
    relay.connect(0.0)
    relay.receive(Side.SPEAKER, state_line(R2, "up"), 0.0)  # no IPv6 address beside ours
    told_by(relay)
    vip6 = "2001:db8::1/128"
    peers = {R2: [65001, [4, 6], False]}
    line = announce_line(1, VIP, vip6, peers=peers)

    relay.receive(Side.DAEMON, line, 1.0)
    relay.receive(Side.SPEAKER, b"done\n" * len(commands_of(relay)), 1.0)
    relay.receive(Side.DAEMON, line, 1.0)
    messages = told_by(relay)
    relay.disconnect(2.0)
    relay.connect(3.0)
    hello = told_by(relay)[0]
    given = {"prefix": vip6, "next_hop": "2001:db8::9"}
    relay.receive(Side.DAEMON, announce_line(2, VIP, given, peers=peers), 4.0)

    up = {"type": "session", "peer": R2, "state": "up", "since": 0.0, "reason": ""}
    assert messages[0] == up | {"families": None, "unsaid": [vip6]}
    assert [message["type"] for message in messages] == ["session", "answer", "answer"]
    assert hello["unsaid"] == {R2: [vip6]}
    assert told_by(relay)[0] == up | {"families": None, "unsaid": []}
