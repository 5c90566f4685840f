"""The reference and packets in fragments: only the first one has the ports."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

from headrace.dataplane.reference import Memory, Ports
from headrace.model import Affinity, FlowTable, Protocol
from headrace.model.limits import LIMIT_FRAGMENT_S

from .reference_tables import (
    CLIENT4,
    CLIENT6,
    ETHER,
    NOW_S,
    VIP4,
    VIP6,
    assert_leaves,
    run,
    service,
    tables,
    unstable,
    verdict,
    wrapped,
)

DNS = tables(
    service(f"{VIP4}:53/udp", words=[1, 2, 3]),
    service(f"[{VIP6}]:53/udp", words=[1, 2, 3]),
)
BY_SOURCE: dict[str, Any] = {"affinity": Affinity.SOURCE_IP, "pool": "web"}


def piece4(offset: int, payload: Packet | bytes, *, more: bool = False, **fields: object) -> Packet:
    ip = {"src": CLIENT4, "dst": VIP4, "id": 7, "proto": 17, **fields}
    return ETHER / IP(frag=offset, flags="MF" if more else 0, **ip) / payload


def piece6(offset: int, payload: Packet | bytes, *, more: bool = False, **fields: object) -> Packet:
    header = {"id": 7, "nh": 17, **fields}
    fragment = IPv6ExtHdrFragment(offset=offset, m=int(more), **header)
    return ETHER / IPv6(src=CLIENT6, dst=VIP6) / fragment / payload


Piece = Callable[..., Packet]
PIECES = [pytest.param(piece4, id="IPv4"), pytest.param(piece6, id="IPv6")]
FIRST = UDP(sport=5000, dport=53, len=1000, chksum=0) / bytes(16)


@pytest.mark.parametrize("piece", PIECES)
def test_later_fragments_follow_the_first(piece: Piece) -> None:
    memory = Memory()

    first = run(piece(0, FIRST, more=True), DNS, memory)
    later = run(piece(3, b"x", more=True), DNS, memory)
    last = run(piece(4, b"x"), DNS, memory)

    assert [each.verdict for each in (first, later, last)] == ["sent"] * 3
    assert first.endpoint == later.endpoint == last.endpoint
    assert list(memory.fragments.values()) == [Ports(Protocol.UDP, 5000, 53, NOW_S)]


def test_a_fragment_is_sent_as_it_is() -> None:
    one = tables(service(f"{VIP4}:53/udp"))
    memory = Memory()
    packet = piece4(3, b"x")

    run(piece4(0, FIRST, more=True), one, memory)

    assert_leaves(run(packet, one, memory), "sent", wrapped(bytes(packet)[14:]), 77)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(piece4(3, b"x", id=8), id="another packet"),
        pytest.param(piece4(3, b"x", proto=6), id="another protocol"),
        pytest.param(piece6(3, b"x", id=8), id="another packet, IPv6"),
        pytest.param(piece6(3, b"x", id=8, nh=60), id="another packet behind options"),
    ],
)
def test_fragments_of_an_unknown_packet_are_dropped(later: Packet) -> None:
    memory = Memory()
    for piece in (piece4, piece6):
        run(piece(0, FIRST, more=True), DNS, memory)

    assert run(later, DNS, memory).verdict == "drop_fragment"


@pytest.mark.parametrize("shown", [0, 6, 43, 44, 60, 132])
def test_an_ipv6_fragment_has_the_protocol_of_its_first(shown: int) -> None:
    memory = Memory()

    first = run(piece6(0, IPv6ExtHdrDestOpt() / FIRST, more=True, nh=60), DNS, memory)
    later = run(piece6(3, b"x", nh=shown), DNS, memory)

    assert (later.verdict, later.endpoint) == ("sent", first.endpoint)
    assert later.service == first.service


def test_an_ipv6_packets_fragments_are_known_without_their_protocol() -> None:
    memory = Memory()

    run(piece6(0, FIRST, more=True), DNS, memory)
    run(piece4(0, FIRST, more=True), DNS, memory)

    assert [(key.version, key.protocol) for key in memory.fragments] == [
        (6, None),
        (4, Protocol.UDP),
    ]


def test_options_behind_a_later_fragment_of_a_ping_tell_nothing() -> None:
    memory = Memory()

    first = run(piece6(0, IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(), more=True, nh=60), DNS, memory)
    later = run(piece6(3, b"x", nh=60), DNS, memory)

    assert (first.verdict, later.verdict) == ("drop_fragment", "drop_fragment")


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        pytest.param(-1, "sent", id="another CPU has seen the next second"),
        pytest.param(LIMIT_FRAGMENT_S, "sent", id="in time"),
        pytest.param(LIMIT_FRAGMENT_S + 1, "drop_fragment", id="too late"),
    ],
)
def test_a_first_fragment_is_remembered_for_a_time(age_s: int, expected: str) -> None:
    memory = Memory()

    run(piece4(0, FIRST, more=True), DNS, memory)

    assert run(piece4(3, b"x"), DNS, memory, NOW_S + age_s).verdict == expected


def test_a_first_fragment_without_ports_is_malformed_and_forgotten() -> None:
    memory = Memory()

    outcome = run(piece4(0, b"abc", more=True), DNS, memory)

    assert outcome.verdict == "drop_malformed"
    assert memory == Memory()


def test_fragments_of_no_service_are_unserved_once_the_first_was_seen() -> None:
    memory = Memory()

    first = run(piece4(0, UDP(dport=54), more=True), DNS, memory)
    later = run(piece4(3, b"x"), DNS, memory)

    assert (first.verdict, later.verdict) == ("drop_unserved", "drop_unserved")


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(piece4(0, ICMP(), more=True, proto=1), id="the first of a ping"),
        pytest.param(piece4(1, bytes(8), proto=1), id="a later one"),
        pytest.param(piece6(0, ICMPv6EchoRequest(), more=True, nh=58), id="the first, IPv6"),
        pytest.param(piece6(1, bytes(8), nh=58), id="a later one, IPv6"),
        pytest.param(piece6(0, b"abc", more=True, nh=58), id="and cut short"),
    ],
)
def test_icmp_in_fragments_is_dropped(packet: Packet) -> None:
    assert verdict(packet, DNS) == "drop_fragment"


def test_fragments_of_other_protocols_are_unserved() -> None:
    assert verdict(piece4(1, bytes(8), proto=47), DNS) == "drop_unserved"
    assert verdict(piece4(1, bytes(8), proto=60), DNS) == "drop_unserved"
    assert verdict(piece6(1, bytes(8), nh=47), DNS) == "drop_unserved"


def test_an_atomic_fragment_is_an_ordinary_packet() -> None:
    memory = Memory()

    assert run(piece6(0, FIRST), DNS, memory).verdict == "sent"
    assert memory == Memory()


def test_the_first_of_two_fragment_headers_is_not_forgotten() -> None:
    atomic = IPv6ExtHdrFragment(id=9, nh=17)
    memory = Memory()

    outcome = run(piece6(0, atomic / FIRST, more=True, nh=44), DNS, memory)

    assert outcome.verdict == "sent"
    assert [key.identification for key in memory.fragments] == [7]


def test_headers_behind_a_later_fragment_header_are_data() -> None:
    far = IPv6ExtHdrDestOpt(len=200, nh=17)

    assert verdict(piece6(3, far), DNS) == "drop_fragment"


class TestWherePortsMakeNoDifference:
    """All services of a VIP and protocol have source-IP affinity and are alike."""

    alike = tables(
        service(f"{VIP4}:53/udp", words=[1, 2, 3], **BY_SOURCE),
        service(f"{VIP4}:54/udp", words=[1, 2, 3], **BY_SOURCE),
        service(f"{VIP4}:53/tcp", words=[2]),
    )

    def test_later_fragments_need_no_first(self) -> None:
        whole = run(ETHER / IP(src=CLIENT4, dst=VIP4) / UDP(dport=54), self.alike)
        later = run(piece4(3, b"x"), self.alike)

        assert later.verdict == "sent"
        assert later.endpoint == whole.endpoint

    def test_first_fragments_go_the_same_way(self) -> None:
        memory = Memory()

        outcome = run(piece4(0, UDP(dport=9999), more=True), self.alike, memory)

        assert outcome.verdict == "sent"
        assert outcome.endpoint == run(piece4(3, b"x"), self.alike).endpoint
        assert len(memory.fragments) == 1

    def test_the_lowest_port_counts_the_packets(self) -> None:
        outcomes = [run(piece4(0, FIRST, more=True), self.alike), run(piece4(3, b"x"), self.alike)]

        assert [str(each.service) for each in outcomes] == [f"{VIP4}:53/udp"] * 2

    def test_a_first_fragment_needs_its_ports_all_the_same(self) -> None:
        assert verdict(piece4(0, b"abc", more=True), self.alike) == "drop_malformed"

    def test_a_first_fragment_notes_its_flow(self) -> None:
        always = tables(
            service(f"{VIP4}:53/udp", flow_table=FlowTable.ALWAYS, **BY_SOURCE),
        )
        memory = Memory()

        run(piece4(0, FIRST, more=True), always, memory)
        run(piece4(3, b"x"), always, memory)
        run(piece4(3, b"x", id=8), always, memory)  # whose first one is not known

        assert [(f.source_port, f.destination_port) for f in memory.notes] == [(5000, 53)]

    @pytest.mark.parametrize(
        ("known", "expected"),
        [pytest.param(True, 1, id="after its first"), pytest.param(False, 2, id="before it")],
    )
    def test_a_later_fragment_follows_the_note_of_its_flow(
        self, *, known: bool, expected: int
    ) -> None:
        moved = tables(service(f"{VIP4}:53/tcp", words=[unstable(1, anchor=2)], **BY_SOURCE))
        memory = Memory()
        header = {"sport": 5000, "dport": 53}

        run(ETHER / IP(src=CLIENT4, dst=VIP4) / TCP(flags="S", **header), moved, memory)
        if known:
            run(piece4(0, TCP(flags="A", **header), more=True, proto=6), moved, memory)

        assert run(piece4(3, b"x", proto=6), moved, memory).endpoint == expected

    def test_behind_options_a_later_fragment_needs_its_first(self) -> None:
        alike = tables(service(f"[{VIP6}]:53/udp", words=[1, 2, 3], **BY_SOURCE))
        memory = Memory()

        before = run(piece6(3, b"x", nh=60), alike, memory)
        run(piece6(0, IPv6ExtHdrDestOpt() / FIRST, more=True, nh=60), alike, memory)
        after = run(piece6(3, b"x", nh=60), alike, memory)

        assert (before.verdict, after.verdict) == ("drop_fragment", "sent")
        assert after.endpoint == run(piece6(3, b"x"), alike).endpoint

    def test_whole_packets_need_a_service_of_their_port(self) -> None:
        packet = ETHER / IP(src=CLIENT4, dst=VIP4) / UDP(dport=9999)

        assert verdict(packet, self.alike) == "drop_unserved"

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param({"affinity": Affinity.FLOW}, id="affinity"),
            pytest.param({"pool": "other"}, id="pool"),
            pytest.param({"flow_table": FlowTable.NEVER}, id="flow table"),
            pytest.param({"sources": frozenset({ip_network("1.0.0.0/8")})}, id="sources"),
        ],
    )
    def test_a_service_that_differs_ends_it(self, other: dict[str, Any]) -> None:
        entry = {**BY_SOURCE, **other}
        unlike = tables(service(f"{VIP4}:53/udp", **BY_SOURCE), service(f"{VIP4}:54/udp", **entry))

        assert verdict(piece4(3, b"x"), unlike) == "drop_fragment"


class TestNotes:
    """In an unstable slot, a later fragment looks the flow's note up, but writes none."""

    moved = tables(
        service(f"{VIP4}:53/tcp", words=[unstable(1, anchor=2)]),
        service(f"{VIP4}:53/sctp", words=[unstable(1, anchor=2)]),
    )

    @pytest.mark.parametrize(
        ("flags", "expected"), [pytest.param("S", 1, id="SYN"), pytest.param("A", 2, id="no SYN")]
    )
    def test_a_later_fragment_follows_the_note(self, flags: str, expected: int) -> None:
        memory = Memory()
        first = TCP(sport=5000, dport=53, flags=flags) / bytes(4)

        run(piece4(0, first, more=True, proto=6), self.moved, memory)
        notes = dict(memory.notes)
        later = run(piece4(3, b"x", proto=6), self.moved, memory, NOW_S + 1)

        assert later.endpoint == expected
        assert memory.notes == notes

    def test_a_later_fragment_begins_nothing(self) -> None:
        memory = Memory()
        first = SCTP(sport=5000, dport=53, tag=9)

        run(piece4(0, first, more=True, proto=132), self.moved, memory)
        later = run(piece4(3, bytes(16), proto=132), self.moved, memory)

        assert later.endpoint == 2
        assert memory.notes == {}


def test_a_later_fragment_that_is_too_big_is_not_answered() -> None:
    memory = Memory()
    big = bytes(1480)

    first = run(piece4(0, FIRST / big[: 1480 - 24], more=True), DNS, memory)
    later = run(piece4(185, big, more=True), DNS, memory)

    assert (first.verdict, later.verdict) == ("answered_too_big", "drop_too_big")
    assert later.service == first.service
