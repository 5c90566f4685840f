"""Named packets, each run through the program in the kernel and through the reference.

A case is a sentence, the packet sent, the verdict; the whole packet that leaves is the reference's,
which the cases of `test_outer_header` pin down byte by byte.
"""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from headrace.dataplane.reference import checksum

from .rig import (
    BRIDGE_MAC,
    HOP_MAC,
    OWN_MAC,
    ROUTER_MAC,
    SOURCE_MAC,
    VIP,
    VIP_ANY_PORT,
    VIP_NO_PATH,
    VIP_SMALL_MTU,
    Rig,
)

pytestmark = pytest.mark.bpf

ETHER = Ether(dst=OWN_MAC.hex(":"), src=ROUTER_MAC.hex(":"))
CLIENT = "1.1.1.1"


def ip(vip: object = VIP, **fields: object) -> IP:
    return IP(src=CLIENT, dst=str(vip), **fields)


def tcp(port: int = 8080, **fields: object) -> TCP:
    return TCP(sport=57538, dport=port, **fields)


def raw_ip(header: Packet, payload: bytes) -> bytes:
    return bytes(ETHER / header / Raw(payload))


def with_total_length(packet: bytes, length: int) -> bytes:
    return packet[:16] + length.to_bytes(2, "big") + packet[18:]


SERVED = [
    ("a SYN to the VIP", ETHER / ip() / tcp(flags="S")),
    ("a data segment to the VIP", ETHER / ip() / tcp(flags="PA") / Raw(b"GET / HTTP/1.0\r\n\r\n")),
    ("a reset to the VIP", ETHER / ip() / tcp(flags="R")),
    ("a segment with a time to live of 1: not ours to count down", ETHER / ip(ttl=1) / tcp()),
    ("a segment with a TOS byte", ETHER / ip(tos=0xB8) / tcp()),
    ("a segment marked by congestion", ETHER / ip(tos=0x03) / tcp()),
    ("a segment with every TOS bit", ETHER / ip(tos=0xFF) / tcp()),
    ("a segment that may not be fragmented", ETHER / ip(flags="DF") / tcp()),
    (
        "a segment with IPv4 options",
        ETHER / ip(options=[b"\x07\x07\x04\x00\x00\x00\x00\x00"]) / tcp(),
    ),
    ("a segment with 40 bytes of options", ETHER / ip(options=[b"\x01" * 40]) / tcp()),
    ("a datagram to a UDP service", ETHER / ip() / UDP(sport=5353, dport=53) / Raw(b"query")),
    ("an empty datagram", ETHER / ip() / UDP(sport=5353, dport=53)),
    ("any port of an any-port service", ETHER / ip(VIP_ANY_PORT) / tcp(9)),
    ("port 0 of an any-port service", ETHER / ip(VIP_ANY_PORT) / tcp(0)),
    ("port 65535 of an any-port service", ETHER / ip(VIP_ANY_PORT) / tcp(65535)),
    ("an exact port beside an any-port service", ETHER / ip(VIP_ANY_PORT) / tcp(443)),
    ("source port 0", ETHER / ip() / TCP(sport=0, dport=8080)),
    ("a frame padded to 60 bytes", Raw(bytes(ETHER / ip() / UDP(dport=53)).ljust(60, b"\0"))),
    ("a frame with a long trailer", Raw(bytes(ETHER / ip() / tcp()) + b"\xaa" * 300)),
    ("a frame for the bridge of the port", ETHER.copy() / ip() / tcp()),
    (
        "a packet with only the ports of its TCP header",
        Raw(raw_ip(ip(proto=6), b"\x00\x50\x1f\x90")),
    ),
    ("a full frame of 1,500 bytes", ETHER / ip() / tcp() / Raw(b"x" * 1460)),
    (
        "the largest packet that fits a small path",
        ETHER / ip(VIP_SMALL_MTU) / tcp(80) / Raw(b"x" * 1440),
    ),
]
SERVED[19][1].dst = BRIDGE_MAC.hex(":")

REFUSED = [
    ("an ARP request", "pass_not_ipv4", Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="11.11.11.1")),
    ("an IPv6 packet", "pass_not_ipv4", ETHER / IPv6(dst="2001:db8::1") / tcp()),
    ("a tagged frame", "pass_not_ipv4", ETHER / Dot1Q(vlan=5) / ip() / tcp()),
    ("an Ethernet header alone", "pass_not_ipv4", Raw(bytes(ETHER)[:12] + b"\x08\x00")),
    ("half an IPv4 header", "pass_not_ipv4", Raw(bytes(ETHER / ip() / tcp())[:33])),
    ("IPv4's EtherType before a version of 5", "pass_not_ipv4", ETHER / ip(version=5) / tcp()),
    ("a BGP segment to the node itself", "pass_not_vip", ETHER / IP(dst="11.11.11.1") / tcp(179)),
    (
        "a fragment for somebody else",
        "pass_not_vip",
        ETHER / IP(dst="11.11.11.1", flags="MF") / tcp(),
    ),
    (
        "a broken header for somebody else",
        "pass_not_vip",
        ETHER / IP(dst="11.11.11.1", ihl=4) / tcp(),
    ),
    ("ICMP to somebody else", "pass_not_vip", ETHER / IP(dst="11.11.11.1") / ICMP()),
    ("a reply that the VIP sends", "pass_not_vip", ETHER / IP(src=str(VIP), dst=CLIENT) / tcp()),
    (
        "a VIP packet to another host of the bridge",
        "pass_other_host",
        Ether(dst="02:00:00:00:00:77") / ip() / tcp(),
    ),
    (
        "a broken VIP packet to another host of the bridge",
        "pass_other_host",
        Ether(dst="02:00:00:00:00:77") / ip(ihl=4) / tcp(),
    ),
    ("a port without a service", "drop_unserved", ETHER / ip() / tcp(8081)),
    ("UDP to a TCP service's port", "drop_unserved", ETHER / ip() / UDP(dport=8080)),
    ("TCP to a UDP service's port", "drop_unserved", ETHER / ip() / tcp(53)),
    ("UDP to an any-port TCP service", "drop_unserved", ETHER / ip(VIP_ANY_PORT) / UDP(dport=9)),
    ("ICMP to the VIP", "drop_unserved", ETHER / ip() / ICMP()),
    ("a tunnel packet to the VIP", "drop_unserved", ETHER / ip() / IP(dst="9.9.9.9") / tcp()),
    (
        "protocol 0 and port 0, as the VIP's own mark",
        "drop_unserved",
        Raw(raw_ip(ip(proto=0), bytes(8))),
    ),
    ("a header length of 16", "drop_malformed", ETHER / ip(ihl=4) / tcp()),
    ("a header length of 0", "drop_malformed", ETHER / ip(ihl=0) / tcp()),
    ("a total length below the header", "drop_malformed", ETHER / ip(len=19) / tcp()),
    ("a total length past the frame", "drop_malformed", ETHER / ip(len=1400) / tcp()),
    ("a total length of 0", "drop_malformed", ETHER / ip(len=0) / tcp()),
    ("options that fill the whole packet", "drop_malformed", ETHER / ip(ihl=10, len=40) / tcp()),
    ("three bytes of TCP", "drop_malformed", Raw(raw_ip(ip(proto=6), b"\x00\x50\x1f"))),
    ("no TCP at all", "drop_malformed", Raw(raw_ip(ip(proto=6), b""))),
    ("a first fragment", "drop_fragment", ETHER / ip(flags="MF") / tcp()),
    ("a later fragment", "drop_fragment", ETHER / ip(frag=185) / Raw(b"x" * 40)),
    ("a last fragment of one byte", "drop_fragment", Raw(raw_ip(ip(frag=185, proto=17), b"x"))),
    ("a packet for an endpoint without a path", "drop_no_path", ETHER / ip(VIP_NO_PATH) / tcp(80)),
    (
        "one byte more than a small path carries",
        "drop_too_big",
        ETHER / ip(VIP_SMALL_MTU) / tcp(80) / Raw(b"x" * 1441),
    ),
]


@pytest.mark.parametrize("packet", [c[1] for c in SERVED], ids=[c[0] for c in SERVED])
def test_served_packet_leaves_wrapped_as_the_reference_says(rig: Rig, packet: Packet) -> None:
    sent = bytes(packet)

    seen = rig.run(sent)

    expected = rig.expected(sent)
    assert (seen.action, seen.verdict, expected.verdict) == ("send", "sent", "sent")
    assert Ether(seen.packet).show2(dump=True) == Ether(expected.packet).show2(dump=True)
    assert seen.packet == expected.packet


@pytest.mark.parametrize(
    ("verdict", "packet"), [c[1:] for c in REFUSED], ids=[f"{c[1]}: {c[0]}" for c in REFUSED]
)
def test_other_packet_leaves_unchanged_by_its_name(rig: Rig, verdict: str, packet: Packet) -> None:
    sent = bytes(packet)

    seen = rig.run(sent)

    action = "pass" if verdict.startswith("pass") else "drop"
    assert (seen.action, seen.verdict, rig.expected(sent).verdict) == (action, verdict, verdict)
    assert seen.packet == sent


def test_outer_header_is_as_the_seed_shows_it(rig: Rig) -> None:
    inner = ip(tos=0x2C, id=4711) / tcp(flags="PA") / Raw(b"hi")

    seen = rig.run(bytes(ETHER / inner))

    frame = Ether(seen.packet)
    outer = frame[IP]
    assert (frame.dst, frame.src) == (HOP_MAC.hex(":"), SOURCE_MAC.hex(":"))
    assert (outer.version, outer.ihl, outer.tos, outer.id, outer.ttl) == (4, 5, 0x2C, 0, 64)
    assert (outer.flags, outer.frag, outer.proto) == ("DF", 0, 4)
    assert outer.len == 20 + len(bytes(inner))
    assert (outer.src, outer.dst) in {("31.31.31.253", f"31.31.31.{n}") for n in (1, 2, 3)}
    assert bytes(outer.payload) == bytes(inner)
    assert checksum(bytes(outer)[:20]) == 0
