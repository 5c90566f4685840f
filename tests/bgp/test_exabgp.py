"""The speaker against a real router: BIRD in namespaces of the test's own."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headrace.bgp import end_orphan
from tests.bgp.support import Network, bgp_section, eventually

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP_PREFIX = f"{VIP}/32"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack, tmp_path)


def test_a_router_hears_an_announcement_and_its_withdrawal(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))

    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.announce()

    eventually(lambda: not router.has(VIP))


def test_a_prefix_goes_to_the_sessions_of_its_family(network: Network) -> None:
    router = network.router()
    section = bgp_section(router)
    section["peers"].append({"address": router.address6, "as": 65001})
    host = network.host(section)

    host.announce(VIP_PREFIX, "2001:db8:20::1/128")

    eventually(lambda: router.has(VIP) and router.has("2001:db8:20::1"))
    assert "fd09:1::1" in router.namespace.ip("-6", "route", "show", "2001:db8:20::1")


def test_a_router_sees_med_and_communities_and_their_change(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))

    host.announce([VIP_PREFIX, 50, ["64512:7", "64512:1:2"]])
    eventually(lambda: router.has(VIP))
    before = router.ask("show", "route", VIP_PREFIX, "all")
    host.announce([VIP_PREFIX, 60, ["65535:0"]])
    eventually(lambda: "BGP.med: 60" in router.ask("show", "route", VIP_PREFIX, "all"))
    after = router.ask("show", "route", VIP_PREFIX, "all")

    assert "BGP.med: 50" in before
    assert "BGP.community: (64512,7)" in before
    assert "BGP.large_community: (64512, 1, 2)" in before
    assert "BGP.next_hop: 10.9.1.1" in before
    assert "BGP.community: (65535,0)" in after
    assert "large_community" not in after


def test_a_session_that_comes_back_hears_the_whole_set(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
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


def test_what_was_withdrawn_while_a_session_was_down_never_comes_back(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP))
    router.ask("disable", "lb_ipv4")
    eventually(lambda: not host.is_up(router.address))

    host.announce("20.20.20.2/32")
    with router.watched() as changes:
        router.ask("enable", "lb_ipv4")
        eventually(lambda: router.has("20.20.20.2"))

    assert not any(VIP in change for change in changes)


def test_a_killed_daemon_is_succeeded_without_a_flap(network: Network) -> None:
    router = network.router()
    first = network.host(bgp_section(router))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    exabgp = network.exabgp_pid()

    with router.watched() as changes:
        first.kill()
        second = network.host(bgp_section(router))
        eventually(lambda: second.is_up(router.address))
        second.announce(VIP_PREFIX)
        second.announce(VIP_PREFIX, "20.20.20.2/32")
        eventually(lambda: router.has("20.20.20.2"))

    assert network.exabgp_pid() == exabgp
    assert not any(VIP in change for change in changes)
    second.announce()
    eventually(lambda: not router.has(VIP))


def test_a_session_that_comes_back_while_the_daemon_is_away_hears_the_set(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.kill()

    router.ask("restart", "lb_ipv4")
    eventually(lambda: not router.has(VIP))

    eventually(lambda: router.has(VIP))


def test_everything_is_withdrawn_when_the_daemon_stays_away(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router), keep_s=1.0)
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    killed = time.monotonic()
    host.kill()
    eventually(lambda: not router.has(VIP), within_s=5)
    withdrawn = time.monotonic()
    successor = network.host(bgp_section(router))
    successor.announce(VIP_PREFIX)

    assert withdrawn - killed > 0.9
    eventually(lambda: router.has(VIP))


def test_a_reload_adds_a_peer_and_leaves_the_others_alone(network: Network) -> None:
    old, new = network.router(1), network.router(2)
    host = network.host(bgp_section(old))
    host.announce(VIP_PREFIX)
    eventually(lambda: old.has(VIP))

    with old.watched() as changes:
        host.ask(do="configure", bgp=bgp_section(old, new))
        eventually(lambda: new.has(VIP))

    assert changes == []
    assert [event[:2] for event in host.events] == [[old.address, "up"], [new.address, "up"]]


def test_a_reload_works_while_a_peer_is_down_and_removes_it(network: Network) -> None:
    alive, dead = network.router(1), network.router(2)
    host = network.host(bgp_section(alive, dead))
    host.announce(VIP_PREFIX)
    eventually(lambda: alive.has(VIP) and dead.has(VIP))
    dead.ask("disable", "lb_ipv4")
    eventually(lambda: not host.is_up(dead.address))
    host.announce(VIP_PREFIX, "20.20.20.2/32")

    host.ask(do="configure", bgp=bgp_section(alive, hold_time_s=30))
    host.announce("20.20.20.2/32")

    eventually(lambda: not alive.has(VIP) and alive.has("20.20.20.2"))
    assert host.ask(do="sessions")[0][:1] == [alive.address]
    assert "30" in router_hold_time(alive.ask("show", "protocols", "all", "lb_ipv4"))


def router_hold_time(shown: str) -> str:
    return next(line for line in shown.splitlines() if "Hold timer" in line)


def test_a_restarted_daemon_applies_what_was_edited_meanwhile(network: Network) -> None:
    old, new = network.router(1), network.router(2)
    first = network.host(bgp_section(old))
    first.announce(VIP_PREFIX)
    eventually(lambda: old.has(VIP))
    first.kill()

    second = network.host(bgp_section(old, new))
    second.announce(VIP_PREFIX)

    eventually(lambda: new.has(VIP))


@pytest.mark.parametrize("password", ["simple", "it's #;{} väter"])
def test_a_session_is_authenticated(network: Network, password: str) -> None:

    router = network.router(options=f'password "{password}";')
    host = network.host(bgp_section(router, password=password))

    host.announce(VIP_PREFIX)

    eventually(lambda: router.has(VIP))


def test_a_router_may_demand_a_ttl_of_255(network: Network) -> None:
    router = network.router(options="ttl security on;")
    host = network.host(bgp_section(router))

    host.announce(VIP_PREFIX)

    eventually(lambda: router.has(VIP))


@pytest.mark.parametrize("victim", ["exabgp", "relay"])
def test_a_killed_child_is_replaced_and_the_set_told_again(network: Network, victim: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    exabgp = network.exabgp_pid()

    os.kill(exabgp if victim == "exabgp" else network.relay_pid(), signal.SIGKILL)
    eventually(lambda: exabgp not in network.processes())
    eventually(lambda: router.has(VIP))

    assert network.exabgp_pid() != exabgp


def test_an_exabgp_that_hangs_does_not_go_on_announcing(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router), patience_s=4.0)
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP))
    exabgp = network.exabgp_pid()

    os.kill(exabgp, signal.SIGSTOP)
    host.tell(do="announce", announcements=[["20.20.20.2/32", None, []]])
    answer = host.next_answer()
    eventually(lambda: not router.has(VIP))

    assert "started anew" in answer["failed"]
    eventually(lambda: router.has("20.20.20.2"))
    assert network.exabgp_pid() != exabgp


def test_an_exabgp_found_with_a_relay_that_hangs_is_replaced(network: Network) -> None:
    router = network.router()
    first = network.host(bgp_section(router))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    exabgp = network.exabgp_pid()
    os.kill(network.relay_pid(), signal.SIGSTOP)
    first.kill()

    second = network.host(bgp_section(router), patience_s=4.0)
    eventually(lambda: exabgp not in network.processes())
    second.announce("20.20.20.2/32")

    eventually(lambda: router.has("20.20.20.2") and not router.has(VIP))


def test_stop_withdraws_and_leaves_no_process(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    host.ask(do="stop")
    host.wait()

    eventually(lambda: not router.has(VIP))
    assert network.processes() == []


def test_bgp_may_be_taken_from_the_document_and_put_back(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    host.ask(do="configure", bgp=None)
    eventually(lambda: not router.has(VIP))
    host.tell(do="announce", announcements=[[VIP_PREFIX, None, []]])
    refusal = host.next_answer()
    host.ask(do="configure", bgp=bgp_section(router))

    assert "add a bgp section" in refusal["failed"]
    eventually(lambda: router.has(VIP))


def test_a_restarted_daemon_without_a_bgp_section_ends_the_exabgp_it_finds(
    network: Network,
) -> None:
    router = network.router()
    first = network.host(bgp_section(router))
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    exabgp = network.exabgp_pid()
    first.kill()

    second = network.host(None)
    eventually(lambda: exabgp not in network.processes())
    second.ask(do="configure", bgp=bgp_section(router))
    eventually(lambda: second.is_up(router.address))

    assert not router.has(VIP)


def test_what_a_daemon_left_behind_can_be_ended_without_one(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.kill()

    ended = asyncio.run(end_orphan(network.state))
    again = asyncio.run(end_orphan(network.state))

    assert ended
    assert not again
    eventually(lambda: not router.has(VIP) and network.processes() == [])


def test_nothing_is_written_outside_the_directory_and_secrets_are_ours_alone(
    network: Network,
) -> None:
    router = network.router()
    host = network.host(bgp_section(router))
    host.announce(VIP_PREFIX)

    assert (network.state.stat().st_mode & 0o777) == 0o700
    assert ((network.state / "exabgp.conf").stat().st_mode & 0o777) == 0o600
    assert {path.name for path in network.state.iterdir()} == {
        "exabgp.conf",
        "exabgp.log",
        "exabgp.out",
        "exabgp.pid",
        "relay.sock",
        "relay.sock.ran",
    }
    assert (network.state / "exabgp.out").read_text() == ""
