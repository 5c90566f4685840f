"""What one of the two speakers does in its own way, and how one takes the place of the other."""

import asyncio
import os
import re
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from headrace.bgp import end_orphan
from headrace.lab.tools import find_tool
from tests.bgp.namespaces import eventually
from tests.bgp.support import Network, bgp_section, whole

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP_PREFIX = f"{VIP}/32"
FILES = {
    "exabgp": {
        "exabgp.conf",
        "exabgp.log",
        "exabgp.out",
        "exabgp.pid",
        "relay.sock.ran",
    },
    "bird": {
        "bird.conf",
        "bird.conf.ctl",
        "bird.conf.vips",
        "bird.log",
        "bird.out",
        "bird.pid",
    },
}
BOTH_WAYS = pytest.mark.parametrize(("old", "new"), [("exabgp", "bird"), ("bird", "exabgp")])


def test_nothing_is_written_outside_the_directory_and_secrets_are_ours_alone(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)

    assert (network.state.stat().st_mode & 0o777) == 0o700
    assert ((network.state / f"{kind}.conf").stat().st_mode & 0o777) == 0o600
    names = {path.name for path in network.state.iterdir()}
    assert names == FILES[kind] | {"relay.sock", "bfd"}
    assert (network.state / f"{kind}.out").read_text() == ""


def test_a_direct_session_of_exabgps_may_be_demanded_a_ttl_of_255_without_being_told(
    network: Network,
) -> None:
    router = network.router(gtsm=True)
    host = network.host(bgp_section(router))

    host.announce(VIP_PREFIX)

    eventually(lambda: router.has(VIP))


def test_exabgp_takes_any_password(network: Network) -> None:
    key = "it's #;{} väter"
    router = network.router(password=key)
    host = network.host(bgp_section(router, password=key))

    host.announce(VIP_PREFIX)

    eventually(lambda: router.has(VIP))


def test_an_exabgp_of_an_earlier_headrace_tells_families_from_the_next_session_on(
    network: Network,
) -> None:
    """Its configuration does not ask for them; what makes it ask resets no session."""
    router = network.router()
    section = bgp_section(router, families=["ipv4", "ipv6"])
    first = network.host(section)
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    first.kill()
    speaker, file = network.speaker_pid(), network.state / "exabgp.conf"
    earlier = file.read_text().replace(" negotiated;", "")
    file.write_text(re.sub(r'description "\w+"', 'description "earlier"', earlier))
    os.kill(speaker, signal.SIGUSR1)
    log = network.state / "exabgp.log"
    eventually(lambda: "loaded new configuration successfully" in log.read_text())
    router.ask("restart", "lb_ipv4")
    eventually(lambda: not router.has(VIP))
    eventually(lambda: router.has(VIP))

    with router.watched() as changes:
        second = network.host(section)
        second.announce(VIP_PREFIX, "20.20.20.2/32")
        eventually(lambda: router.has("20.20.20.2"))
    before = second.ask(do="families")
    router.ask("restart", "lb_ipv4")
    eventually(lambda: second.ask(do="families") == {router.address: ["ipv4"]})

    assert network.speaker_pid() == speaker
    assert not any(f"{VIP} " in change for change in changes)
    assert before == {}


@BOTH_WAYS
def test_a_document_may_name_the_other_speaker(network: Network, old: str, new: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=old))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    former = network.speaker_pid()

    host.ask(do="configure", bgp=bgp_section(router, speaker=new))
    host.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has("20.20.20.2") and router.has(VIP))

    assert former not in network.lb.processes


@BOTH_WAYS
def test_a_restarted_daemon_ends_the_other_speaker_that_it_finds(
    network: Network, old: str, new: str
) -> None:
    router = network.router()
    first = network.host(bgp_section(router, speaker=old))
    first.announce(VIP_PREFIX, "20.20.20.2/32")
    eventually(lambda: router.has(VIP))
    former = network.speaker_pid()
    first.kill()

    second = network.host(bgp_section(router, speaker=new))
    held = second.ask(do="held")
    second.announce(VIP_PREFIX)
    eventually(lambda: former not in network.lb.processes)

    assert sorted(prefix for prefix, *_ in held) == ["20.20.20.1/32", "20.20.20.2/32"]

    eventually(lambda: router.has(VIP) and not router.has("20.20.20.2"))


def test_a_bird_that_is_refused_its_file_goes_on_as_before(network: Network) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker="bird"))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    # A name that is too long for BIRD's own grammar does not exist; a file that is gone does.
    (network.state / "bird.conf.vips").unlink()
    host.tell(do="configure", bgp=bgp_section(router, speaker="bird", hold_time_s=30))
    answer = host.next_answer()

    assert "BIRD did not take its new configuration" in answer["failed"]
    assert router.has(VIP)


def test_a_speaker_that_did_not_start_hears_the_set_once_it_does(
    network: Network, tmp_path: Path
) -> None:
    router, programs = network.router(), tmp_path / "programs"
    programs.mkdir()
    bird = programs / "bird"
    bird.write_text("#!/bin/sh\necho 'bird: out of order' >&2\nexit 1\n")
    bird.chmod(0o755)
    host = network.host(bgp_section(router, speaker="bird"), programs=programs)

    host.tell(do="announce", announcements=[whole(VIP_PREFIX)])
    answer = host.next_answer()
    (alarm,) = host.ask(do="alarms")
    bird.write_text(f'#!/bin/sh\nexec {find_tool("bird")} "$@"\n')
    eventually(lambda: router.has(VIP))

    told = "BIRD is not running: nothing is announced; it ends again and again: bird: out of order"
    assert answer["failed"] == alarm == told
    eventually(lambda: host.ask(do="alarms") == [])


def test_what_is_left_behind_withdraws_before_it_ends(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind) | {"graceful_restart_s": 60, "bfd": {}})
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    host.kill()

    ended = asyncio.run(end_orphan(network.state))

    assert ended
    eventually(lambda: not router.has(VIP) and network.lb.processes == [], within_s=5)


def test_a_stranger_on_the_relays_socket_is_not_heard(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    with closing(socket.socket(socket.AF_UNIX)) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(network.state / "relay.sock"))
        stranger.sendall(b'{"type": "hello", "version": 3, "speaker": 1, "announcements": [],')
        stranger.sendall(b' "sessions": [], "watched": []}\n')
        said = stranger.recv(100)
    host.announce(VIP_PREFIX, "20.20.20.2/32")

    assert said == b""
    eventually(lambda: router.has("20.20.20.2"))
