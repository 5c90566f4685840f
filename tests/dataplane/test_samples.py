"""The ring of samples: packets as they leave, with what became of them."""

import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from headrace.dataplane import libbpf
from headrace.dataplane.layout import SAMPLE_BYTES
from headrace.model import Tuning

from .rig import LOOPBACK, OWN_MAC, VIP, Rig

pytestmark = pytest.mark.bpf


def packet(destination: object = VIP, size: int = 0) -> bytes:
    ip = IP(src="1.1.1.1", dst=str(destination)) / TCP(sport=1000, dport=8080)
    return bytes(Ether(dst=OWN_MAC.hex(":")) / ip / (b"x" * size))


@pytest.fixture
def rig(pins: Path) -> Iterator[Rig]:
    rig = Rig(pins)
    rig.serve()
    yield rig
    rig.dataplane.close()


def test_nothing_is_sampled_unless_asked_for(rig: Rig) -> None:
    rig.run(packet())

    assert rig.dataplane.samples().read() == []


def test_every_packet_is_sampled_as_it_leaves_with_its_verdict_and_endpoint(rig: Rig) -> None:
    rig.dataplane.set_tuning(Tuning(sample_one_in=1))
    samples = rig.dataplane.samples()

    left = rig.run(packet(size=1000)).packet
    rig.run(packet("11.11.11.11"))

    assert select.select([samples], [], [], 0)[0] == [samples]
    first, second = samples.read()
    assert (first.verdict, first.ifindex) == ("sent", LOOPBACK)
    assert (first.length_bytes, first.frame) == (len(left), left[:SAMPLE_BYTES])
    assert first.endpoint in rig.dataplane.tables().endpoints
    assert (second.verdict, second.endpoint, second.frame[:6]) == ("pass_not_vip", None, OWN_MAC)
    assert first.time_ns <= second.time_ns
    assert samples.read() == []


def test_one_in_so_many_is_sampled(rig: Rig) -> None:
    rig.dataplane.set_tuning(Tuning(sample_one_in=10))

    for _ in range(2000):
        libbpf.run_program(rig.dataplane.program_fd, packet())

    assert 100 < len(rig.dataplane.samples().read()) < 300
