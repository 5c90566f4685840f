"""ICMP messages to a VIP: which are answered, and whose flow an error is about."""

import struct

from headrace.dataplane.reference.packet import (
    ICMPV4,
    ICMPV6,
    PROTOCOLS,
    Ended,
    Internet,
    Piece,
    Transport,
    flow_of,
)
from headrace.dataplane.reference.parse import after_ipv4, after_ipv6, parse_ipv4, parse_ipv6
from headrace.model import Flow

ICMP_SIZE = 8
_ECHO_REQUEST = {4: 8, 6: 128}
_ERRORS = {4: {3, 11, 12}, 6: {1, 2, 3, 4}}
_NEIGHBOUR_DISCOVERY = range(133, 138)
_ICMP = {4: ICMPV4, 6: ICMPV6}
_PORTS_SIZE = 4


def is_icmp(ip: Internet, transport: Transport) -> bool:
    """Whether it is the ICMP of its family."""
    return transport.protocol == _ICMP[ip.version]


def is_echo_request(frame: bytes, ip: Internet, transport: Transport) -> bool:
    """Whether an ICMP message is a ping."""
    return frame[transport.start] == _ECHO_REQUEST[ip.version]


def is_neighbour_discovery(frame: bytes, ip: Internet, transport: Transport) -> bool:
    """Whether an ICMPv6 message is the kernel's to answer (RFC 4861)."""
    return ip.version == 6 and frame[transport.start] in _NEIGHBOUR_DISCOVERY


def is_error(frame: bytes, ip: Internet, transport: Transport) -> bool:
    """Whether an ICMP message quotes a packet that the VIP sent."""
    return frame[transport.start] in _ERRORS[ip.version]


def quoted_flow(frame: bytes, ip: Internet, transport: Transport) -> Flow:
    """The flow that an error is about, from client to VIP; Ended when it is about none.

    The quoted packet is one that the VIP sent, so source and destination change places.
    """
    start = transport.start + ICMP_SIZE
    quoted = (parse_ipv4 if ip.version == 4 else parse_ipv6)(frame, start, ip.end)
    if quoted is None or quoted.source != ip.destination:
        raise Ended("drop_quote")
    carried = _carried(frame, quoted, ip.end)
    protocol = PROTOCOLS.get(carried.protocol)
    if protocol is None or carried.piece is Piece.LATER or carried.start + _PORTS_SIZE > ip.end:
        raise Ended("drop_quote")
    vip_port, client_port = struct.unpack_from("!HH", frame, carried.start)
    return flow_of(protocol, ip, quoted.destination, (client_port, vip_port))


def _carried(frame: bytes, quoted: Internet, end: int) -> Transport:
    """What the quoted packet carries. Its own length counts for nothing: a quote is cut short."""
    try:
        if quoted.version == 4:
            return after_ipv4(frame, quoted)
        return after_ipv6(frame, quoted, end)
    except Ended as ended:
        raise Ended("drop_quote") from ended
