"""Stopping so that the next daemon goes on: nothing that routers have heard may be lost."""

import time

import pytest

from tests.bgp.namespaces import eventually
from tests.bgp.support import Network, bgp_section, whole

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP_PREFIX = f"{VIP}/32"
OTHER = "20.20.20.2"
OTHER_PREFIX = f"{OTHER}/32"


@pytest.mark.parametrize("restart_s", [None, 10])
@pytest.mark.parametrize("model", ["bird", "frr"])
def test_an_upgrade_loses_no_route(
    network: Network, kind: str, model: str, restart_s: int | None
) -> None:
    router = network.frr() if model == "frr" else network.router()
    section = bgp_section(router, speaker=kind) | {"graceful_restart_s": restart_s}
    first = network.host(section)
    first.announce(VIP_PREFIX, OTHER_PREFIX)
    eventually(lambda: router.has(VIP) and router.has(OTHER))
    speaker = network.speaker_pid()

    with router.watched() as changes:
        first.ask(do="stop", keep=True)
        first.wait()
        second = network.host(section)
        held = second.ask(do="held")
        eventually(lambda: second.is_up(router.address))
        second.announce(VIP_PREFIX, OTHER_PREFIX, "20.20.20.3/32")
        eventually(lambda: router.has("20.20.20.3"))
        second.announce(VIP_PREFIX)
        eventually(lambda: not router.has(OTHER))

    assert held == [whole(VIP_PREFIX), whole(OTHER_PREFIX)]
    assert (network.speaker_pid() == speaker) == (restart_s is None)
    assert not any("Deleted" in change and f"{VIP} " in change for change in changes)


def test_routers_are_told_of_a_stop_although_they_keep_routes_over_a_restart(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind) | {"graceful_restart_s": 30})
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    host.ask(do="stop")

    eventually(lambda: not router.has(VIP), within_s=3)


def test_routers_are_told_when_the_daemon_stays_away_after_an_upgrade(
    network: Network, kind: str
) -> None:
    router = network.router()
    restart = {"graceful_restart_s": 30, "keep_announced_s": 2}
    first = network.host(bgp_section(router, speaker=kind) | restart)
    first.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))
    first.ask(do="stop", keep=True)
    first.wait()

    second = network.host(bgp_section(router, speaker=kind) | restart)
    eventually(lambda: second.is_up(router.address))
    began = time.monotonic()
    second.kill()
    eventually(lambda: not router.has(VIP), within_s=10)

    assert time.monotonic() - began < 5


def test_a_killed_speaker_loses_no_route_where_routers_keep_them(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind) | {"graceful_restart_s": 30})
    host.announce(VIP_PREFIX)
    eventually(lambda: host.is_up(router.address) and router.has(VIP))
    speaker = network.speaker_pid()

    with router.watched() as changes:
        network.kill(speaker)
        eventually(lambda: len(host.events) >= 3)
        host.announce(VIP_PREFIX, OTHER_PREFIX)
        eventually(lambda: router.has(OTHER))

    assert not any("Deleted" in change and f"{VIP} " in change for change in changes)
