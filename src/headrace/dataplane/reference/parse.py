"""From a frame to its IP header, and from there to the transport header."""

import struct

from headrace.dataplane.reference.packet import (
    IPV4_SIZE,
    IPV6_SIZE,
    Ended,
    Internet,
    Piece,
    Transport,
)
from headrace.model.limits import LIMIT_EXTENSION_HEADERS

_MACS_SIZE = 12
_TAG_SIZE = 4
_TAG_ETHERTYPES = {0x8100, 0x88A8}
_TAGS_MAX = 2
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
EXTENSION_HEADERS = {_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS}
_EXTENSION_MIN_SIZE = 8

_ipv4 = struct.Struct("!BBHHHBBHII").unpack_from


def parse_internet(frame: bytes) -> Internet | None:
    """The IP header; None when the frame holds neither IPv4 nor IPv6."""
    at = _MACS_SIZE
    for _ in range(_TAGS_MAX):
        if _number(frame, at) not in _TAG_ETHERTYPES:
            break
        at += _TAG_SIZE
    match _number(frame, at):
        case 0x0800:
            return parse_ipv4(frame, at + 2, len(frame))
        case 0x86DD:
            return parse_ipv6(frame, at + 2, len(frame))
        case _:
            return None


def parse_ipv4(frame: bytes, start: int, end: int) -> Internet | None:
    """The IPv4 header that starts there; None when it is none or runs past the end."""
    if start + IPV4_SIZE > end or frame[start] >> 4 != 4:
        return None
    _, tos, length, _, _, _, protocol, _, source, destination = _ipv4(frame, start)
    return Internet(4, start, source, destination, length, tos, protocol)


def parse_ipv6(frame: bytes, start: int, end: int) -> Internet | None:
    """The fixed IPv6 header that starts there; None when it is none or runs past the end."""
    if start + IPV6_SIZE > end or frame[start] >> 4 != 6:
        return None
    addresses = int.from_bytes(frame[start + 8 : start + IPV6_SIZE], "big")
    return Internet(
        version=6,
        start=start,
        source=addresses >> 128,
        destination=addresses & (2**128 - 1),
        length=IPV6_SIZE + _number(frame, start + 4),
        traffic_class=_number(frame, start) >> 4 & 0xFF,
        next_header=frame[start + 6],
    )


def parse_transport(frame: bytes, ip: Internet) -> Transport:
    """What a packet that must be whole in its frame carries; Ended when its headers are no good."""
    if ip.end > len(frame):
        raise Ended("drop_malformed")
    if ip.version == 4:
        transport = after_ipv4(frame, ip)
        if transport.start > ip.end:
            raise Ended("drop_malformed")
        return transport
    return after_ipv6(frame, ip, ip.end)


def after_ipv4(frame: bytes, ip: Internet) -> Transport:
    """What follows an IPv4 header with its options; that the frame goes so far is not looked at."""
    size = (frame[ip.start] & 0xF) * 4
    if size < IPV4_SIZE:
        raise Ended("drop_malformed")
    bits = _number(frame, ip.start + 6)
    piece = _piece(bits & 0x1FFF, more=bool(bits & 0x2000))
    identification = _number(frame, ip.start + 4) if piece is not Piece.WHOLE else 0
    return Transport(ip.next_header, ip.start + size, piece, identification)


def after_ipv6(frame: bytes, ip: Internet, end: int) -> Transport:
    """What follows the extension headers, which must lie before `end`.

    A fragment header of a whole packet (RFC 6946) counts as a header, but not as a fragment.
    """
    header, at = ip.next_header, ip.start + IPV6_SIZE
    piece, identification = Piece.WHOLE, 0
    walked = 0
    while header in EXTENSION_HEADERS:
        if walked == LIMIT_EXTENSION_HEADERS:
            raise Ended("drop_headers")
        walked += 1
        size = _extension_size(frame, header, at, end)
        if header == _FRAGMENT:
            found, number = _fragment(frame, at)
            if found is not Piece.WHOLE:
                piece, identification = found, number
        header, at = frame[at], at + size
        if piece is Piece.LATER:
            break  # what follows is data from the middle of the packet
    return Transport(header, at, piece, identification)


def _extension_size(frame: bytes, header: int, at: int, end: int) -> int:
    if at + _EXTENSION_MIN_SIZE > end:
        raise Ended("drop_malformed")
    size = _EXTENSION_MIN_SIZE if header == _FRAGMENT else (frame[at + 1] + 1) * 8
    if at + size > end:
        raise Ended("drop_malformed")
    return size


def _fragment(frame: bytes, at: int) -> tuple[Piece, int]:
    """What an IPv6 fragment header says: which piece, of the packet with which identification."""
    bits = _number(frame, at + 2)
    return _piece(bits >> 3, more=bool(bits & 1)), int.from_bytes(frame[at + 4 : at + 8], "big")


def _piece(offset: int, *, more: bool) -> Piece:
    if offset:
        return Piece.LATER
    return Piece.FIRST if more else Piece.WHOLE


def _number(frame: bytes, at: int) -> int:
    """16 bits of a frame; what lies behind its end is left out."""
    return int.from_bytes(frame[at : at + 2], "big")
