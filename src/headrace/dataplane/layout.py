"""The bytes of every map, as `bpf/layout.h` has them. A test compares the two through BTF."""

import ctypes
from ipaddress import IPv4Address, IPv6Address, ip_address

from headrace.model import IPAddress

_V4_MAPPED = bytes(10) + b"\xff\xff"

SLOTS_PER_LINE = 16
SLOT_OWNER_MASK = 0x3FFF
NEXT_HOP_TRANSMIT = 1
ANY_PORT = 0


class ServiceKey(ctypes.Structure):
    """Key of `services`: VIP and port in network order."""

    _fields_ = [
        ("vip", ctypes.c_uint8 * 4),
        ("port", ctypes.c_uint8 * 2),
        ("protocol", ctypes.c_uint8),
        ("zero", ctypes.c_uint8),
    ]


class Service(ctypes.Structure):
    """Value of `services`: two indexes."""

    _fields_ = [("pool", ctypes.c_uint32), ("counter", ctypes.c_uint32)]


class Table(ctypes.Structure):
    """Where a lookup table lies in `slot_lines`."""

    _fields_ = [("first_line", ctypes.c_uint32), ("slot_count", ctypes.c_uint32)]


class Pool(ctypes.Structure):
    """Value of `pools`."""

    _fields_ = [("table", Table)]


class PoolInfo(ctypes.Structure):
    """Value of `pool_infos`."""

    _fields_ = [("name", ctypes.c_char * 64), ("stamp", ctypes.c_uint64)]


class SlotLine(ctypes.Structure):
    """Value of `slot_lines`: one cache line of slots."""

    _fields_ = [("slots", ctypes.c_uint32 * SLOTS_PER_LINE)]


class Endpoint(ctypes.Structure):
    """Value of `endpoints`."""

    _fields_ = [
        ("next_hop", ctypes.c_uint32),
        ("outer_sum", ctypes.c_uint32),
        ("outer_source", ctypes.c_uint8 * 16),
        ("outer_destination", ctypes.c_uint8 * 16),
        ("identity", ctypes.c_uint8 * 16),
        ("zero", ctypes.c_uint64),
    ]


class NextHop(ctypes.Structure):
    """Value of `next_hops`."""

    _fields_ = [
        ("destination_mac", ctypes.c_uint8 * 6),
        ("source_mac", ctypes.c_uint8 * 6),
        ("ifindex", ctypes.c_uint32),
        ("mtu", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("zero", ctypes.c_uint32),
    ]


class Port(ctypes.Structure):
    """Value of `ports`."""

    _fields_ = [("ifindex", ctypes.c_uint32), ("macs", (ctypes.c_uint8 * 6) * 2)]


class Settings(ctypes.Structure):
    """Value of `settings`."""

    _fields_ = [("hash_keys", ctypes.c_uint64 * 6)]


class Count(ctypes.Structure):
    """Value of every counter map, one a CPU."""

    _fields_ = [("packets", ctypes.c_uint64), ("bytes", ctypes.c_uint64)]


def address_bytes(address: IPAddress | None) -> bytes:
    """An address as 16 bytes in network order, IPv4 as ::ffff:a.b.c.d; zeros for None."""
    if address is None:
        return bytes(16)
    return address.packed if address.version == 6 else _V4_MAPPED + address.packed


def address_of(data: bytes) -> IPAddress | None:
    """The inverse of `address_bytes`."""
    if not any(data):
        return None
    if data.startswith(_V4_MAPPED):
        return IPv4Address(data[12:])
    return IPv6Address(data)


def vip_of(key: ServiceKey) -> IPAddress:
    """The VIP of a service key."""
    return ip_address(bytes(key.vip))


def outer_sum(source: IPAddress, destination: IPAddress) -> int:
    """Sum of the outer IPv4 header's constant 16-bit words, as the machine reads them.

    Left out are the words that differ by packet: version with TOS, and the length (RFC 1071).
    """
    header = b"\x40\x00" + b"\x40\x04" + source.packed + destination.packed  # DF; TTL 64, IPIP
    words = memoryview(header).cast("H")
    return sum(words)
