"""The page of the maps and their bytes, from the C headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace import dataplane
from headrace.dataplane.verdicts import all_verdicts
from tests.reference.markdown import code, table

_BPF = Path(dataplane.__file__).parent / "bpf"

_HEAD = """\
# Maps

Generated from the C headers; a test compares the two.

The state of the data plane is in BPF maps, which are pinned: they outlive the daemon. The daemon
writes them and reads them back; packets read them, and write notes, fragments, answers, samples,
ages and counters. They are no interface: another version may have others.

Addresses are 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`, but for the keys of `services4`.
`__be16` and `__be32` are in network order, all else in the machine's. Sizes and offsets are in
bytes. A member that *flips* is written while packets read it, as one word. `slot_lines` and
`block_ages` are made as large as the document needs them.

"""

_SIZES = {"__u8": 1, "__u16": 2, "__be16": 2, "__u32": 4, "__be32": 4, "__u64": 8, "__be64": 8}
_MANY = re.DOTALL | re.MULTILINE
_COMMENT = r"/\*(?:(?!\*/).)*\*/"
_DEFINE = re.compile(rf"^#define[ \t]+(\w+)[ \t]+([^\n\\]+?)[ \t]*({_COMMENT})?$", _MANY)
_ENUM = re.compile(r"^enum (\w+) \{\n(.*?)^\};", _MANY)
_ENUMERATOR = re.compile(rf"^\t(\w+)(?: = (\d+))?,[ \t]*({_COMMENT})?$", _MANY)
_STRUCT = re.compile(rf"({_COMMENT}\n)?^struct (\w+) \{{\n(.*?)^\}};", _MANY)
_MEMBER = re.compile(rf"^\t(?:struct )?(\w+) (\w+)((?:\[[^\]]+\])*);[ \t]*({_COMMENT})?$", _MANY)
_MAP = re.compile(r"^(MAP|SHARED_ARRAY|COUNTERS)\((\w+), ([^;]*)\);$", _MANY)
_LONG_MAP = re.compile(r"^struct \{\n([^}]*?)^\} (\w+) SEC\(\"\.maps\"\);", _MANY)
_SAID = re.compile(r"__(?:uint|type)\((\w+), (?:BPF_MAP_TYPE_)?(.*)\);")


@dataclass(frozen=True, slots=True)
class Map:
    """A map as its declaration says it."""

    name: str
    kind: str
    entries: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Member:
    """A part of a struct; sizes in bytes."""

    name: str
    kind: str
    offset: int
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct, and what is said of it."""

    name: str
    text: str
    members: tuple[Member, ...]
    size: int


def build_page() -> str:
    """The page in Markdown."""
    return (
        _HEAD
        + _program("Load balancer", "layout.h", "maps.h", structs("layout.h", "count.h"))
        + _program("Endpoint", "tail_maps.h", "tail_maps.h", structs("tail_maps.h"))
        + _program("Probes", "probe.bpf.c", "probe.bpf.c", structs("probe.bpf.c")[:1])
    )


def structs(*headers: str) -> list[Struct]:
    """The structs of some headers, in their order."""
    sizes = {name: (size, size) for name, size in _SIZES.items()}  # and what they are aligned to
    found = []
    for header in headers:
        for comment, name, body in _STRUCT.findall(_read(header)):
            struct, alignment = _struct(name, comment, body, sizes)
            sizes[name] = struct.size, alignment
            found.append(struct)
    return found


def maps(header: str) -> list[Map]:
    """The maps of a header, those in short words first."""
    text = _read(header)
    short = [_map(*each) for each in _MAP.findall(text)]
    return short + [_long_map(name, body) for body, name in _LONG_MAP.findall(text)]


def _read(header: str) -> str:
    return (_BPF / header).read_text()


def _program(title: str, words: str, header: str, found: list[Struct]) -> str:
    numbers = _numbers()
    rows = [
        (
            code(each.name),
            each.kind,
            str(_value(each.entries, numbers)),
            _link(each.key),
            _link(each.value),
        )
        for each in maps(header)
    ]
    page = f"## {title}\n\n" + table(("map", "type", "entries", "key", "value"), rows)
    page += "".join(map(_struct_text, found))
    told = [(code(name), code(value), text) for name, value, text in _words(words)]
    return page + f"### Numbers: {title}\n\n" + table(("name", "value", "meaning"), told)


def _struct_text(struct: Struct) -> str:
    rows = [
        (code(each.name), code(each.kind), str(each.offset), str(each.size), each.text)
        for each in struct.members
    ]
    page = f"### struct {struct.name}\n\n"
    page += f"{struct.text}\n\n" if struct.text else ""
    return (
        page
        + f"{struct.size} bytes.\n\n"
        + table(("member", "type", "offset", "size", "meaning"), rows)
    )


def _struct(
    name: str, comment: str, body: str, sizes: Mapping[str, tuple[int, int]]
) -> tuple[Struct, int]:
    """The struct as a compiler lays it out, and what it is aligned to."""
    numbers = _numbers()
    offset, widest, members = 0, 1, []
    for kind, member, counts, text in _MEMBER.findall(body):
        size, alignment = sizes[kind]
        for count in re.findall(r"\[([^\]]+)\]", counts):
            size *= _value(count, numbers)
        offset += -offset % alignment
        members.append(Member(member, kind + counts, offset, size, _plain(text)))
        offset += size
        widest = max(widest, alignment)
    return Struct(name, _plain(comment), tuple(members), offset + -offset % widest), widest


def _map(macro: str, name: str, arguments: str) -> Map:
    parts = [part.strip() for part in arguments.split(",")]
    if macro == "SHARED_ARRAY":
        return Map(name, "ARRAY", parts[0], "__u32", parts[1])
    if macro == "COUNTERS":
        return Map(name, "PERCPU_ARRAY", parts[0], "__u32", "struct count")
    kind, _, entries, key, value = parts
    return Map(name, kind, entries, key, value)


def _long_map(name: str, body: str) -> Map:
    said = dict(_SAID.findall(body))
    return Map(name, said["type"], said["max_entries"], said.get("key", ""), said.get("value", ""))


def _link(kind: str) -> str:
    plain = kind.removeprefix("struct ")
    if plain == kind:
        return code(kind) if kind else ""
    return f"[{plain}](#struct-{plain})"


def _value(expression: str, numbers: Mapping[str, int]) -> int:
    """A number, a name of one, or a sum, product or shift of two."""
    plain = expression.strip("() ")
    for sign in ("<<", "*", "+"):
        left, found, right = plain.partition(sign)
        if found:
            one, two = _value(left, numbers), _value(right, numbers)
            return one << two if sign == "<<" else one * two if sign == "*" else one + two
    sizeof = re.fullmatch(r"sizeof\(struct (\w+)\) ?", f"{plain})" if "sizeof" in plain else plain)
    if sizeof:
        return _KERNELS[sizeof[1]]
    return numbers[plain] if plain in numbers else int(plain.rstrip("uUlL"), 0)


_KERNELS = {"iphdr": 20, "ipv6hdr": 40, "udphdr": 8}
"""Sizes of the kernel's own structs."""


def _numbers() -> dict[str, int]:
    """Every number that a header defines."""
    found = {"VERDICT_COUNT": len(all_verdicts())}
    for header in ("limits.h", "layout.h", "tail_maps.h", "probe.bpf.c"):
        for name, value, _ in _DEFINE.findall(_read(header)):
            found[name] = _value(value, found)
    return found


def _words(header: str) -> list[tuple[str, str, str]]:
    """Numbers that members hold or count by, as name, value and text."""
    text = _read(header)
    found = [(name, value, _plain(comment)) for name, value, comment in _DEFINE.findall(text)]
    for _, body in _ENUM.findall(text):
        following = 0
        for name, value, comment in _ENUMERATOR.findall(body):
            following = int(value) if value else following
            found.append((name, str(following), _plain(comment)))
            following += 1
    return found


def _plain(comment: str) -> str:
    """A comment's words."""
    inner = comment.strip().removeprefix("/*").removesuffix("*/")
    return " ".join(" ".join(line.strip().lstrip("*") for line in inner.splitlines()).split())
