"""Named packets through the endpoint's program."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from headrace.dataplane import Decapsulation, Decapsulator, detach_all, libbpf

pytestmark = pytest.mark.bpf

ETHER = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:fe")
INNER = IP(src="1.1.1.1", dst="20.20.20.1", ttl=7) / TCP(sport=57538, dport=8080) / Raw(b"hello")
PASS, DROP = 2, 1


def outer(**fields: object) -> IP:
    return IP(**({"src": "31.31.31.253", "dst": "31.31.31.1", "flags": "DF"} | fields))


@pytest.fixture(scope="module")
def decapsulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decapsulator]:
    directory = tmp_path_factory.mktemp("tailrace") / "bpf"
    try:
        decapsulator = Decapsulator(directory)
        decapsulator.configure(
            Decapsulation(
                balancers=frozenset({ip_address("31.31.31.253"), ip_address("31.31.31.254")}),
                own=frozenset({ip_address("31.31.31.1")}),
                vips=frozenset({ip_address("20.20.20.1")}),
            )
        )
        yield decapsulator
        decapsulator.close()
    finally:
        detach_all(directory)


def run(decapsulator: Decapsulator, packet: bytes) -> tuple[int, str, bytes]:
    before = {v.name: v.count.packets for v in decapsulator.verdict_counts()}
    code, out = libbpf.run_program(decapsulator.program_fd, packet)
    after = {v.name: v.count.packets for v in decapsulator.verdict_counts()}
    (verdict,) = [name for name in after if after[name] != before[name]]
    return code, verdict, out


@pytest.mark.parametrize("source", ["31.31.31.253", "31.31.31.254"])
def test_packet_from_a_balancer_is_unwrapped_and_otherwise_unchanged(
    decapsulator: Decapsulator, source: str
) -> None:
    code, verdict, out = run(decapsulator, bytes(ETHER / outer(src=source) / INNER))

    assert (code, verdict) == (PASS, "pass_decapsulated")
    assert out == bytes(ETHER / INNER)


@pytest.mark.parametrize(
    ("verdict", "packet"),
    [
        pytest.param("pass_not_tunnel", ETHER / ARP(), id="ARP"),
        pytest.param("pass_not_tunnel", ETHER / INNER, id="a plain packet to the VIP"),
        pytest.param(
            "pass_not_tunnel", ETHER / outer(dst="9.9.9.9") / INNER, id="a transit tunnel"
        ),
        pytest.param("drop_stranger", ETHER / outer(src="6.6.6.6") / INNER, id="a forged source"),
        pytest.param(
            "drop_not_vip", ETHER / outer() / IP(dst="3.3.3.1") / TCP(), id="no VIP inside"
        ),
        pytest.param(
            "drop_not_vip",
            ETHER / outer() / IP(dst="20.20.20.1") / INNER,
            id="a second layer around the VIP",
        ),
        pytest.param("drop_malformed", ETHER / outer(len=60) / INNER, id="lengths that disagree"),
        pytest.param("drop_malformed", ETHER / outer(flags="MF") / INNER, id="an outer fragment"),
        pytest.param(
            "drop_malformed", ETHER / outer(options=[b"\x01" * 4]) / INNER, id="outer options"
        ),
        pytest.param("drop_malformed", ETHER / outer(proto=4) / Raw(b"x" * 19), id="half a header"),
    ],
)
def test_other_packet_is_left_alone_or_dropped_by_name(
    decapsulator: Decapsulator, verdict: str, packet: Packet
) -> None:
    sent = bytes(packet)

    code, seen, out = run(decapsulator, sent)

    assert (code, seen) == (PASS if verdict.startswith("pass") else DROP, verdict)
    assert out == sent


@pytest.mark.parametrize("tos", [0x01, 0x02, 0xB9, 0xBA])
def test_congestion_mark_moves_to_the_inner_header(decapsulator: Decapsulator, tos: int) -> None:
    inner = INNER.copy()
    inner.tos = tos

    _, verdict, out = run(decapsulator, bytes(ETHER / outer(tos=tos | 3) / inner))

    inner.tos = tos | 3
    assert verdict == "pass_decapsulated"
    assert out == bytes(ETHER / inner)


def test_congestion_mark_on_a_packet_that_cannot_carry_it_drops(decapsulator: Decapsulator) -> None:
    code, verdict, _ = run(decapsulator, bytes(ETHER / outer(tos=3) / INNER))

    assert (code, verdict) == (DROP, "drop_congested")


def test_configuration_replaces_what_was(pins: Path) -> None:
    other = Decapsulator(pins)
    address = {n: frozenset({ip_address(n)}) for n in ("31.31.31.9", "31.31.31.1", "20.20.20.1")}
    for balancer in ("31.31.31.1", "31.31.31.9"):
        other.configure(
            Decapsulation(address[balancer], address["31.31.31.1"], address["20.20.20.1"])
        )

    verdicts = [
        run(other, bytes(ETHER / outer(src=source) / INNER))[1]
        for source in ("31.31.31.1", "31.31.31.9")
    ]

    assert verdicts == ["drop_stranger", "pass_decapsulated"]
    other.close()
