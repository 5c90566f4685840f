"""What both speakers do, against real routers in namespaces of the test's own."""

import asyncio
import os
import signal
import time

import pytest

from headrace.bgp import end_orphan
from tests.bgp.namespaces import eventually
from tests.bgp.support import Network, bgp_section, whole

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP_PREFIX = f"{VIP}/32"


def test_a_router_hears_an_announcement_and_its_withdrawal(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))

    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.announce()

    eventually(lambda: not router.has(VIP))


def test_a_session_that_comes_back_hears_the_whole_set(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP) and router.has("20.20.20.2"))

    router.ask("restart", "lb_ipv4")
    eventually(lambda: len(host.events) >= 3)
    eventually(lambda: router.has(VIP) and router.has("20.20.20.2"))

    assert [event[:2] for event in host.events] == [
        [router.address, "up"],
        [router.address, "down"],
        [router.address, "up"],
    ]


def test_what_was_withdrawn_while_a_session_was_down_never_comes_back(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP))
    router.ask("disable", "lb_ipv4")
    eventually(lambda: not host.is_up(router.address))

    host.announce("20.20.20.2/32")
    with router.watched() as changes:
        router.ask("enable", "lb_ipv4")
        eventually(lambda: router.has("20.20.20.2"))

    assert not any(VIP in change for change in changes)


def test_a_killed_daemon_is_succeeded_without_a_flap(network: Network, kind: str) -> None:
    router = network.router()
    first = network.host(bgp_section(router, speaker=kind))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    parent = network.speaker_pid()

    with router.watched() as changes:
        first.kill()
        second = network.host(bgp_section(router, speaker=kind))
        eventually(lambda: second.is_up(router.address))
        second.announce(VIP_PREFIX)
        second.announce(VIP_PREFIX, "20.20.20.2/32")
        eventually(lambda: router.has("20.20.20.2"))

    assert network.speaker_pid() == parent
    assert not any(VIP in change for change in changes)
    second.announce()
    eventually(lambda: not router.has(VIP))


def test_a_session_that_comes_back_while_the_daemon_is_away_hears_the_set(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.kill()

    router.ask("restart", "lb_ipv4")
    eventually(lambda: not router.has(VIP))

    eventually(lambda: router.has(VIP))


def test_everything_is_withdrawn_when_the_daemon_stays_away(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind) | {"keep_announced_s": 1})
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    killed = time.monotonic()
    host.kill()
    eventually(lambda: not router.has(VIP), within_s=5)
    withdrawn = time.monotonic()
    successor = network.host(bgp_section(router, speaker=kind))
    successor.announce(VIP_PREFIX)

    assert withdrawn - killed > 0.9
    eventually(lambda: router.has(VIP))


def test_routers_may_be_told_that_a_route_leaves_before_it_is_withdrawn(
    network: Network, kind: str
) -> None:
    router = network.router()
    times = {"keep_announced_s": 1, "withdraw_drain_s": 3}
    host = network.host(bgp_section(router, speaker=kind) | times)
    host.announce({"prefix": VIP_PREFIX, "med": 7, "communities": ["65000:1"]})
    eventually(lambda: "65000,1" in router.heard(VIP_PREFIX))

    host.kill()
    eventually(lambda: "65535,0" in router.heard(VIP_PREFIX))
    left = router.heard(VIP_PREFIX)
    drained = time.monotonic()
    eventually(lambda: not router.has(VIP), within_s=10)

    assert "BGP.as_path: 64512 64512 64512" in left
    assert "BGP.med: 107" in left
    assert time.monotonic() - drained > 1.5


def test_a_reload_adds_a_peer_and_leaves_the_others_alone(network: Network, kind: str) -> None:
    old, new = network.router(1), network.router(2)
    host = network.host(bgp_section(old, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: old.has(VIP))

    with old.watched() as changes:
        host.ask(do="configure", bgp=bgp_section(old, new, speaker=kind))
        eventually(lambda: new.has(VIP))

    assert not any(VIP in change for change in changes)
    eventually(lambda: len(host.events) >= 2)
    assert [event[:2] for event in host.events] == [[old.address, "up"], [new.address, "up"]]


def test_a_reload_works_while_a_peer_is_down_and_removes_it(network: Network, kind: str) -> None:
    alive, dead = network.router(1), network.router(2)
    host = network.host(bgp_section(alive, dead, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: alive.has(VIP) and dead.has(VIP))
    dead.ask("disable", "lb_ipv4")
    eventually(lambda: not host.is_up(dead.address))
    host.announce(VIP_PREFIX, "20.20.20.2/32")

    host.ask(do="configure", bgp=bgp_section(alive, hold_time_s=30, speaker=kind))
    host.announce("20.20.20.2/32")

    eventually(lambda: not alive.has(VIP) and alive.has("20.20.20.2"))
    assert host.ask(do="sessions")[0][:1] == [alive.address]
    assert "30" in router_hold_time(alive.ask("show", "protocols", "all", "lb_ipv4"))


def router_hold_time(shown: str) -> str:
    return next(line for line in shown.splitlines() if "Hold timer" in line)


def test_a_restarted_daemon_applies_what_was_edited_meanwhile(network: Network, kind: str) -> None:
    old, new = network.router(1), network.router(2)
    first = network.host(bgp_section(old, speaker=kind))
    first.announce(VIP_PREFIX)
    eventually(lambda: old.has(VIP))
    first.kill()

    second = network.host(bgp_section(old, new, speaker=kind))
    second.announce(VIP_PREFIX)

    eventually(lambda: new.has(VIP))


@pytest.mark.parametrize("victim", ["parent", "child"])
def test_a_killed_child_is_replaced_and_the_set_told_again(
    network: Network, kind: str, victim: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    parent = network.speaker_pid()

    os.kill(parent if victim == "parent" else network.child_pid(), signal.SIGKILL)
    eventually(lambda: parent not in network.lb.processes)
    eventually(lambda: router.has(VIP))

    assert network.speaker_pid() != parent


def test_a_speaker_that_hangs_does_not_go_on_announcing(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind), patience_s=4.0)
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP))
    parent = network.speaker_pid()

    os.kill(parent, signal.SIGSTOP)
    host.tell(do="announce", announcements=[whole("20.20.20.2/32")])
    answer = host.next_answer()
    eventually(lambda: not router.has(VIP))

    assert "started anew" in answer["failed"]
    eventually(lambda: router.has("20.20.20.2"))
    assert network.speaker_pid() != parent


def test_a_speaker_found_with_a_relay_that_hangs_is_replaced(network: Network, kind: str) -> None:
    router = network.router()
    first = network.host(bgp_section(router, speaker=kind))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    parent = network.speaker_pid()
    os.kill(network.child_pid(), signal.SIGSTOP)
    first.kill()

    second = network.host(bgp_section(router, speaker=kind), patience_s=4.0)
    eventually(lambda: parent not in network.lb.processes)
    second.announce("20.20.20.2/32")

    eventually(lambda: router.has("20.20.20.2") and not router.has(VIP))


def test_stop_withdraws_and_leaves_no_process(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    host.ask(do="stop")
    host.wait()

    eventually(lambda: not router.has(VIP))
    assert network.lb.processes == []


def test_bgp_may_be_taken_from_the_document_and_put_back(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    host.ask(do="configure", bgp=None)
    eventually(lambda: not router.has(VIP))
    host.tell(do="announce", announcements=[whole(VIP_PREFIX)])
    refusal = host.next_answer()
    host.ask(do="configure", bgp=bgp_section(router, speaker=kind))

    assert "add a bgp section" in refusal["failed"]
    eventually(lambda: router.has(VIP))


def test_a_restarted_daemon_without_a_bgp_section_ends_the_speaker_it_finds(
    network: Network, kind: str
) -> None:
    router = network.router()
    first = network.host(bgp_section(router, speaker=kind))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    parent = network.speaker_pid()
    first.kill()

    second = network.host(None)
    eventually(lambda: parent not in network.lb.processes)
    second.ask(do="configure", bgp=bgp_section(router, speaker=kind))
    eventually(lambda: second.is_up(router.address))

    assert not router.has(VIP)


def test_a_restarted_daemon_is_told_what_routers_still_hear(network: Network, kind: str) -> None:
    router = network.router()
    first = network.host(bgp_section(router, speaker=kind))
    nothing = first.ask(do="held")
    announced = whole({"prefix": VIP_PREFIX, "med": 7, "communities": ["65000:1"]})
    first.ask(do="announce", announcements=[announced])
    first.kill()

    second = network.host(bgp_section(router, speaker=kind))
    found = second.ask(do="held")
    second.announce()
    later = second.ask(do="held")
    second.kill()
    third = network.host(bgp_section(router, speaker=kind))

    assert nothing is None
    assert found == later == [announced]
    assert third.ask(do="held") == []


def test_what_a_daemon_left_behind_can_be_ended_without_one(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.kill()

    ended = asyncio.run(end_orphan(network.state))
    again = asyncio.run(end_orphan(network.state))

    assert ended
    assert not again
    eventually(lambda: not router.has(VIP) and network.lb.processes == [])
