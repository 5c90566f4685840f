"""A packet as it leaves for its endpoint."""

import struct
from dataclasses import dataclass

from headrace.dataplane.reference.packet import (
    ETHERTYPES,
    IPV4_SIZE,
    IPV6_SIZE,
    Internet,
    checksum,
)
from headrace.model import Encapsulation, IPAddress, NextHop, Path, Protocol

_UDP_SIZE = 8
_DONT_FRAGMENT = 0x4000
_OUTER_TTL = 64
_ETHERTYPE_TAG = 0x8100
_INNER_PROTOCOLS = {4: 4, 6: 41}
_GUE_SOURCE_PORTS = 0xC000
_ECN = 0x03


def overhead_bytes(path: Path) -> int:
    """How much longer the IP packet is as it leaves."""
    if path.outer_destination is None:
        return 0
    outer = IPV4_SIZE if path.outer_destination.version == 4 else IPV6_SIZE
    return outer + (_UDP_SIZE if path.encapsulation is Encapsulation.GUE else 0)


@dataclass(frozen=True, slots=True)
class Way:
    """What of an endpoint and a flow the outer headers depend on."""

    path: Path
    dscp: int | None  # None: the packet's own
    gue_port: int
    hash32: int


@dataclass(frozen=True, slots=True)
class _Outer:
    source: bytes
    destination: bytes
    protocol: int
    traffic_class: int
    payload_size: int
    flow_label: int  # IPv6 only


def encapsulate(frame: bytes, ip: Internet, way: Way) -> bytes:
    """The frame with new MACs and tag, and the outer headers of its endpoint's path, if any.

    What follows the IP packet in the frame, Ethernet's padding, stays where it is.
    """
    path = way.path
    inner = frame[ip.start :]
    if path.outer_source is None or path.outer_destination is None:
        return _ethernet(path.next_hop, ip.version) + inner
    protocol, udp = _INNER_PROTOCOLS[ip.version], b""
    if path.encapsulation is Encapsulation.GUE:
        source_port = _GUE_SOURCE_PORTS | way.hash32 & 0x3FFF
        udp = struct.pack("!HHHH", source_port, way.gue_port, _UDP_SIZE + ip.length, 0)
        protocol = Protocol.UDP.number
    outer = _Outer(
        source=_source(path.outer_source, way),
        destination=path.outer_destination.packed,
        protocol=protocol,
        traffic_class=_traffic_class(ip, way),
        payload_size=len(udp) + ip.length,
        flow_label=way.hash32 & 0xFFFFF,
    )
    encode = _encode_ipv4 if path.outer_destination.version == 4 else _encode_ipv6
    ethernet = _ethernet(path.next_hop, path.outer_destination.version)
    return ethernet + encode(outer) + udp + inner


def _source(address: IPAddress, way: Way) -> bytes:
    """The outer source; a hashed one carries the upper half of the hash in its last 16 bits."""
    if not way.path.source_hashed:
        return address.packed
    return address.packed[:-2] + struct.pack("!H", way.hash32 >> 16)


def _traffic_class(ip: Internet, way: Way) -> int:
    """ECN is always the packet's (RFC 6040)."""
    if way.dscp is None:
        return ip.traffic_class
    return way.dscp << 2 | ip.traffic_class & _ECN


def _encode_ipv4(outer: _Outer) -> bytes:
    header = bytearray(
        struct.pack(
            "!BBHHHBBH",
            0x45,
            outer.traffic_class,
            IPV4_SIZE + outer.payload_size,
            0,
            _DONT_FRAGMENT,
            _OUTER_TTL,
            outer.protocol,
            0,
        )
        + outer.source
        + outer.destination
    )
    struct.pack_into("!H", header, 10, checksum(header))
    return bytes(header)


def _encode_ipv6(outer: _Outer) -> bytes:
    first = 6 << 28 | outer.traffic_class << 20 | outer.flow_label
    fixed = struct.pack("!IHBB", first, outer.payload_size, outer.protocol, _OUTER_TTL)
    return fixed + outer.source + outer.destination


def _ethernet(hop: NextHop, version: int) -> bytes:
    tag = struct.pack("!HH", _ETHERTYPE_TAG, hop.tag) if hop.tag else b""
    ethertype = struct.pack("!H", ETHERTYPES[version])
    return hop.destination_mac + hop.source_mac + tag + ethertype
