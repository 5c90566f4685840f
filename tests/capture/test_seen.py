"""What a captured packet is said to be."""

import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from headrace.capture import Seen
from headrace.dataplane.sighting import Served, served, sight
from headrace.model import Encapsulation, Protocol

CLIENT, VIP = "1.1.1.1", "20.20.20.1"
QUERY = IP(src=CLIENT, dst=VIP) / UDP(sport=1000, dport=53) / b"?"
QUERY6 = IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1000, dport=80)
TOO_BIG = IP(src=VIP, dst=CLIENT) / ICMP(type=3, code=4) / bytes(QUERY)
FROM_ROUTER = IP(src="9.9.9.9", dst=VIP) / ICMP(type=3, code=4)
REPLY = IP(src=VIP, dst=CLIENT) / UDP(sport=53, dport=1000) / b"!"
OUTER = IP(src="31.31.31.253", dst="31.31.31.1")
OUTER6 = IPv6(src="fd31::253", dst="fd31::1")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def frame(packet: Packet) -> bytes:
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


@pytest.mark.parametrize(
    ("packet", "outer", "said"),
    [
        pytest.param(
            QUERY, Encapsulation.L2, "1.1.1.1:1000 > 20.20.20.1:53 udp 29 bytes", id="by its MAC"
        ),
        pytest.param(
            Dot1Q(vlan=7) / QUERY,
            Encapsulation.L2,
            "1.1.1.1:1000 > 20.20.20.1:53 udp 29 bytes",
            id="with a tag",
        ),
        pytest.param(
            OUTER / QUERY,
            Encapsulation.IPIP,
            "1.1.1.1:1000 > 20.20.20.1:53 udp 29 bytes, in 31.31.31.253 > 31.31.31.1",
            id="IPv4 in IPv4",
        ),
        pytest.param(
            OUTER6 / QUERY6,
            Encapsulation.IPIP,
            "[fd00::1]:1000 > [fd00::2]:80 tcp 60 bytes, in fd31::253 > fd31::1",
            id="IPv6 in IPv6",
        ),
        pytest.param(
            OUTER / UDP(sport=50_000, dport=6080) / bytes(QUERY6),
            Encapsulation.GUE,
            "[fd00::1]:1000 > [fd00::2]:80 tcp 60 bytes, in 31.31.31.253 > 31.31.31.1",
            id="IPv6 in GUE",
        ),
        pytest.param(
            TOO_BIG,
            Encapsulation.L2,
            "20.20.20.1 > 1.1.1.1 icmp 57 bytes, about 1.1.1.1:1000 > 20.20.20.1:53 udp 29 bytes",
            id="an answer",
        ),
        pytest.param(
            IP(src=CLIENT, dst=VIP, frag=9, proto=17) / b"abc",
            Encapsulation.L2,
            "1.1.1.1 > 20.20.20.1 udp fragment 23 bytes",
            id="a later fragment",
        ),
        pytest.param(ARP(), Encapsulation.L2, "a frame of 42 bytes", id="not IP"),
        pytest.param(MPLS(label=1), Encapsulation.L2, "a frame of 18 bytes", id="not IP either"),
        pytest.param(
            IP(src=CLIENT, dst=VIP, proto=99),
            Encapsulation.L2,
            "1.1.1.1 > 20.20.20.1 99 20 bytes",
            id="a protocol without a name",
        ),
    ],
)
def test_a_packet_is_one_line(packet: Packet, outer: Encapsulation, said: str) -> None:
    data = frame(packet)

    seen = Seen(
        time_ns=1_700_000_000_000_456_789,
        interface="eth0",
        verdict="sent",
        endpoint=ip_address("10.0.0.1"),
        pool="web",
        frame=data,
        length_bytes=len(data),
        sighting=sight(data, outer),
    )

    assert seen.line == (f"22:13:20.000456 eth0 verdict sent, endpoint 10.0.0.1, pool web: {said}")


def test_what_is_not_known_is_left_out() -> None:
    data = frame(ARP())

    seen = Seen(0, "eth0", "pass_not_ip", None, "", data, len(data), sight(data))

    assert seen.comment == "verdict pass_not_ip"


@pytest.mark.parametrize(
    ("packet", "is_answer", "about"),
    [
        pytest.param(QUERY, False, (Protocol.UDP, 53), id="a packet"),
        pytest.param(TOO_BIG, True, (Protocol.UDP, 53), id="an answer to it"),
        pytest.param(FROM_ROUTER / bytes(REPLY), False, (Protocol.UDP, 53), id="an error"),
        *(
            pytest.param(
                IP(src="9.9.9.9", dst=VIP) / ICMP(type=kind) / bytes(REPLY),
                False,
                (Protocol.UDP, 53),
                id=f"an error of type {kind}",
            )
            for kind in (3, 11, 12)
        ),
        pytest.param(
            IP(src=CLIENT, dst=VIP, frag=9, proto=17) / b"abc",
            False,
            (Protocol.UDP, None),
            id="a later fragment",
        ),
        pytest.param(IP(src=CLIENT, dst=VIP) / ICMP(), False, None, id="a ping"),
        pytest.param(IP(src=CLIENT, dst=VIP, proto=99), False, None, id="another protocol"),
        pytest.param(ARP(), False, None, id="not IP"),
    ],
)
def test_a_packet_belongs_to_the_service_that_it_is_about(
    packet: Packet,
    is_answer: bool,  # noqa: FBT001 - pytest's
    about: tuple[Protocol, int | None] | None,
) -> None:
    found = served(sight(frame(packet)), is_answer=is_answer)

    assert found == (about and Served(ip_address(VIP), *about))


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_an_error_of_ipv6_is_about_what_it_quotes(kind: int) -> None:
    quoted = IPv6(src="fd00::2", dst="fd00::1") / TCP(sport=80, dport=1000)
    error = IPv6(src="fd00::9", dst="fd00::2", nh=58) / (bytes([kind]) + bytes(7) + bytes(quoted))

    found = served(sight(frame(error)), is_answer=False)

    assert found == Served(ip_address("fd00::2"), Protocol.TCP, 80)


def test_half_of_the_ports_is_none() -> None:
    cut = frame(QUERY)[: 14 + 20 + 3]

    sighting = sight(cut)

    assert sighting.packet is not None
    assert sighting.packet.ports is None


@pytest.mark.parametrize(
    "packet",
    [
        OUTER / QUERY,
        OUTER / UDP(sport=50_000, dport=6080) / bytes(QUERY6),
        OUTER6 / IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment(m=1) / UDP(),
        TOO_BIG,
        Dot1Q(vlan=7) / QUERY6,
    ],
)
def test_a_frame_may_be_cut_anywhere(packet: Packet) -> None:
    data = frame(packet)

    sightings = [
        sight(data[:size], outer) for size in range(len(data) + 1) for outer in Encapsulation
    ]

    assert sightings[0].packet is None
    assert sightings[-1].packet is not None
