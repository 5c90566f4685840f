"""Flows that live elsewhere than at their slot's owner: the kernel's program says when it met one.

What it says keeps their slots from settling (`test_pools`); the reference in Python has no ages.
"""

import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from headrace.dataplane import BlockAge, Dataplane, libbpf
from headrace.model import Port, Protocol, ServiceEntry, ServiceKey

from .rig import LOOPBACK, OWN_MAC, path, reach

pytestmark = pytest.mark.bpf

VIPS = {"20.20.20.1": "1.1.1.1", "2001:db8::1": "2001:db8:1::1"}
BEFORE, NOW = reach(1), reach(2)
SLOTS = 251


@pytest.fixture
def plane(pins: Path) -> Iterator[Dataplane]:
    """A data plane each of whose slots has just got another owner."""
    plane = Dataplane(pins)
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    for each in (BEFORE, NOW):
        plane.put_endpoint(each, path(each))
    for stamp, owner in enumerate((BEFORE, NOW), start=1):
        plane.put_pool("web", [owner], [0] * SLOTS, stamp)
    for vip in VIPS:
        plane.put_service(ServiceKey(ip_address(vip), Protocol.TCP, 80), ServiceEntry("web"))
    yield plane
    plane.close()


def send(plane: Dataplane, vip: str, *, flags: str) -> None:
    ip = (IPv6 if ":" in vip else IP)(src=VIPS[vip], dst=vip)
    packet = bytes(Ether(dst=OWN_MAC.hex(":")) / ip / TCP(sport=1000, dport=80, flags=flags))
    libbpf.run_program(plane.program_fd, packet)


def departures(plane: Dataplane) -> list[int]:
    """When a packet went elsewhere than to its slot's owner, of each block that saw one."""
    ages: list[BlockAge] = list(plane._pools.tables()[0].ages)
    return [age.departed_s for age in ages if age.departed_s]


@pytest.mark.parametrize("vip", VIPS)
def test_a_packet_to_the_former_owner_keeps_its_block_from_settling(
    plane: Dataplane, vip: str
) -> None:
    begin_s = int(time.monotonic())

    send(plane, vip, flags="A")

    (departed_s,) = departures(plane)
    assert begin_s - 1 <= departed_s <= time.monotonic()


@pytest.mark.parametrize("vip", VIPS)
def test_a_packet_to_the_owner_keeps_nothing_from_settling(plane: Dataplane, vip: str) -> None:
    send(plane, vip, flags="S")
    send(plane, vip, flags="A")  # of a connection that was opened at the owner

    assert departures(plane) == []
