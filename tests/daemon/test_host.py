"""What the API tells of the host, read from a real one."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from headrace.api import HostRoute
from headrace.daemon.host import ThisHost
from tests.underlay.network import Namespace, connect, namespaces

_T = TypeVar("_T")
_HOST = ThisHost()
_ASK_INTERFACES = """
import asyncio, dataclasses, json
from headrace.daemon.host import ThisHost
(found,) = asyncio.run(ThisHost().interfaces(["p0", "missing"]))
print(json.dumps(dataclasses.asdict(found) | {"mac": found.mac.hex()}))
"""  # for a process of the namespace's own: counters are those of a process's first thread


def inside(namespace: Namespace, asked: Coroutine[Any, Any, _T]) -> _T:
    """The answer in a namespace: threads begin in that of the thread that starts them."""
    return namespace.inside(lambda: asyncio.run(asked))


@pytest.mark.netns
def test_the_interfaces_asked_for_are_told_with_their_addresses_and_counters() -> None:
    with namespaces("lb", "peer") as (lb, peer):
        connect(lb, "p0", peer, "p0")
        lb.ip("addr add 10.0.0.1/24 dev p0")
        lb.ip("addr add 2001:db8::1/64 dev p0")
        lb.ip("link set p0 mtu 1400")
        lb.announce_arp("p0", "10.0.0.1")

        program = "ip", "netns", "exec", lb.name, sys.executable, "-c", _ASK_INTERFACES
        told = subprocess.run(program, check=True, capture_output=True, timeout=60).stdout

        found = json.loads(told)
        assert found["name"] == "p0"
        assert (found["index"], found["mac"]) == (lb.index("p0"), lb.mac("p0").hex())
        assert (found["mtu_bytes"], found["up"], found["is_bond"]) == (1400, True, False)
        assert {"10.0.0.1/24", "2001:db8::1/64"} <= set(found["addresses"])
        assert found["sent"][0] > 0
        assert found["sent"][1] > 0


@pytest.mark.netns
def test_the_routes_are_those_of_the_namespace_and_not_more_than_asked_for() -> None:
    with namespaces("lb", "peer") as (lb, peer):
        connect(lb, "p0", peer, "p0")
        lb.ip("addr add 10.0.0.1/24 dev p0")
        lb.ip("route add 56.56.56.0/24 via 10.0.0.2 proto static")

        found = inside(lb, _HOST.routes(1000))

        gateway = ip_address("10.0.0.2")
        assert HostRoute(ip_network("10.0.0.0/24"), (), 2) in found
        assert HostRoute(ip_network("56.56.56.0/24"), (gateway,), 4) in found
        assert len(inside(lb, _HOST.routes(1))) == 1


async def test_the_processes_are_this_one_and_what_it_started() -> None:
    child = subprocess.Popen(  # noqa: ASYNC220 - it only waits
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    )
    try:
        found = {each.pid: each for each in await _HOST.processes()}
    finally:
        child.communicate(b"\n")

    own = found[os.getpid()]
    assert {own.pid, child.pid} <= found.keys()
    assert os.getppid() not in found
    assert own.resident_bytes > 0
    assert own.cpu_time.total_seconds() > 0
    assert 0 < own.cpu_percent <= 100 * (os.cpu_count() or 1)
    assert not any(word in own.command for word in sys.argv)


async def test_the_machine_and_its_disks_are_told() -> None:
    device = await _HOST.device()
    disks = await _HOST.filesystems()

    assert (device.host_name, device.kernel) == (socket.gethostname(), os.uname().release)
    up_s = float(Path("/proc/uptime").read_text().split()[0])  # noqa: ASYNC240 - no disk
    assert abs(device.uptime.total_seconds() - up_s) < 60
    for each in disks:
        assert 0 <= each.used_bytes + each.available_bytes <= each.size_bytes
