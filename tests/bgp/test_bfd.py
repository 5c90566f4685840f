"""BFD with both speakers: a silent node is left at once, and a watch that is lost is an alarm."""

import os
import signal
import time
from typing import Any

import pytest

from tests.bgp.namespaces import eventually
from tests.bgp.routers import Router
from tests.bgp.support import Host, Network, bgp_section

pytestmark = pytest.mark.netns

VIP = "20.20.20.1"
VIP_PREFIX = f"{VIP}/32"


def watched_section(router: Router, kind: str) -> dict[str, Any]:
    """A section with BFD, as fast as it is by default."""
    return bgp_section(router, speaker=kind) | {"bfd": {}}


def is_watched(host: Host) -> bool:
    """Whether BFD says of some peer that it is up."""
    return any(state == "up" for _, state, *_ in host.ask(do="watched"))


def watching(network: Network, router: Router, kind: str) -> Host:
    """A host whose router has a route, watched by BFD."""
    host = network.host(watched_section(router, kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP) and is_watched(host))
    return host


def make_router(network: Network, model: str) -> Router:
    return network.frr(bfd=True) if model == "frr" else network.router(bfd=True)


@pytest.mark.parametrize("model", ["bird", "frr"])
def test_a_silent_node_is_left_by_bfd(network: Network, kind: str, model: str) -> None:
    router = make_router(network, model)
    watching(network, router, kind)
    eventually(router.watches)

    for pid in network.lb.processes:
        os.kill(pid, signal.SIGSTOP)
    stopped = time.monotonic()
    eventually(lambda: not router.has(VIP))

    assert time.monotonic() - stopped < 1.0  # 0.35 s on a machine that does nothing else


def test_a_lost_helper_is_an_alarm_and_comes_back(network: Network) -> None:
    router = network.router(bfd=True)
    host = watching(network, router, "exabgp")
    helper = network.helper_pid()

    os.kill(helper, signal.SIGKILL)
    alarms = eventually(lambda: host.ask(do="alarms"))
    eventually(lambda: is_watched(host))
    eventually(lambda: router.has(VIP) and host.ask(do="alarms") == [])

    assert "helper is not running" in alarms[0]
    assert network.helper_pid() != helper


def test_a_router_without_bfd_is_an_alarm(network: Network, kind: str) -> None:
    router = network.router()
    host = network.host(watched_section(router, kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    alarms = eventually(lambda: host.ask(do="alarms"))
    host.ask(do="configure", bgp=watched_section(router, kind) | {"bfd": None})

    assert f"BFD with {router.address} is not up though BGP is" in alarms[0]
    eventually(lambda: host.ask(do="alarms") == [])


def test_bfd_may_be_asked_for_later_without_harm_to_the_session(
    network: Network, kind: str
) -> None:
    router = network.router()
    host = network.host(bgp_section(router, speaker=kind))
    host.announce(VIP_PREFIX)
    eventually(lambda: router.has(VIP))

    with router.watched() as changes:
        host.ask(do="configure", bgp=watched_section(router, kind))
        eventually(lambda: host.ask(do="watched"))

    assert not any("Deleted" in change and f"{VIP} " in change for change in changes)


def test_a_killed_daemons_helper_is_taken_over(network: Network) -> None:
    router = network.router(bfd=True)
    first = watching(network, router, "exabgp")
    helper = network.helper_pid()

    with router.watched() as changes:
        first.kill()
        second = network.host(watched_section(router, "exabgp"))
        eventually(lambda: is_watched(second))

    assert network.helper_pid() == helper
    assert not any("Deleted" in change and f"{VIP} " in change for change in changes)


def test_stop_leaves_no_process_and_no_silence_for_bfd_to_find(network: Network, kind: str) -> None:
    router = network.router(bfd=True)
    host = watching(network, router, kind)

    host.ask(do="stop")
    host.wait()

    eventually(lambda: not router.has(VIP))
    assert network.lb.processes == []
