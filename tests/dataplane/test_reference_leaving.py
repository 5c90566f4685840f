"""The reference's packets as they leave: outer headers of each kind, and the too-big answers."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Dot1Q
from scapy.packet import Packet, Raw

from headrace.dataplane.reference import Memory, Outcome
from headrace.dataplane.tables import Tables
from headrace.model import NextHop, Path, Tuning

from .reference_tables import (
    BACK,
    CLIENT4,
    CLIENT6,
    EGRESS,
    ETHER,
    FAMILIES,
    GUE4,
    GUE6,
    HASH,
    HOP,
    INGRESS,
    IPIP4,
    IPIP6,
    L2,
    LEAVING,
    MTU,
    NOW_S,
    TO4,
    VIP4,
    VIP6,
    assert_leaves,
    endpoint,
    flow,
    run,
    service,
    syn,
    tables,
    verdict,
)

SERVICES = (service(), service(f"[{VIP6}]:80/tcp"))
INNER = {
    family: to / TCP(sport=5000, dport=80, flags="A") / b"hello"
    for family, (_, _, to) in FAMILIES.items()
}
IP_IN_IP = {4: 4, 6: 41}
OVERHEAD = {"ipip4": (IPIP4, 20), "ipip6": (IPIP6, 40), "gue4": (GUE4, 28), "gue6": (GUE6, 48)}


def by(path: Path, **fields: object) -> Tables:
    """Tables whose endpoint is reached so."""
    return tables(*SERVICES, endpoints={1: endpoint(1, path, **fields)})


def hash_of(family: int) -> int:
    """The hash of the inner packets' flow."""
    vip, client, _ = FAMILIES[family]
    numbers = replace(flow(), source=ip_address(client), destination=ip_address(vip))
    return HASH.hash32(numbers)


def outer4(**fields: object) -> Packet:
    header = {"src": "31.31.31.253", "dst": "31.31.31.1", "id": 0, "flags": "DF", "ttl": 64}
    return IP(**{**header, **fields})


def outer6(family: int, **fields: object) -> Packet:
    header = {"src": "2001:db8:f::fd", "dst": "2001:db8:f::1", "hlim": 64}
    return IPv6(**{**header, "fl": hash_of(family) & 0xFFFFF, **fields})


def gue_port(family: int) -> int:
    return 0xC000 | hash_of(family) & 0x3FFF


@pytest.mark.parametrize("family", [4, 6])
class TestOuterHeaders:
    def sent(self, family: int, tables: Tables) -> Outcome:
        return run(ETHER / INNER[family], tables)

    def test_ipip_in_ipv4(self, family: int) -> None:
        expected = LEAVING / outer4(proto=IP_IN_IP[family]) / Raw(bytes(INNER[family]))

        assert_leaves(self.sent(family, by(IPIP4)), "sent", expected, EGRESS)

    def test_ipip_in_ipv6(self, family: int) -> None:
        expected = LEAVING / outer6(family, nh=IP_IN_IP[family]) / Raw(bytes(INNER[family]))

        assert_leaves(self.sent(family, by(IPIP6)), "sent", expected, EGRESS)

    def test_gue_in_ipv4(self, family: int) -> None:
        udp = UDP(sport=gue_port(family), dport=6080, chksum=0)
        expected = LEAVING / outer4() / udp / Raw(bytes(INNER[family]))

        assert_leaves(self.sent(family, by(GUE4)), "sent", expected, EGRESS)

    def test_gue_in_ipv6(self, family: int) -> None:
        # Scapy computes a checksum of 0 anew over IPv6, so it is taken out of the bytes.
        udp = UDP(sport=gue_port(family), dport=6080, chksum=0)
        length = (8 + len(INNER[family])).to_bytes(2, "big")
        header = bytes(udp)[:4] + length + bytes(2)
        expected = LEAVING / outer6(family, nh=17) / Raw(header + bytes(INNER[family]))

        assert_leaves(self.sent(family, by(GUE6)), "sent", expected, EGRESS)

    def test_gue_to_another_port(self, family: int) -> None:
        there = tables(*SERVICES, endpoints={1: endpoint(1, GUE4)}, tuning=Tuning(gue_port=5555))

        assert self.sent(family, there).packet[36:38] == (5555).to_bytes(2, "big")

    def test_l2(self, family: int) -> None:
        assert_leaves(self.sent(family, by(L2)), "sent", LEAVING / INNER[family], EGRESS)

    @pytest.mark.parametrize("path", [IPIP4, L2], ids=["ipip", "l2"])
    def test_a_tag_is_pushed_and_the_packets_own_are_not_kept(
        self, family: int, path: Path
    ) -> None:
        hop = replace(HOP, tag=100)
        packet = ETHER / Dot1Q(vlan=5) / Dot1Q(vlan=6) / INNER[family]

        tagged = run(packet, by(replace(path, next_hop=hop)))
        plain = self.sent(family, by(path))

        tag = b"\x81\x00\x00\x64"
        expected = plain.packet[:12] + tag + plain.packet[12:]
        assert_leaves(tagged, "sent", expected, EGRESS)

    @pytest.mark.parametrize("tos", [0x00, 0x01, 0x03, 0xB8, 0xFF])
    @pytest.mark.parametrize(
        ("dscp", "kept"),
        [
            pytest.param(None, 0xFC, id="copied"),
            pytest.param(46, 0x00, id="fixed"),
            pytest.param(0, 0x00, id="fixed at none"),
        ],
    )
    def test_dscp_is_copied_or_fixed_and_ecn_copied(
        self, family: int, tos: int, dscp: int | None, kept: int
    ) -> None:
        inner = INNER[family].copy()
        setattr(inner, "tos" if family == 4 else "tc", tos)
        outer = (dscp or 0) << 2 | tos & kept | tos & 3
        packet = ETHER / inner

        in4 = run(packet, by(IPIP4, dscp=dscp))
        in6 = run(packet, by(IPIP6, dscp=dscp))

        header = outer4(proto=IP_IN_IP[family], tos=outer)
        assert_leaves(in4, "sent", LEAVING / header / Raw(bytes(inner)), EGRESS)
        header = outer6(family, nh=IP_IN_IP[family], tc=outer)
        assert_leaves(in6, "sent", LEAVING / header / Raw(bytes(inner)), EGRESS)

    def test_a_source_may_carry_the_flows_hash(self, family: int) -> None:
        high = hash_of(family) >> 16
        hashed4 = replace(IPIP4, outer_source=ip_address("10.9.0.0"), source_hashed=True)
        hashed6 = replace(IPIP6, outer_source=ip_address("fd00::"), source_hashed=True)
        source4 = str(ip_address("10.9.0.0") + high)
        source6 = str(ip_address("fd00::") + high)
        inner = Raw(bytes(INNER[family]))

        in4, in6 = self.sent(family, by(hashed4)), self.sent(family, by(hashed6))

        header = outer4(proto=IP_IN_IP[family], src=source4)
        assert_leaves(in4, "sent", LEAVING / header / inner, EGRESS)
        header = outer6(family, nh=IP_IN_IP[family], src=source6)
        assert_leaves(in6, "sent", LEAVING / header / inner, EGRESS)

    @pytest.mark.parametrize("path", [IPIP4, GUE6, L2], ids=["ipip", "gue", "l2"])
    def test_padding_stays_and_counts_for_nothing(self, family: int, path: Path) -> None:
        padded = run(bytes(ETHER / INNER[family]) + b"\x55" * 7, by(path))
        plain = self.sent(family, by(path))

        assert padded == replace(plain, packet=plain.packet + b"\x55" * 7)

    @pytest.mark.parametrize("transmit", [True, False])
    def test_a_packet_may_leave_where_it_came_in(self, family: int, *, transmit: bool) -> None:
        back = NextHop(INGRESS, HOP.source_mac, HOP.destination_mac, transmit=transmit)

        assert self.sent(family, by(replace(IPIP4, next_hop=back))).ifindex == INGRESS


def test_what_is_sent_is_counted_for_service_and_endpoint() -> None:
    outcome = run(bytes(syn()) + bytes(20), by(IPIP4))

    assert outcome.service == SERVICES[0][0]
    assert outcome.endpoint == 1
    assert outcome.length_bytes == 40


def test_an_endpoint_without_a_path_gets_nothing() -> None:
    dark = tables(service(), endpoints={1: endpoint(1, None)})

    assert verdict(syn(), dark) == "drop_no_path"
    assert run(syn(), dark).service == SERVICES[0][0]


@pytest.mark.parametrize("words", [[9], []], ids=["an endpoint that is not there", "no slots"])
def test_tables_that_contradict_each_other_drop(words: list[int]) -> None:
    assert verdict(syn(), tables(service(words=words))) == "drop_internal"


def sized(family: int, length: int, **fields: object) -> Packet:
    """An IP packet of so many bytes."""
    ip = FAMILIES[family][2].copy()
    for name, value in fields.items():
        setattr(ip, name, value)
    header = ip / TCP(sport=5000, dport=80, flags="A")
    return header / Raw(bytes(n % 251 for n in range(length - len(header))))


NOBODY = {
    4: ("0.0.0.0", "0.255.255.255", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    6: ("::", "::1", "ff00::", "ff02::1"),
}
NEXT_TO_NOBODY = {
    4: ("1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255"),
    6: ("::2", "::1:0:0:1", "1::1", "fe80::1", "feff::1"),
}


def too_big4(packet: Packet, mtu: int) -> Packet:
    error = ICMP(type=3, code=4, nexthopmtu=mtu) / Raw(bytes(packet)[:512])
    return IP(src=VIP4, dst=CLIENT4, id=0, flags="DF", ttl=64) / error


def too_big6(packet: Packet, mtu: int) -> Packet:
    error = ICMPv6PacketTooBig(mtu=mtu) / Raw(bytes(packet)[:1024])
    return IPv6(src=VIP6, dst=CLIENT6, hlim=64) / error


TOO_BIG = {4: too_big4, 6: too_big6}


@pytest.mark.parametrize("family", [4, 6])
class TestTooBig:
    @pytest.mark.parametrize(("path", "overhead"), OVERHEAD.values(), ids=OVERHEAD)
    def test_the_client_is_told_the_size_that_fits(
        self, family: int, path: Path, overhead: int
    ) -> None:
        fits = sized(family, MTU - overhead)
        packet = sized(family, MTU - overhead + 1)

        assert run(ETHER / fits, by(path)).verdict == "sent"
        expected = BACK / TOO_BIG[family](packet, MTU - overhead)
        assert_leaves(run(ETHER / packet, by(path)), "answered_too_big", expected, INGRESS)

    def test_l2_takes_the_whole_mtu(self, family: int) -> None:
        packet = sized(family, MTU + 1)

        assert run(ETHER / sized(family, MTU), by(L2)).verdict == "sent"
        expected = BACK / TOO_BIG[family](packet, MTU)
        assert_leaves(run(ETHER / packet, by(L2)), "answered_too_big", expected, INGRESS)

    def test_tags_stay_and_padding_does_not(self, family: int) -> None:
        packet = sized(family, MTU)
        tag = b"\x88\xa8\x60\x05"
        frame = bytes(ETHER / packet)

        outcome = run(frame[:12] + tag + frame[12:] + bytes(9), by(IPIP4))

        expected = bytes(BACK / TOO_BIG[family](packet, MTU - 20))
        assert_leaves(outcome, "answered_too_big", expected[:12] + tag + expected[12:], INGRESS)

    def test_it_is_counted_for_the_service_but_for_no_endpoint(self, family: int) -> None:
        outcome = run(ETHER / sized(family, MTU), by(IPIP4))

        assert outcome.service == SERVICES[0 if family == 4 else 1][0]
        assert outcome.endpoint is None
        assert outcome.length_bytes == MTU

    def test_answers_are_limited_together_with_pings(self, family: int) -> None:
        one = tables(*SERVICES, tuning=Tuning(answers_per_s=1))
        ping = ETHER / TO4 / ICMP()
        big = ETHER / sized(family, MTU)
        memory = Memory()

        verdicts = [
            run(packet, one, memory, now_s).verdict
            for now_s, packet in [(NOW_S, ping), (NOW_S, big), (NOW_S + 1, big), (NOW_S + 1, ping)]
        ]

        assert verdicts == ["answered_echo", "drop_answers", "answered_too_big", "drop_answers"]

    def test_a_flood_of_pings_leaves_some_to_it(self, family: int) -> None:
        four = tables(*SERVICES, tuning=Tuning(answers_per_s=4))
        ping = ETHER / TO4 / ICMP()
        big = ETHER / sized(family, MTU)
        memory = Memory()

        verdicts = [run(packet, four, memory).verdict for packet in [ping] * 4 + [big] * 2]

        assert verdicts[:4] == ["answered_echo"] * 3 + ["drop_answers"]
        assert verdicts[4:] == ["answered_too_big", "drop_answers"]

    def test_it_may_have_every_answer(self, family: int) -> None:
        four = tables(*SERVICES, tuning=Tuning(answers_per_s=4))
        memory = Memory()

        verdicts = [run(ETHER / sized(family, MTU), four, memory).verdict for _ in range(5)]

        assert verdicts == ["answered_too_big"] * 4 + ["drop_answers"]

    def test_nobody_is_not_told(self, family: int) -> None:
        none = tables(*SERVICES, tuning=Tuning(answers_per_s=0))
        for source in NOBODY[family]:
            small, big = (sized(family, length, src=source) for length in (MTU - 40, MTU))

            assert run(ETHER / small, none).verdict == "sent"
            assert verdict(ETHER / big, none) == "drop_sender"

    def test_their_neighbours_are(self, family: int) -> None:
        for source in NEXT_TO_NOBODY[family]:
            outcome = run(ETHER / sized(family, MTU, src=source), by(IPIP4))

            assert outcome.verdict == "answered_too_big"


def test_the_answer_is_the_same_whether_ipv4_may_be_fragmented_or_not() -> None:
    for flags in ("DF", 0):
        packet = sized(4, MTU, flags=flags)
        outcome = run(ETHER / packet, by(IPIP4))

        expected = BACK / too_big4(packet, MTU - 20)
        assert_leaves(outcome, "answered_too_big", expected, INGRESS)


def test_a_short_packet_is_quoted_as_a_whole() -> None:
    packet = sized(4, 301)
    narrow = by(replace(IPIP4, mtu_bytes=320))

    outcome = run(bytes(ETHER / packet) + bytes(5), narrow)

    assert_leaves(outcome, "answered_too_big", BACK / too_big4(packet, 300), INGRESS)


@pytest.mark.parametrize(("mtu", "expected"), [(1320, "answered_too_big"), (1319, "drop_too_big")])
def test_nobody_is_told_less_than_ipv6_must_carry(mtu: int, expected: str) -> None:
    path = replace(IPIP6, mtu_bytes=mtu)

    assert run(ETHER / sized(6, 1400), by(path)).verdict == expected


def test_a_packet_that_is_not_answered_takes_no_answer() -> None:
    one = tables(
        *SERVICES,
        endpoints={1: endpoint(1, replace(IPIP6, mtu_bytes=1319))},
        tuning=Tuning(answers_per_s=1),
    )
    memory = Memory()

    run(ETHER / sized(6, 1400), one, memory)

    assert run(ETHER / TO4 / ICMP(), one, memory).verdict == "answered_echo"
