"""A capture file that Wireshark, tshark and tcpdump read (draft-ietf-opsawg-pcapng). Pure.

Only what we write: one section, an interface wherever one is first seen, packets with a comment.
"""

import struct

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_LENGTH_UNKNOWN = -1
_LINKTYPE_ETHERNET = 1

_END_OF_OPTIONS = 0
_COMMENT = 1
_SECTION_APPLICATION = 4
_INTERFACE_NAME, _INTERFACE_RESOLUTION = 2, 9
_NANOSECONDS = 9  # the exponent: 10^-9 s


def section(application: str) -> bytes:
    """The head of a file."""
    fixed = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _LENGTH_UNKNOWN)
    return _block(_SECTION, fixed + _options((_SECTION_APPLICATION, application.encode())))


def interface(name: str, snap_bytes: int) -> bytes:
    """An interface; packets name it by how many were before it in the file."""
    fixed = struct.pack("<HHI", _LINKTYPE_ETHERNET, 0, snap_bytes)
    options = _options(
        (_INTERFACE_NAME, name.encode()), (_INTERFACE_RESOLUTION, bytes([_NANOSECONDS]))
    )
    return _block(_INTERFACE, fixed + options)


def packet(
    interface_index: int, time_ns: int, frame: bytes, length_bytes: int, comment: str
) -> bytes:
    """A packet: the first bytes of its frame, and the length of the whole.

    The time is in ns since 1970.
    """
    high, low = divmod(time_ns, 1 << 32)
    fixed = struct.pack("<IIIII", interface_index, high, low, len(frame), length_bytes)
    options = _options((_COMMENT, comment.encode()))
    return _block(_PACKET, fixed + _padded(frame) + options)


def _block(kind: int, body: bytes) -> bytes:
    """A block, its length at both ends so that files can be read backward."""
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _options(*options: tuple[int, bytes]) -> bytes:
    listed = b"".join(struct.pack("<HH", code, len(v)) + _padded(v) for code, v in options)
    return listed + struct.pack("<HH", _END_OF_OPTIONS, 0)


def _padded(data: bytes) -> bytes:
    """Blocks and options are made of 32-bit words."""
    return data + bytes(-len(data) % 4)
