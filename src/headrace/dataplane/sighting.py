"""What a sampled frame is: whose packet, in which outer header. Pure; frames are cut short."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from headrace.dataplane.reference.packet import PROTOCOLS, Ended, Internet, Piece, Transport
from headrace.dataplane.reference.parse import (
    after_ipv4,
    after_ipv6,
    parse_internet,
    parse_ipv4,
    parse_ipv6,
)
from headrace.model import Encapsulation, IPAddress, Protocol

_ICMP = {1: "icmp", 58: "icmp6"}
_ICMP_ERRORS = {1: {3, 11, 12}, 58: {1, 2, 3, 4}}
_HEADER_BYTES = 8  # of UDP, and of ICMP
_PROTOCOL_OF = {str(protocol): protocol for protocol in Protocol}


@dataclass(frozen=True, slots=True)
class IpPacket:
    """One IP packet of those that lie in each other in a frame."""

    source: IPAddress
    destination: IPAddress
    protocol: str  # tcp, udp, sctp, icmp, icmp6, or a number
    length_bytes: int
    ports: tuple[int, int] | None = None
    is_fragment: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """What can be told of a frame."""

    packet: IpPacket | None = None  # as the client sent it, or the answer to it; None: not IP
    outer: IpPacket | None = None  # the header in front of it
    quoted: IpPacket | None = None  # what an ICMP error is about


@dataclass(frozen=True, slots=True)
class Served:
    """What decides which service a packet is of."""

    vip: IPAddress
    protocol: Protocol
    port: int | None  # None: of a packet without ports


def sight(frame: bytes, outer: Encapsulation = Encapsulation.L2) -> Sighting:
    """What a frame holds, given what was put in front of it."""
    try:
        first = parse_internet(frame)
        if first is None:
            return Sighting()
        packet, transport = _read(frame, first)
        inner = _inner(frame, transport, outer)
        if inner is None:
            return Sighting(packet, quoted=_quoted(frame, first, transport))
        inside, transport = _read(frame, inner)
        return Sighting(inside, packet, _quoted(frame, inner, transport))
    except Ended:  # its headers are no good, which its verdict tells
        return Sighting()


def served(sighting: Sighting, *, is_answer: bool) -> Served | None:
    """The VIP, protocol and port of a packet, or of the one that an error is about.

    An answer quotes the client's packet, an error from elsewhere what the VIP sent.
    """
    about = sighting.quoted or sighting.packet
    protocol = None if about is None else _PROTOCOL_OF.get(about.protocol)
    if about is None or protocol is None:
        return None
    is_from_vip = sighting.quoted is not None and not is_answer
    vip = about.source if is_from_vip else about.destination
    port = None if about.ports is None else about.ports[0 if is_from_vip else 1]
    return Served(vip, protocol, port)


def _read(frame: bytes, ip: Internet) -> tuple[IpPacket, Transport]:
    address = IPv4Address if ip.version == 4 else IPv6Address
    transport = after_ipv4(frame, ip) if ip.version == 4 else after_ipv6(frame, ip, len(frame))
    known = PROTOCOLS.get(transport.protocol)
    at = transport.start
    has_ports = known is not None and transport.piece is not Piece.LATER and at + 4 <= len(frame)
    ports = int.from_bytes(frame[at : at + 2], "big"), int.from_bytes(frame[at + 2 : at + 4], "big")
    packet = IpPacket(
        address(ip.source),
        address(ip.destination),
        str(known) if known else _ICMP.get(transport.protocol, str(transport.protocol)),
        ip.length,
        ports if has_ports else None,
        is_fragment=transport.piece is not Piece.WHOLE,
    )
    return packet, transport


def _inner(frame: bytes, transport: Transport, outer: Encapsulation) -> Internet | None:
    """The packet in an outer header; None where there is none."""
    if outer is Encapsulation.L2:
        return None
    at = transport.start + (_HEADER_BYTES if outer is Encapsulation.GUE else 0)
    is_v6 = at < len(frame) and frame[at] >> 4 == 6
    return (parse_ipv6 if is_v6 else parse_ipv4)(frame, at, len(frame))


def _quoted(frame: bytes, ip: Internet, transport: Transport) -> IpPacket | None:
    """What an ICMP error is about; None where it is none, or says too little."""
    at = transport.start
    if at >= len(frame) or frame[at] not in _ICMP_ERRORS.get(transport.protocol, ()):
        return None
    parse = parse_ipv4 if ip.version == 4 else parse_ipv6
    quoted = parse(frame, at + _HEADER_BYTES, len(frame))
    try:
        return None if quoted is None else _read(frame, quoted)[0]
    except Ended:
        return None
