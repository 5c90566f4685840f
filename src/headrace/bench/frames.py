"""The frames that the bench sends: headers alone, by struct."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from headrace.model import IPAddress

NODE_MAC = bytes.fromhex("020000000001")
ROUTER_MAC = bytes.fromhex("0200000000fe")

_LINK_SIZE = 14
_SIZES = {4: 20, 6: 40}
_TCP_AT_LEAST = {4: 46, 6: 60}  # a frame of 60 bytes, of 74 with IPv6: what the judges send
_ICMP = {4: 1, 6: 58}

CLIENT: dict[int, IPAddress] = {4: IPv4Address("10.0.0.0"), 6: IPv6Address("2001:db8::")}
PORT = 80
_SPREAD = 2_654_435_761
ACK, SYN = 0x10, 0x02


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, and where in it the flow is written: bytes from the start, 0 for nowhere."""

    data: bytes
    source_at: int
    port_at: int
    vip_at: int

    def of_flow(self, flow: int) -> bytes:
        """The frame as `bench.bpf.c` writes it for flow number `flow`."""
        spread = flow * _SPREAD & 0xFFFFFFFF
        data = bytearray(self.data)
        data[self.source_at + 1 : self.source_at + 4] = (spread & 0xFFFFFF).to_bytes(3)
        struct.pack_into("!H", data, self.port_at, (1024 + (spread >> 24) * 251) & 0xFFFF)
        return bytes(data)


def tcp_frame(vip: IPAddress, *, flags: int = ACK, size: int = 0) -> Frame:
    """A TCP segment to a VIP in an IP packet of `size` bytes; the smallest frame if 0."""
    header = _SIZES[vip.version]
    size = size or _TCP_AT_LEAST[vip.version]
    segment = _tcp(flags).ljust(size - header, b"\x00")
    return _frame(vip, 6, segment, ports_at=_LINK_SIZE + header)


def fragment_frame(vip: IPAddress, *, first: bool) -> Frame:
    """A fragment of a UDP datagram to an IPv4 VIP: the first one, or one that follows it."""
    payload = struct.pack("!HHHH", 1024, PORT, 1008, 0).ljust(32, b"\x00")
    frame = _frame(vip, 17, payload, ports_at=0)
    data = bytearray(frame.data)
    struct.pack_into("!HH", data, _LINK_SIZE + 4, 4711, 0x2000 if first else 0x2004)
    return Frame(bytes(data), 0, 0, 0)


def error_frame(vip: IPAddress) -> Frame:
    """A router's "too big" that quotes a segment which the VIP sent to a client."""
    version = vip.version
    quoted = _ip(version, vip, CLIENT[version], 6, 28) + struct.pack("!HHI", PORT, 1024, 0)
    kind = (3, 4) if version == 4 else (2, 0)
    error = struct.pack("!BBHI", *kind, 0, 1400) + quoted
    quote_at = _LINK_SIZE + _SIZES[version] + 8
    frame = _frame(vip, _ICMP[version], error, ports_at=0)
    return Frame(
        frame.data,
        source_at=quote_at + _SIZES[version] - 4,
        port_at=quote_at + _SIZES[version] + 2,
        vip_at=0,
    )


def _frame(vip: IPAddress, protocol: int, payload: bytes, *, ports_at: int) -> Frame:
    version = vip.version
    header = _ip(version, CLIENT[version], vip, protocol, len(payload))
    ethertype = b"\x08\x00" if version == 4 else b"\x86\xdd"
    data = NODE_MAC + ROUTER_MAC + ethertype + header + payload
    address = 4 if version == 4 else 16
    vip_at = _LINK_SIZE + _SIZES[version] - 4
    return Frame(data, source_at=vip_at - address, port_at=ports_at, vip_at=vip_at)


def _ip(
    version: int, source: IPAddress, destination: IPAddress, protocol: int, payload: int
) -> bytes:
    if version == 4:
        fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + payload, 0, 0x4000, 64, protocol, 0)
    else:
        fixed = struct.pack("!IHBB", 6 << 28, payload, protocol, 64)
    return fixed + source.packed + destination.packed


def _tcp(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 1024, PORT, 0, 0, 0x50, flags, 8192, 0, 0)
