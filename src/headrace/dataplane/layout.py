"""The bytes of every map, as `bpf/layout.h` has them. A test compares the two through BTF."""

import ctypes
from ipaddress import IPv4Address, IPv6Address

from headrace.model import IPAddress

_V4_MAPPED = bytes(10) + b"\xff\xff"

V4_MAPPED_BITS = 96
"""How much longer an IPv4 prefix is where its address lies in 16 bytes."""
GROUP_BITS = 32
"""How much longer a prefix is with its group before it."""

SLOTS_PER_LINE = 16
LINES_PER_BLOCK = 4
SLOT_OWNER_MASK = 0x3FFF
SLOT_ANCHOR_SHIFT = 14
SLOT_UNSTABLE = 1 << 28
SLOT_HAS_ANCHOR = 1 << 29

AFFINITY_FLOW = 0
AFFINITY_SOURCE_IP = 1
AFFINITY_DESTINATION_PORT = 2

FLOW_TABLE_UNSTABLE = 0
FLOW_TABLE_ALWAYS = 1
FLOW_TABLE_NEVER = 2

SERVICE_QUIC = 1
SERVICE_SOURCES = 2
SERVICE_PASS = 4

ENCAPSULATION_L2 = 0
ENCAPSULATION_IPIP4 = 1
ENCAPSULATION_IPIP6 = 2
ENCAPSULATION_GUE4 = 3
ENCAPSULATION_GUE6 = 4

ENDPOINT_SOURCE_HASHED = 1
ENDPOINT_DSCP_FIXED = 1

SOURCE_DENIED = 0
SOURCE_ALLOWED = 1
SOURCE_OTHER = 2

NEXT_HOP_TRANSMIT = 1
PORT_TRANSMIT = 1
PORT_MACS = 4

SHORTCUT_BUCKETS = 8192
SHORTCUT_BITS = 13
SHORTCUT_WAYS = 2
SHORTCUT_USED = 0x100000000

VIP_FILTER_WORDS = 1024
LOOKUP_MULTIPLIER = 0x9E3779B97F4A7C15

SKETCH_BYTES = 128
SKETCH_BITS = 7

SAMPLE_BYTES = 256
NO_ENDPOINT = 0xFFFFFFFF

_U8, _U16, _U32, _U64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class ServiceKey4(ctypes.Structure):
    """Key of `services4`: VIP and port in network order."""

    _fields_ = [("vip", _U8 * 4), ("port", _U8 * 2), ("protocol", _U8), ("prefix_length", _U8)]


class ServiceKey6(ctypes.Structure):
    """Key of `services6`: VIP and port in network order."""

    _fields_ = [("vip", _U8 * 16), ("port", _U8 * 2), ("protocol", _U8), ("prefix_length", _U8)]


class Service(ctypes.Structure):
    """Value of `services4` and `services6`; of a VIP's mark only the flags mean something."""

    _fields_ = [
        ("pool", _U32),
        ("counter", _U32),
        ("sources", _U32),
        ("affinity", _U8),
        ("flow_table", _U8),
        ("flags", _U8),
        ("zero", _U8),
    ]


class Shortcut4(ctypes.Structure):
    """One way of a bucket of `shortcuts4`; the key is a `ServiceKey4` as a number."""

    _fields_ = [("key", _U64), ("service", Service)]


class Shortcut6(ctypes.Structure):
    """One way of a bucket of `shortcuts6`."""

    _fields_ = [("vip", _U64 * 2), ("rest", _U64), ("service", Service)]


class Bucket4(ctypes.Structure):
    """Value of `shortcuts4`."""

    _fields_ = [("ways", Shortcut4 * SHORTCUT_WAYS)]


class Bucket6(ctypes.Structure):
    """Value of `shortcuts6`."""

    _fields_ = [("ways", Shortcut6 * SHORTCUT_WAYS)]


class PrefixKey(ctypes.Structure):
    """Key of `vip_prefixes` and `sources`; the group is in network order."""

    _fields_ = [("prefix_length", _U32), ("group", _U8 * 4), ("address", _U8 * 16)]


class Number(ctypes.Structure):
    """Value of `vip_prefixes`, `sources` and `server_ids`: a plain __u32."""

    _fields_ = [("number", _U32)]


class Table(ctypes.Structure):
    """Where a lookup table lies in `slot_lines`."""

    _fields_ = [("first_line", _U32), ("slot_count", _U32)]


class Pool(ctypes.Structure):
    """Value of `pools`."""

    _fields_ = [("table", Table)]


class PoolInfo(ctypes.Structure):
    """Value of `pool_infos`."""

    _fields_ = [("name", ctypes.c_char * 64), ("stamp", _U64)]


class SlotLine(ctypes.Structure):
    """Value of `slot_lines`: one cache line of slots."""

    _fields_ = [("slots", _U32 * SLOTS_PER_LINE)]


class BlockAge(ctypes.Structure):
    """Value of `block_ages`, of the lines from 4 times its index; seconds of CLOCK_MONOTONIC."""

    _fields_ = [
        ("unstable_since_s", _U32),
        ("changed_s", _U32),
        ("departed_s", _U32),
        ("zero", _U32),
    ]


class Endpoint(ctypes.Structure):
    """Value of `endpoints`."""

    _fields_ = [
        ("next_hop", _U32),
        ("outer_sum", _U32),
        ("outer_source", _U8 * 16),
        ("outer_destination", _U8 * 16),
        ("identity", _U8 * 16),
        ("encapsulation", _U8),
        ("flags", _U8),
        ("dscp", _U8),
        ("down", _U8),
        ("generation", _U32),
    ]


class NextHop(ctypes.Structure):
    """Value of `next_hops`."""

    _fields_ = [
        ("destination_mac", _U8 * 6),
        ("source_mac", _U8 * 6),
        ("ifindex", _U32),
        ("mtu", _U16),
        ("flags", _U16),
        ("tag", _U16),
        ("zero", _U16),
    ]


class Port(ctypes.Structure):
    """Value of `ports`."""

    _fields_ = [("ifindex", _U32), ("macs", (_U8 * 6) * PORT_MACS), ("flags", _U32)]


class FlowKey(ctypes.Structure):
    """Key of `notes`."""

    _fields_ = [
        ("source", _U8 * 16),
        ("destination", _U8 * 16),
        ("source_port", _U8 * 2),
        ("destination_port", _U8 * 2),
        ("protocol", _U8),
        ("zero", _U8 * 3),
    ]


class Note(ctypes.Structure):
    """Value of `notes`."""

    _fields_ = [("endpoint", _U32), ("generation", _U32), ("seen_s", _U32), ("zero", _U32)]


class FlowSketch(ctypes.Structure):
    """Value of `flow_sketches`."""

    _fields_ = [("ranks", _U8 * SKETCH_BYTES)]


class FragmentKey(ctypes.Structure):
    """Key of `fragments`."""

    _fields_ = [
        ("source", _U8 * 16),
        ("destination", _U8 * 16),
        ("id", _U32),
        ("protocol", _U8),
        ("zero", _U8 * 3),
    ]


class Fragment(ctypes.Structure):
    """Value of `fragments`."""

    _fields_ = [
        ("source_port", _U8 * 2),
        ("destination_port", _U8 * 2),
        ("seen_s", _U32),
        ("protocol", _U8),
        ("zero", _U8 * 3),
    ]


class ServerIdKey(ctypes.Structure):
    """Key of `server_ids`."""

    _fields_ = [("pool", _U32), ("id", _U32)]


class Settings(ctypes.Structure):
    """Value of `settings`; the port of GUE is in network order."""

    _fields_ = [
        ("hash_keys", _U64 * 6),
        ("answers_per_s", _U32),
        ("udp_idle_s", _U32),
        ("sample_one_in", _U32),
        ("gue_port", _U8 * 2),
        ("zero", _U8 * 2),
    ]


class Answers(ctypes.Structure):
    """Value of `answers`."""

    _fields_ = [("word", _U64)]


class VipFilter(ctypes.Structure):
    """Value of `vip_filter`."""

    _fields_ = [
        ("words", _U64 * VIP_FILTER_WORDS),
        ("has_prefixes4", _U8),
        ("has_prefixes6", _U8),
        ("zero", _U8 * 6),
    ]


class Sample(ctypes.Structure):
    """What the ring of samples holds."""

    _fields_ = [
        ("time_ns", _U64),
        ("ifindex", _U32),
        ("length", _U32),
        ("verdict", _U32),
        ("endpoint", _U32),
        ("bytes", _U8 * SAMPLE_BYTES),
    ]


class Count(ctypes.Structure):
    """Value of every counter map, one a CPU."""

    _fields_ = [("packets", _U64), ("bytes", _U64)]


def place_of(entry: ctypes.Structure) -> int:
    """Where in the shared memory an entry lies: what tells it from all others."""
    return ctypes.addressof(entry)


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


def outer_sum(source: IPAddress, destination: IPAddress, protocol: int) -> int:
    """Sum of the outer IPv4 header's constant 16-bit words, as the machine reads them.

    Left out are the words that differ by packet: version with TOS, and the length (RFC 1071).
    `protocol` is 4 or 17; an inner IPv6 packet and a hashed source differ, as the C adds.
    """
    header = b"\x40\x00" + bytes((64, protocol)) + source.packed + destination.packed  # DF; TTL
    words = memoryview(header).cast("H")
    return sum(words)
