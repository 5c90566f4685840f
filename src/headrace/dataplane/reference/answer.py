"""What the data plane says itself: echo replies, and that a packet is too big.

Both go back the way the packet came, with its VLAN tags.
"""

import struct

from headrace.dataplane.reference.packet import (
    ICMPV4,
    ICMPV6,
    IPV4_SIZE,
    Internet,
    Transport,
    checksum,
)

IPV6_MTU_MIN = 1280
"""No path is narrower, so nobody is told a smaller size (RFC 8200 section 5)."""

_TTL = 64
_DONT_FRAGMENT = 0x4000
_QUOTE_MAX = {4: 512, 6: 1024}
_ECHO_REPLY = {4: 0, 6: 129}
_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4
_PACKET_TOO_BIG = 2


def is_sender(ip: Internet) -> bool:
    """Whether an answer would reach one host (RFC 1122 section 3.2.2, RFC 4443 section 2.4)."""
    if ip.version == 4:
        first = ip.source >> 24
        return first not in (0, 127) and first < 224
    return ip.source > 1 and ip.source >> 120 != 0xFF


def echo_reply(frame: bytes, ip: Internet, transport: Transport) -> bytes:
    """The frame of a ping turned round; what else is in it stays, so damage stays detectable."""
    reply = bytearray(frame)
    reply[: ip.start] = _ethernet_back(frame, ip)
    if ip.version == 4:
        reply[ip.start + 12 : ip.start + 20] = _addresses_back(ip)
        _replace_word(reply, ip.start + 8, ip.start + 10, _TTL << 8 | ICMPV4)
    else:
        reply[ip.start + 8 : ip.start + 40] = _addresses_back(ip)
        reply[ip.start + 7] = _TTL
    kind = _ECHO_REPLY[ip.version]
    _replace_word(reply, transport.start, transport.start + 2, kind << 8)
    if not any(reply[transport.start + 2 : transport.start + 4]):
        # 0 is the checksum of no message, and 0xffff of those of zeros only; else both are one.
        reply[transport.start + 2 : transport.start + 4] = b"\xff\xff"
    return bytes(reply)


def too_big(frame: bytes, ip: Internet, mtu_bytes: int) -> bytes:
    """The error that tells a packet's client how big its packets may be."""
    quote = frame[ip.start : ip.start + min(ip.length, _QUOTE_MAX[ip.version])]
    packet = (_too_big_ipv4 if ip.version == 4 else _too_big_ipv6)(ip, quote, mtu_bytes)
    return _ethernet_back(frame, ip) + packet


def _too_big_ipv4(ip: Internet, quote: bytes, mtu_bytes: int) -> bytes:
    icmp = bytearray(struct.pack("!BBHHH", _UNREACHABLE, _FRAGMENTATION_NEEDED, 0, 0, mtu_bytes))
    icmp += quote
    struct.pack_into("!H", icmp, 2, checksum(icmp))
    header = bytearray(
        struct.pack("!BBHHHBBH", 0x45, 0, IPV4_SIZE + len(icmp), 0, _DONT_FRAGMENT, _TTL, ICMPV4, 0)
        + _addresses_back(ip)
    )
    struct.pack_into("!H", header, 10, checksum(header))
    return bytes(header + icmp)


def _too_big_ipv6(ip: Internet, quote: bytes, mtu_bytes: int) -> bytes:
    icmp = bytearray(struct.pack("!BBHI", _PACKET_TOO_BIG, 0, 0, mtu_bytes)) + quote
    addresses = _addresses_back(ip)
    pseudo_header = addresses + struct.pack("!II", len(icmp), ICMPV6)
    struct.pack_into("!H", icmp, 2, checksum(pseudo_header + icmp))
    return struct.pack("!IHBB", 6 << 28, len(icmp), ICMPV6, _TTL) + addresses + icmp


def _ethernet_back(frame: bytes, ip: Internet) -> bytes:
    return frame[6:12] + frame[:6] + frame[12 : ip.start]


def _addresses_back(ip: Internet) -> bytes:
    size = 4 if ip.version == 4 else 16
    return ip.destination.to_bytes(size, "big") + ip.source.to_bytes(size, "big")


def _replace_word(data: bytearray, at: int, sum_at: int, new: int) -> None:
    """Change a 16-bit word, and the checksum over it (RFC 1624, equation 3)."""
    (old,) = struct.unpack_from("!H", data, at)
    (old_sum,) = struct.unpack_from("!H", data, sum_at)
    words = struct.pack("!HHH", ~old_sum & 0xFFFF, ~old & 0xFFFF, new)
    struct.pack_into("!H", data, at, new)
    struct.pack_into("!H", data, sum_at, checksum(words))
