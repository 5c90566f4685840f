"""Encapsulated packets are seen with the time they arrived; all others are left out."""

import socket
from ipaddress import IPv4Address
from time import monotonic

import pytest

from headrace.lab.arrivals import Arrivals
from headrace.lab.laboratory import Laboratory
from headrace.lab.namespaces import run_in_namespace
from headrace.lab.waiting import poll
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, VIP, line_topology

IPPROTO_IPIP = 4


def send(lab: Laboratory, protocol: int, count: int) -> None:
    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as sender:
            for _ in range(count):
                sender.sendto(b"x" * 40, (str(VIP), 0))

    run_in_namespace(lab.namespace(CLIENT), act)


@pytest.mark.netns
async def test_only_packets_in_tunnels_are_noted(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    begun_s = monotonic()
    with Arrivals(lab.namespace(SERVER), "eep1user") as arrivals:
        send(lab, 253, 5)
        send(lab, IPPROTO_IPIP, 3)

        async def probe() -> bool | None:
            return True if len(arrivals.times_s) >= 3 else None

        await poll(probe, timeout_s=5)
        ended_s = monotonic()

    assert len(arrivals.times_s) == 3
    assert arrivals.times_by_destination() == {IPv4Address(VIP): arrivals.times_s}
    assert begun_s < min(arrivals.times_s) <= max(arrivals.times_s) < ended_s
