"""Random packets: the packet cases bent in ways that matter to a parser, and plain noise.

Everything follows from a seed.
"""

import random
import struct
from collections.abc import Callable, Sequence

Change = Callable[[random.Random, bytearray], bytearray]

NOISE_SHARE = 0.08
MACS_SIZE = 12
LENGTH_MAX = 9_014
LARGE_SHARE = 0.02
LARGE_SIZES = (4_000, 8_900)
"""Of IP packets that a driver hands over in two and in three buffers; most others fit one."""

_ETHERTYPES = (0x0800, 0x86DD, 0x8100, 0x88A8, 0x0806)
_TAGS = (bytearray(b"\x81\x00"), bytearray(b"\x88\xa8"))
_PROTOCOLS = (0, 1, 4, 6, 17, 41, 43, 44, 50, 58, 59, 60, 132, 255)
_BYTES = (0, 1, 2, 4, 0x0F, 0x10, 0x1F, 0x20, 0x40, 0x45, 0x46, 0x4F, 0x60, 0x7F, 0x80, 0xC0, 0xFF)
_WORDS = (0, 1, 3, 4, 7, 8, 20, 39, 40, 48, 80, 443, 0x1FFF, 0x2000, 0x3FFF, 0x4000, 0xFFFF)


class Generator:
    """An endless supply of packets made from `bases`."""

    def __init__(self, seed: int, bases: Sequence[bytes]) -> None:
        self._random = random.Random(seed)
        self._bases = bases

    def packet(self) -> bytes:
        """The next packet, an Ethernet frame of at least 14 bytes."""
        chance = self._random
        if chance.random() < NOISE_SHARE:
            return _noise(chance, self._bases)
        data = bytearray(chance.choice(self._bases))
        if chance.random() < LARGE_SHARE:
            data = _resized(data, chance.choice(LARGE_SIZES), chance.randbytes(LENGTH_MAX))
        for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 5))):
            data = chance.choice(_CHANGES)(chance, data)
        return bytes(data[:LENGTH_MAX]).ljust(14, b"\x00")


def _noise(chance: random.Random, bases: Sequence[bytes]) -> bytes:
    """Random bytes behind a header that lets them in: nothing, a link, or an address of ours."""
    base = chance.choice(bases)
    kept = chance.choice((0, 12, 14, 34, 54))
    return base[:kept].ljust(14, b"\x00") + chance.randbytes(chance.randrange(0, 120))


def _link_size(data: bytearray) -> int:
    """Where IP begins, by the tags there are."""
    at = 12
    while data[at : at + 2] in _TAGS and at < 24:
        at += 4
    return at + 2


def _transport_at(data: bytearray) -> int:
    """Where the transport header probably is."""
    ip = _link_size(data)
    if len(data) <= ip or data[ip] >> 4 == 6:
        return ip + 40
    return ip + (data[ip] & 0xF) * 4


def _put(data: bytearray, at: int, value: bytes) -> bytearray:
    if at + len(value) <= len(data):
        data[at : at + len(value)] = value
    return data


def _any_byte(chance: random.Random, data: bytearray) -> bytearray:
    if len(data) > MACS_SIZE:
        data[chance.randrange(MACS_SIZE, len(data))] = chance.randrange(256)
    return data


def _header_byte(chance: random.Random, data: bytearray) -> bytearray:
    """A telling value in the first bytes of the IP header or of what follows."""
    start = chance.choice((_link_size, _transport_at))(data)
    return _put(data, start + chance.randrange(0, 44), bytes([chance.choice(_BYTES)]))


def _header_word(chance: random.Random, data: bytearray) -> bytearray:
    start = chance.choice((_link_size, _transport_at))(data)
    word = chance.choice((*_WORDS, chance.randrange(65_536)))
    return _put(data, start + 2 * chance.randrange(0, 14), struct.pack("!H", word))


def _flipped_bit(chance: random.Random, data: bytearray) -> bytearray:
    if len(data) > MACS_SIZE:
        data[chance.randrange(MACS_SIZE, len(data))] ^= 1 << chance.randrange(8)
    return data


def _protocol(chance: random.Random, data: bytearray) -> bytearray:
    ip = _link_size(data)
    at = ip + 6 if len(data) > ip and data[ip] >> 4 == 6 else ip + 9
    return _put(data, at, bytes([chance.choice(_PROTOCOLS)]))


def _length(chance: random.Random, data: bytearray) -> bytearray:
    """The length field a little or a lot away from the truth."""
    ip = _link_size(data)
    at = ip + 4 if len(data) > ip and data[ip] >> 4 == 6 else ip + 2
    truth = int.from_bytes(data[at : at + 2], "big")
    wrong = chance.choice((truth + chance.randrange(-30, 30), chance.choice(_WORDS)))
    return _put(data, at, struct.pack("!H", wrong & 0xFFFF))


def _fragment(chance: random.Random, data: bytearray) -> bytearray:
    """An IPv4 fragment of one of a few packets, so that later ones meet a first one."""
    ip = _link_size(data)
    if len(data) < ip + 20 or data[ip] >> 4 != 4:
        return data
    offset = chance.choice((0, 0, 1, 2, 185, 0x1FFF))
    more = chance.choice((0, 0x2000))
    return _put(data, ip + 4, struct.pack("!HH", chance.randrange(4), more | offset))


def _extension(chance: random.Random, data: bytearray) -> bytearray:
    """One more IPv6 extension header, mostly a sound one."""
    ip = _link_size(data)
    if len(data) < ip + 40 or data[ip] >> 4 != 6:
        return data
    kind = chance.choice((0, 43, 44, 44, 60))
    units = 0 if kind == 44 else chance.choice((0, 0, 0, 1, 2, 200))
    if kind == 44:
        fragment = chance.choice((0, 1, 8, 9, 1480, 0xFFF9))
        body = struct.pack("!HI", fragment, chance.randrange(4))
    else:
        body = b"\x01\x04\x00\x00\x00\x00" + bytes(8 * min(units, 4))
    header = bytes([data[ip + 6], units]) + body
    data[ip + 6] = kind
    length = int.from_bytes(data[ip + 4 : ip + 6], "big") + len(header)
    _put(data, ip + 4, struct.pack("!H", length & 0xFFFF))
    return data[: ip + 40] + header + data[ip + 40 :]


def _tag(chance: random.Random, data: bytearray) -> bytearray:
    kind = chance.choice((b"\x81\x00", b"\x88\xa8"))
    return data[:12] + kind + struct.pack("!H", chance.randrange(65_536)) + data[12:]


def _ethertype(chance: random.Random, data: bytearray) -> bytearray:
    return _put(data, _link_size(data) - 2, struct.pack("!H", chance.choice(_ETHERTYPES)))


def _cut(chance: random.Random, data: bytearray) -> bytearray:
    return data[: chance.randrange(14, max(15, min(len(data), 200)))]


def _padded(chance: random.Random, data: bytearray) -> bytearray:
    return data + chance.randbytes(chance.choice((1, 2, 6, 18, 46)))


def _grown(chance: random.Random, data: bytearray) -> bytearray:
    """The same packet about as large as most links carry."""
    return _resized(data, chance.choice((1_400, 1_460, 1_480, 1_500)), bytes(LENGTH_MAX))


def _resized(data: bytearray, size: int, more: bytes) -> bytearray:
    """The same packet, its length field along with it; what it is short of is taken from `more`."""
    ip = _link_size(data)
    if len(data) < ip + 20:
        return data
    data = data + more[: max(0, ip + size - len(data))]
    if data[ip] >> 4 == 6:
        return _put(data, ip + 4, struct.pack("!H", size - 40))
    return _put(data, ip + 2, struct.pack("!H", size))


def _tcp_flags(chance: random.Random, data: bytearray) -> bytearray:
    return _put(data, _transport_at(data) + 13, bytes([chance.choice((2, 0x10, 0x12, 4, 1, 0))]))


_CHANGES: tuple[Change, ...] = (
    _any_byte,
    _header_byte,
    _header_byte,
    _header_word,
    _header_word,
    _flipped_bit,
    _protocol,
    _length,
    _fragment,
    _extension,
    _tag,
    _ethertype,
    _cut,
    _padded,
    _grown,
    _tcp_flags,
)
