"""Named packets through the endpoint's program."""

import ctypes
import itertools
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from headrace import dataplane
from headrace.dataplane import (
    Decapsulation,
    Decapsulator,
    all_verdicts,
    decapsulator,
    detach_all,
    libbpf,
)

from .btf import StructLayout, read_structs

pytestmark = pytest.mark.bpf

PASS, DROP = 2, 1
GUE_PORT = 6080

ETHER = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:fe")
TAG, OUTER_TAG = Dot1Q(vlan=42, prio=5), Dot1AD(vlan=7)
LINKS = {"plain": ETHER, "tagged": ETHER / TAG, "QinQ": ETHER / OUTER_TAG / TAG}

SEGMENT = TCP(sport=57538, dport=8080) / Raw(b"hello")
INNER4 = IP(src="1.1.1.1", dst="20.20.20.1", ttl=7) / SEGMENT
INNER6 = IPv6(src="2001:db8:c::1", dst="2001:db8:20::1", hlim=7, fl=0x12345) / SEGMENT
INNERS = {4: INNER4, 6: INNER6}
GUE4, GUE6 = (UDP(dport=GUE_PORT) / Raw(bytes(inner)) for inner in (INNER4, INNER6))
PAIRS = list(itertools.product((4, 6), (4, 6)))

KNOWN = Decapsulation(
    balancers=frozenset(
        map(ip_network, ("31.31.31.253", "31.31.31.254", "31.99.0.0/16", "2001:db8:31::/64"))
    ),
    own=frozenset(map(ip_address, ("31.31.31.1", "2001:db8:1::1"))),
    vips=frozenset(map(ip_network, ("20.20.20.1", "20.21.0.0/24", "2001:db8:20::1"))),
    gue_port=GUE_PORT,
)


def outer4(**fields: object) -> IP:
    return IP(**({"src": "31.31.31.253", "dst": "31.31.31.1", "flags": "DF"} | fields))


def outer6(**fields: object) -> IPv6:
    return IPv6(**({"src": "2001:db8:31::9", "dst": "2001:db8:1::1", "fl": 0x54321} | fields))


def outer(family: int, inner: int, **fields: object) -> Packet:
    """The outer header of IP in IP; its protocol is that of the inner family."""
    protocol = {4: 4, 6: 41}[inner]
    return outer4(proto=protocol, **fields) if family == 4 else outer6(nh=protocol, **fields)


def gue(family: int, inner: Packet, checksum: int = 0) -> Packet:
    """An inner packet in GUE."""
    header = outer4(proto=17) if family == 4 else outer6(nh=17)
    return header / UDP(sport=50000, dport=GUE_PORT, chksum=checksum) / Raw(bytes(inner))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decapsulator]:
    """An endpoint's program that knows the addresses of the cases."""
    directory = tmp_path_factory.mktemp("tailrace") / "bpf"
    try:
        program = Decapsulator(directory)
        program.configure(KNOWN)
        yield program
        program.close()
    finally:
        detach_all(directory)


def run(program: Decapsulator, packet: bytes) -> tuple[int, str, bytes]:
    """The XDP code, the one verdict that was counted, the packet after."""
    before = {v.name: v.count.packets for v in program.verdict_counts()}
    code, out = libbpf.run_program(program.program_fd, packet)
    after = {v.name: v.count.packets for v in program.verdict_counts()}
    (verdict,) = [name for name in after if after[name] != before[name]]
    return code, verdict, out


def assert_unwrapped(program: Decapsulator, packet: Packet, expected: Packet) -> None:
    assert run(program, bytes(packet)) == (PASS, "pass_decapsulated", bytes(expected))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("family", "inner"), PAIRS)
def test_ip_in_ip_is_unwrapped_and_otherwise_unchanged(
    known: Decapsulator, family: int, inner: int, link: str
) -> None:
    packet = LINKS[link] / outer(family, inner) / INNERS[inner]

    assert_unwrapped(known, packet, LINKS[link] / INNERS[inner])


@pytest.mark.parametrize("checksum", [0, 0xBEEF], ids=["no checksum", "a checksum"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("family", "inner"), PAIRS)
def test_gue_is_unwrapped_and_otherwise_unchanged(
    known: Decapsulator, family: int, inner: int, link: str, checksum: int
) -> None:
    packet = LINKS[link] / gue(family, INNERS[inner], checksum)

    assert_unwrapped(known, packet, LINKS[link] / INNERS[inner])


@pytest.mark.parametrize("source", ["31.31.31.253", "31.31.31.254", "31.99.0.0", "31.99.255.255"])
def test_every_balancer_address_and_all_of_a_prefix_are_known(
    known: Decapsulator, source: str
) -> None:
    assert_unwrapped(known, ETHER / outer4(src=source) / INNER4, ETHER / INNER4)


def test_an_address_of_a_vip_prefix_is_a_vip(known: Decapsulator) -> None:
    inner = IP(src="1.1.1.1", dst="20.21.0.200") / SEGMENT

    assert_unwrapped(known, ETHER / outer4() / inner, ETHER / inner)


@pytest.mark.parametrize(("family", "inner"), PAIRS)
@pytest.mark.parametrize("size", [1, 46])
def test_padding_behind_the_packet_stays_behind_it(
    known: Decapsulator, family: int, inner: int, size: int
) -> None:
    padding = b"\xee" * size
    padded = [
        Raw(bytes(packet) + padding)
        for packet in (ETHER / outer(family, inner) / INNERS[inner], ETHER / INNERS[inner])
    ]

    assert_unwrapped(known, *padded)


@pytest.mark.parametrize(
    "inner",
    [
        IP(src="1.1.1.1", dst="20.20.20.1", options=[b"\x01" * 8]) / SEGMENT,
        IP(src="1.1.1.1", dst="20.20.20.1", flags="MF") / SEGMENT,
        IP(src="1.1.1.1", dst="20.20.20.1", frag=185, proto=17) / Raw(b"x"),
        IP(src="1.1.1.1", dst="20.20.20.1") / ICMP(type=3, code=4) / INNER4,
        IP(src="1.1.1.1", dst="20.20.20.1") / GUE4,
        IP(src="1.1.1.1", dst="20.20.20.1", chksum=0xBAD) / SEGMENT,
        IP(src="1.1.1.1", dst="20.20.20.1", proto=6),
    ],
    ids=["options", "first fragment", "later fragment", "error", "UDP", "checksum", "no payload"],
)
def test_what_is_in_the_inner_packet_is_the_kernels_business(
    known: Decapsulator, inner: Packet
) -> None:
    assert_unwrapped(known, ETHER / outer4(proto=4) / inner, ETHER / inner)


@pytest.mark.parametrize(
    "inner",
    [
        IPv6(src="2001:db8:c::1", dst="2001:db8:20::1") / IPv6ExtHdrDestOpt() / SEGMENT,
        IPv6(src="2001:db8:c::1", dst="2001:db8:20::1") / IPv6ExtHdrFragment(m=1) / SEGMENT,
        IPv6(src="2001:db8:c::1", dst="2001:db8:20::1", nh=59),
        IPv6(src="2001:db8:c::1", dst="2001:db8:20::1", nh=60),
    ],
    ids=["options", "fragment", "no payload", "a missing extension header"],
)
def test_inner_ipv6_headers_are_the_kernels_business(known: Decapsulator, inner: Packet) -> None:
    assert_unwrapped(known, ETHER / outer4(proto=41) / inner, ETHER / inner)


OTHERS: dict[str, Packet] = {
    "ARP": ETHER / ARP(),
    "an IPv4 packet to the VIP": ETHER / INNER4,
    "an IPv6 packet to the VIP": ETHER / INNER6,
    "an IPv4 packet to us": ETHER / outer4() / SEGMENT,
    "an IPv6 packet to us": ETHER / outer6() / SEGMENT,
    "a transit tunnel": ETHER / outer4(dst="9.9.9.9") / INNER4,
    "an IPv6 transit tunnel": ETHER / outer6(dst="2001:db8:9::1") / INNER6,
    "a tunnel to the VIP": ETHER / outer4(dst="20.20.20.1") / INNER4,
    "transit GUE": ETHER / outer4(dst="9.9.9.9") / GUE4,
    "UDP to another port": ETHER / outer4() / UDP(dport=53) / Raw(bytes(INNER4)),
    "UDP from GUE's port": ETHER / outer4() / UDP(sport=GUE_PORT, dport=9) / Raw(bytes(INNER4)),
    "UDP over IPv6 to another port": ETHER / outer6() / UDP(dport=53) / Raw(bytes(INNER6)),
    "a later fragment of UDP": ETHER / outer4(proto=17, flags=0, frag=1) / Raw(bytes(64)),
    "a later IPv6 fragment of UDP": (
        ETHER / outer6() / IPv6ExtHdrFragment(nh=17, offset=1) / Raw(bytes(64))
    ),
    "GRE": ETHER / outer4(proto=47) / Raw(bytes(32)),
    "three tags": ETHER / OUTER_TAG / TAG / TAG / outer4() / INNER4,
    "a tag alone": ETHER / Dot1Q(vlan=1),
    "version 5 behind the ethertype": Ether(type=0x0800) / Raw(b"\x55" + bytes(60)),
    "IPv4 behind IPv6's ethertype": Ether(type=0x86DD) / Raw(bytes(outer4() / INNER4)),
    "a v4 balancer written as v6": (
        ETHER / IPv6(src="::ffff:31.31.31.253", dst="::ffff:31.31.31.1") / INNER4
    ),
    "five extension headers": (
        ETHER / outer6() / Raw((b"\x3c" + bytes(7)) * 4 + b"\x29" + bytes(7) + bytes(INNER6))
    ),
}
OTHERS["five extension headers"][IPv6].nh = 60


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_tunnel_to_us_passes_as_it_came(known: Decapsulator, name: str) -> None:
    sent = bytes(OTHERS[name])

    assert run(known, sent) == (PASS, "pass_not_tunnel", sent)


def shortened(packet: Packet, by: int) -> Raw:
    """A frame that ends early."""
    return Raw(bytes(packet)[:-by])


def with_length(header: Packet, change: int) -> Packet:
    """A tunnel header whose length field is wrong by so many bytes, with enough behind it."""
    built = header.__class__(bytes(header / INNER4))
    if isinstance(built, IP):
        built.len += change
        del built.chksum
    else:
        built.plen += change
    return ETHER / built / Raw(bytes(max(change, 0)))


EXTENSION = PadN(optdata=b"\0" * 4)
BAD: list[tuple[str, str, Packet]] = [
    ("drop_stranger", "a forged source", ETHER / outer4(src="6.6.6.6") / INNER4),
    ("drop_stranger", "an unknown IPv6 source", ETHER / outer6(src="2001:db8:66::1") / INNER6),
    ("drop_stranger", "just outside a prefix", ETHER / outer4(src="31.100.0.0") / INNER4),
    ("drop_stranger", "the VIP as a source", ETHER / outer4(src="20.20.20.1") / INNER4),
    ("drop_stranger", "ourselves", ETHER / outer4(src="31.31.31.1") / INNER4),
    ("drop_stranger", "GUE from an unknown source", ETHER / outer4(src="6.6.6.6") / GUE4),
    ("drop_stranger", "a tagged forged source", ETHER / TAG / outer4(src="6.6.6.6") / INNER4),
    ("drop_not_vip", "no VIP inside", ETHER / outer4() / IP(dst="3.3.3.1") / TCP()),
    ("drop_not_vip", "no IPv6 VIP inside", ETHER / outer4() / IPv6(dst="2001:db8::3") / TCP()),
    ("drop_not_vip", "just outside a VIP prefix", ETHER / outer4() / IP(dst="20.21.1.0") / TCP()),
    ("drop_not_vip", "our own address inside", ETHER / outer4() / IP(dst="31.31.31.1") / TCP()),
    ("drop_not_vip", "no VIP in GUE", ETHER / gue(6, IP(dst="3.3.3.1") / TCP())),
    ("drop_not_vip", "GUE in GUE to us", ETHER / gue(4, gue(4, INNER4))),
    ("drop_nested", "a second layer to the VIP", ETHER / outer4() / IP(dst="20.20.20.1") / INNER4),
    ("drop_nested", "a second layer to us", ETHER / outer4() / outer4() / INNER4),
    ("drop_nested", "IPv6 twice", ETHER / outer6() / outer6() / INNER6),
    ("drop_nested", "mixed layers", ETHER / outer6() / outer4() / INNER6),
    ("drop_nested", "IP in IP in GUE", ETHER / gue(4, outer4() / INNER4)),
    (
        "drop_nested",
        "a second layer behind options",
        ETHER / outer4() / outer6() / IPv6ExtHdrDestOpt(options=[EXTENSION]) / INNER6,
    ),
    ("drop_malformed", "longer outside", with_length(outer4(), 1)),
    ("drop_malformed", "shorter outside", with_length(outer4(), -1)),
    ("drop_malformed", "longer outside, IPv6", with_length(outer6(), 1)),
    ("drop_malformed", "shorter outside, IPv6", with_length(outer6(), -1)),
    ("drop_malformed", "payload length 0", ETHER / outer6(plen=0, nh=4) / INNER4),
    ("drop_malformed", "IPv6 in a packet said to be IPv4", ETHER / outer4(proto=4) / INNER6),
    ("drop_malformed", "IPv4 in a packet said to be IPv6", ETHER / outer6(nh=41) / INNER4),
    ("drop_malformed", "half an inner header", ETHER / outer4(proto=4) / Raw(b"\x45" * 19)),
    ("drop_malformed", "half an IPv6 header", ETHER / outer4(proto=41) / Raw(b"\x60" * 39)),
    ("drop_malformed", "nothing inside", ETHER / outer4(proto=4)),
    ("drop_malformed", "nothing in GUE", ETHER / gue(4, Raw(b""))),
    ("drop_malformed", "an outer header of 16 bytes", ETHER / outer4(ihl=4) / INNER4),
    (
        "drop_malformed",
        "an inner header of 16 bytes",
        ETHER / outer4() / IP(dst="20.20.20.1", ihl=4) / SEGMENT,
    ),
    (
        "drop_malformed",
        "an inner length below its header's",
        ETHER / outer4(len=39) / IP(dst="20.20.20.1", len=19) / SEGMENT,
    ),
    (
        "drop_malformed",
        "a UDP length that disagrees",
        ETHER / outer4() / UDP(dport=GUE_PORT, len=48) / Raw(bytes(INNER4)),
    ),
    ("drop_truncated", "a frame that ends early", shortened(ETHER / outer4() / INNER4, 1)),
    ("drop_truncated", "an IPv6 frame that ends early", shortened(ETHER / outer6() / INNER6, 1)),
    ("drop_truncated", "GUE that ends early", shortened(ETHER / gue(4, INNER6), 1)),
    ("drop_truncated", "no more than an outer header", shortened(ETHER / outer4() / INNER4, 45)),
    ("drop_truncated", "a length of 65,535", ETHER / outer6(plen=65495, nh=4) / INNER4),
    ("drop_fragment", "a first fragment", ETHER / outer4(flags="MF") / INNER4),
    ("drop_fragment", "a later fragment", ETHER / outer4(frag=100, proto=4) / Raw(bytes(INNER4))),
    ("drop_fragment", "an IPv6 fragment", ETHER / outer6() / IPv6ExtHdrFragment(m=1) / INNER6),
    ("drop_fragment", "an atomic fragment", ETHER / outer6() / IPv6ExtHdrFragment() / INNER6),
    ("drop_fragment", "a first fragment of GUE", ETHER / outer4(flags="MF") / GUE4),
    (
        "drop_fragment",
        "a first IPv6 fragment of GUE",
        ETHER / outer6() / IPv6ExtHdrFragment(m=1) / GUE4,
    ),
    ("drop_options", "IPv4 options", ETHER / outer4(options=[b"\x01" * 4]) / INNER4),
    ("drop_options", "IPv4 options before GUE", ETHER / outer4(options=[b"\x01" * 40]) / GUE4),
    (
        "drop_options",
        "a tunnel encapsulation limit",
        ETHER / outer6() / IPv6ExtHdrDestOpt(options=[EXTENSION]) / INNER6,
    ),
    (
        "drop_options",
        "three IPv6 extension headers before GUE",
        ETHER
        / outer6()
        / IPv6ExtHdrHopByHop(options=[EXTENSION])
        / IPv6ExtHdrRouting()
        / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 36)])
        / GUE6,
    ),
    ("drop_checksum", "a wrong header checksum", ETHER / outer4(chksum=0x1234) / INNER4),
    ("drop_not_ip", "GUE variant 0", ETHER / gue(4, Raw(b"\x00\x04\x00\x00" + bytes(INNER4)))),
    ("drop_not_ip", "GUE with version 7", ETHER / gue(6, Raw(b"\x70" + bytes(60)))),
]


@pytest.mark.parametrize(("verdict", "name", "packet"), BAD, ids=[case[1] for case in BAD])
def test_tunnel_that_breaks_a_rule_is_dropped_by_name(
    known: Decapsulator, verdict: str, name: str, packet: Packet
) -> None:
    sent = bytes(packet)

    assert run(known, sent) == (DROP, verdict, sent), name


def test_every_verdict_but_the_impossible_one_has_a_case() -> None:
    seen = {verdict for verdict, _, _ in BAD} | {"pass_decapsulated", "pass_not_tunnel"}

    listed = {verdict.name for verdict in all_verdicts("tailrace")}
    assert seen | {"drop_congested"} == listed - {"drop_internal"}


NOT_ECT, ECT_1, ECT_0, CE = range(4)
MERGED = {  # (outer, inner) -> inner; RFC 6040, figure 4
    **{(mark, inner): inner for mark in (NOT_ECT, ECT_0) for inner in range(4)},
    **{(ECT_1, inner): inner for inner in (NOT_ECT, ECT_1, CE)},
    (ECT_1, ECT_0): ECT_1,
    **{(CE, inner): CE for inner in (ECT_1, ECT_0, CE)},
    (CE, NOT_ECT): None,
}


def with_class(packet: Packet, value: int) -> Packet:
    """The packet with another TOS or traffic class."""
    changed = packet.copy()
    changed[0].setfieldval("tos" if isinstance(packet, IP) else "tc", value)
    return changed


@pytest.mark.parametrize("dscp", [0, 0xB8])
@pytest.mark.parametrize(("marks", "merged"), MERGED.items(), ids=str)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_congestion_fields_are_merged_as_rfc_6040_says(
    known: Decapsulator,
    pair: tuple[int, int],
    marks: tuple[int, int],
    merged: int | None,
    dscp: int,
) -> None:
    family, inner = pair
    sent = ETHER / with_class(outer(family, inner), 0x20 | marks[0])
    sent /= with_class(INNERS[inner], dscp | marks[1])

    if merged is None:
        assert run(known, bytes(sent)) == (DROP, "drop_congested", bytes(sent))
    else:
        assert_unwrapped(known, sent, ETHER / with_class(INNERS[inner], dscp | merged))


@pytest.mark.parametrize("mark", [ECT_1, ECT_0])
def test_a_mark_keeps_the_inner_checksum_right_whatever_it_was(
    known: Decapsulator, mark: int
) -> None:
    for identity in range(0, 65536, 251):
        inner = with_class(IP(src="1.1.1.1", dst="20.20.20.1", id=identity) / SEGMENT, mark)

        sent = ETHER / outer4(tos=CE) / inner

        assert_unwrapped(known, sent, ETHER / with_class(inner, CE))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("kind", ["ipip", "gue"])
@pytest.mark.parametrize(("family", "inner"), PAIRS)
def test_frame_that_ends_anywhere_is_left_as_it_is(
    known: Decapsulator, family: int, inner: int, kind: str, link: str
) -> None:
    tunnel = gue(family, INNERS[inner]) if kind == "gue" else outer(family, inner) / INNERS[inner]
    whole = bytes(LINKS[link] / tunnel)
    headers = len(LINKS[link]) + {4: 20, 6: 40}[family] + {"ipip": 0, "gue": 8}[kind]

    for size in range(14, len(whole)):
        code, verdict, out = run(known, whole[:size])

        expected = (PASS, "pass_not_tunnel") if size < headers else (DROP, "drop_truncated")
        assert (code, verdict, out) == (*expected, whole[:size])


def test_every_frame_that_one_changed_byte_makes_is_whole_or_untouched(known: Decapsulator) -> None:
    for (family, inner), value in itertools.product(PAIRS, (0x00, 0x2C, 0x3C, 0x45, 0x60, 0xFF)):
        whole = bytes(ETHER / TAG / outer(family, inner) / INNERS[inner])
        for at in range(12, 18 + {4: 20, 6: 40}[family]):
            sent = whole[:at] + bytes([value]) + whole[at + 1 :]

            _, verdict, out = run(known, sent)

            if verdict == "pass_decapsulated":
                assert out[12:].endswith(bytes(INNERS[inner])[2:])
            else:
                assert out == sent


def test_big_frame_in_several_buffers_is_unwrapped(known: Decapsulator) -> None:
    inner = IP(src="1.1.1.1", dst="20.20.20.1") / TCP(dport=8080) / Raw(bytes(range(256)) * 34)

    assert_unwrapped(known, ETHER / outer6(nh=4) / inner, ETHER / inner)


def test_bytes_counted_are_the_inner_packets_or_the_frames(known: Decapsulator) -> None:
    def counted(name: str, packet: Packet) -> int:
        before = {v.name: v.count.bytes for v in known.verdict_counts()}
        libbpf.run_program(known.program_fd, bytes(packet))
        return {v.name: v.count.bytes for v in known.verdict_counts()}[name] - before[name]

    assert counted("pass_decapsulated", ETHER / outer4() / INNER4) == len(INNER4)
    assert counted("pass_not_tunnel", ETHER / INNER4) == len(ETHER / INNER4)


@pytest.mark.parametrize("port", [6080, 9886, 65535])
def test_gue_is_known_by_the_configured_port_only(pins: Path, port: int) -> None:
    other = Decapsulator(pins)
    other.configure(Decapsulation(KNOWN.balancers, KNOWN.own, KNOWN.vips, port))

    for used in (6080, 9886, 65535):
        packet = ETHER / outer4() / UDP(dport=used, chksum=0) / Raw(bytes(INNER6))
        verdict = run(other, bytes(packet))[1]
        assert verdict == ("pass_decapsulated" if used == port else "pass_not_tunnel")
    other.close()


def test_configuration_replaces_what_was(pins: Path) -> None:
    other = Decapsulator(pins)
    own, vip = frozenset({ip_address("31.31.31.1")}), frozenset({ip_network("20.20.20.1")})
    for balancer in ("31.31.0.0/16", "31.31.31.1", "31.31.31.8/30"):
        other.configure(Decapsulation(frozenset({ip_network(balancer)}), own, vip, GUE_PORT))

    verdicts = [
        run(other, bytes(ETHER / outer4(src=source) / INNER4))[1]
        for source in ("31.31.9.9", "31.31.31.1", "31.31.31.9")
    ]

    assert verdicts == ["drop_stranger", "drop_stranger", "pass_decapsulated"]
    other.close()


def test_what_was_configured_outlives_the_agent(pins: Path) -> None:
    first = Decapsulator(pins)
    first.configure(KNOWN)
    first.close()

    second = Decapsulator(pins)

    assert_unwrapped(second, ETHER / gue(6, INNER4), ETHER / INNER4)
    second.close()


@pytest.mark.parametrize(
    ("name", "ours"),
    [("address_key", decapsulator._AddressKey), ("tail_settings", decapsulator._TailSettings)],
)
def test_struct_has_the_same_bytes_in_c_and_python(name: str, ours: type[ctypes.Structure]) -> None:
    objects = Path(dataplane.__file__).parent / "objects"
    members = tuple((field[0], getattr(ours, field[0]).offset) for field in ours._fields_)

    theirs = read_structs(objects / "tailrace.bpf.o")[name]

    assert StructLayout(ctypes.sizeof(ours), members) == theirs
