"""Reads struct layouts out of an object file's BTF, to compare them with Python's."""

import struct
from dataclasses import dataclass
from pathlib import Path

# kind -> size of what follows the 12-byte header, an element and whether there are vlen of them
_TRAILERS = {1: (4, False), 3: (12, False), 4: (12, True), 5: (12, True), 6: (8, True)}
_TRAILERS |= {13: (8, True), 14: (4, False), 15: (12, True), 17: (4, False), 19: (12, True)}
_STRUCT = 4


@dataclass(frozen=True, slots=True)
class StructLayout:
    """A C struct: its size, and each member's name and offset in bytes."""

    size: int
    members: tuple[tuple[str, int], ...]


def read_structs(path: Path) -> dict[str, StructLayout]:
    """Every named struct in an object file, by name."""
    btf = _section(path.read_bytes(), ".BTF")
    header_size, type_at, type_size, string_at, _ = struct.unpack_from("<IIIII", btf, 4)
    types = btf[header_size + type_at : header_size + type_at + type_size]
    strings = btf[header_size + string_at :]
    found: dict[str, StructLayout] = {}
    position = 0
    while position < len(types):
        name, info, size = struct.unpack_from("<III", types, position)
        position += 12
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        element, repeated = _TRAILERS.get(kind, (0, False))
        if kind == _STRUCT and name:
            members = (
                struct.unpack_from("<III", types, position + 12 * index) for index in range(count)
            )
            found[_string(strings, name)] = StructLayout(
                size,
                tuple((_string(strings, at), (bits & 0xFFFFFF) // 8) for at, _, bits in members),
            )
        position += element * (count if repeated else 1)
    return found


def _string(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode()


def _section(elf: bytes, name: str) -> bytes:
    """A section of a 64-bit little-endian ELF file."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + entry_size * i) for i in range(count)]
    strings = elf[headers[names][4] :]
    for at, _, _, _, offset, size in headers:
        if _string(strings, at) == name:
            return elf[offset : offset + size]
    raise LookupError(f"no section {name}")
