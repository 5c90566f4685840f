"""The packet pipeline in plain Python: the specification that the C must agree with.

parse -> lookup -> choose -> encapsulate, as in `bpf/headrace.bpf.c`, written for reading.
"""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from headrace.dataplane.tables import EndpointEntry, Tables
from headrace.maglev import FlowHash, slot_of
from headrace.model import Flow, Path, Protocol, ServiceKey

_ETHERNET_SIZE = 14
_IPV4_SIZE = 20
_PORTS_SIZE = 4
_ETHERTYPE_IPV4 = 0x0800
_FRAGMENT_BITS = 0x3FFF
_DONT_FRAGMENT = 0x4000
_PROTOCOL_IPIP = 4
_OUTER_TTL = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a packet."""

    verdict: str
    packet: bytes  # as it leaves; unchanged unless sent
    ifindex: int | None = None  # where it is sent


@dataclass(frozen=True, slots=True)
class _Headers:
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    tos: int
    length: int
    source_port: int = 0
    destination_port: int = 0
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a flow of a service goes."""

    service: ServiceKey
    pool: str
    hash32: int
    slot: int
    endpoint_index: int
    endpoint: EndpointEntry


def process(packet: bytes, ifindex: int, tables: Tables) -> Outcome:
    """What the data plane does with a frame that arrives on an interface."""
    headers = _parse(packet)
    if headers is None:
        return Outcome("pass_not_ipv4", packet)
    verdict, key = _lookup(packet, ifindex, headers, tables)
    if key is None:
        return Outcome(verdict, packet)
    choice = choose(_flow_of(headers), key, tables)
    if choice.endpoint.path is None:
        return Outcome("drop_no_path", packet)
    return _encapsulate(packet, headers, choice.endpoint.path)


def find_service(flow: Flow, tables: Tables) -> ServiceKey | None:
    """The service a flow is for: its exact port first, then any port."""
    exact = ServiceKey(flow.destination, flow.protocol, flow.destination_port)
    for key in (exact, replace(exact, port=0)):
        if key in tables.services:
            return key
    return None


def choose(flow: Flow, key: ServiceKey, tables: Tables) -> Choice:
    """The endpoint of a flow of a service: hash, slot, owner."""
    pool = tables.services[key]
    hash32 = FlowHash(tables.hash_keys).hash32(flow)
    slot = slot_of(hash32, len(pool.slots))
    index = pool.slots[slot]
    return Choice(key, pool.name, hash32, slot, index, tables.endpoints[index])


def _parse(packet: bytes) -> _Headers | None:
    """The headers; None when this is no IPv4 packet. What is wrong with it is its `flaw`."""
    if len(packet) < _ETHERNET_SIZE + _IPV4_SIZE:
        return None
    (ethertype,) = struct.unpack_from("!H", packet, 12)
    first, tos, length, _, fragment, _, protocol = struct.unpack_from("!BBHHHBB", packet, 14)
    if ethertype != _ETHERTYPE_IPV4 or first >> 4 != 4:
        return None
    source, destination = (IPv4Address(packet[at : at + 4]) for at in (26, 30))
    headers = _Headers(source, destination, protocol, tos, length)
    header_size = (first & 0xF) * 4
    whole = _ETHERNET_SIZE + length <= len(packet)
    if header_size < _IPV4_SIZE or length < header_size or not whole:
        return replace(headers, flaw="drop_malformed")
    if fragment & _FRAGMENT_BITS:
        return replace(headers, flaw="drop_fragment")
    if protocol not in {p.number for p in Protocol}:
        return replace(headers, flaw="drop_unserved")
    if length < header_size + _PORTS_SIZE:
        return replace(headers, flaw="drop_malformed")
    ports = struct.unpack_from("!HH", packet, _ETHERNET_SIZE + header_size)
    return replace(headers, source_port=ports[0], destination_port=ports[1])


def _lookup(
    packet: bytes, ifindex: int, headers: _Headers, tables: Tables
) -> tuple[str, ServiceKey | None]:
    if headers.destination not in tables.vips:
        return "pass_not_vip", None
    if packet[:6] not in tables.ports.get(ifindex, ()):
        return "pass_other_host", None
    if headers.flaw is not None:
        return headers.flaw, None
    key = find_service(_flow_of(headers), tables)
    return ("drop_unserved", None) if key is None else ("sent", key)


def _flow_of(headers: _Headers) -> Flow:
    return Flow(
        Protocol.of_number(headers.protocol),
        headers.source,
        headers.source_port,
        headers.destination,
        headers.destination_port,
    )


def _encapsulate(packet: bytes, headers: _Headers, path: Path) -> Outcome:
    outer_length = headers.length + _IPV4_SIZE
    if outer_length > path.mtu_bytes:
        return Outcome("drop_too_big", packet)
    hop = path.next_hop
    outer = bytearray(
        struct.pack(
            "!BBHHHBBH",
            0x45,
            headers.tos,
            outer_length,
            0,
            _DONT_FRAGMENT,
            _OUTER_TTL,
            _PROTOCOL_IPIP,
            0,
        )
        + path.outer_source.packed
        + path.outer_destination.packed
    )
    struct.pack_into("!H", outer, 10, checksum(bytes(outer)))
    ethernet = hop.destination_mac + hop.source_mac + struct.pack("!H", _ETHERTYPE_IPV4)
    frame = ethernet + bytes(outer) + packet[_ETHERNET_SIZE:]
    return Outcome("sent", frame, hop.ifindex)


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
