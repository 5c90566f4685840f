"""The published vectors: what is asked, and the answers of the reference in Python.

`python -m tests.maglev.vectors` writes them. A file that exists never changes: a changed answer is
a new version of the specification.
"""

import hashlib
import itertools
import json
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from headrace.maglev import Candidate, FlowHash, build_table, oracle, slot_of
from headrace.maglev.flow_hash import key_of
from headrace.model.values import Affinity, Flow, Protocol
from tests.house.source import ROOT

FLOW_VECTORS = ROOT / "docs/hash-v1-vectors.json"
GOLDEN = Path(__file__).with_name("golden")

SEEDS = (0, 1, 0x0123456789ABCDEF, 2**64 - 1)
KEY_COUNT = 9
LIMIT_KEPT_WHOLE = 1000
IDENTITIES = (0xFFFF_0A00_0001, 0x2001_0DB8 << 96 | 1)  # 10.0.0.1, 2001:db8::1
SLOT_COUNTS = (251, 65_537, 655_373)
FLOWS = (
    Flow(Protocol.TCP, ip_address("0.0.0.0"), 0, ip_address("0.0.0.0"), 0),
    Flow(Protocol.TCP, ip_address("192.0.2.1"), 40_000, ip_address("198.51.100.1"), 80),
    Flow(Protocol.TCP, ip_address("192.0.2.1"), 40_001, ip_address("198.51.100.1"), 80),
    Flow(Protocol.UDP, ip_address("192.0.2.1"), 40_000, ip_address("198.51.100.1"), 80),
    Flow(Protocol.UDP, ip_address("255.255.255.255"), 65_535, ip_address("198.51.100.1"), 53),
    Flow(Protocol.TCP, ip_address("::"), 0, ip_address("::"), 0),
    Flow(Protocol.TCP, ip_address("2001:db8::1"), 40_000, ip_address("2001:db8:f::1"), 443),
    Flow(Protocol.UDP, ip_address("2001:db8:1:2:3:4:5:6"), 1, ip_address("2001:db8:f::1"), 443),
    Flow(
        Protocol.TCP,
        ip_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        65_535,
        ip_address("2001:db8:f::1"),
        65_535,
    ),
)


@dataclass(frozen=True, slots=True)
class TableCase:
    """A table to keep: small ones whole, large ones by their SHA-256."""

    name: str
    seed: int
    slot_count: int
    candidates: tuple[Candidate, ...]


def _v4(count: int) -> Iterator[Candidate]:
    return (Candidate(ip_address(0x0A000001 + index)) for index in range(count))


def _mixed(*, down: str = "", drained: str = "", weights: str) -> tuple[Candidate, ...]:
    """Endpoints a, b, c, ... with these weights; letters say who is down or drained."""
    addresses = ("10.0.0.9", "2001:db8::1", "10.0.0.10", "192.0.2.77", "fd00::2", "10.0.1.0")
    return tuple(
        Candidate(ip_address(address), int(weight), drained=name in drained, down=name in down)
        for name, address, weight in zip("abcdef", addresses, weights.split(), strict=False)
    )


TABLE_CASES = (
    TableCase("equal", 0, 251, tuple(_v4(3))),
    TableCase("one", 1, 251, tuple(_v4(1))),
    TableCase("weights", 2, 251, _mixed(weights="1 2 0 5 40 3")),
    TableCase("down-and-drained", 2, 251, _mixed(weights="1 2 0 5 40 3", down="e", drained="b")),
    TableCase(
        "only-drained-are-up", 3, 257, _mixed(weights="1 1 0 4 1 1", down="abe", drained="df")
    ),
    TableCase("only-the-reserve-is-up", 4, 257, _mixed(weights="1 0 0 4 0 1", down="abdf")),
    TableCase("all-down", 5, 257, _mixed(weights="1 0 0 4 0 1", down="abcdef")),
    TableCase("all-of-weight-0", 6, 257, _mixed(weights="0 0 0 0 0 0", down="c")),
    TableCase(
        "hundred",
        2**64 - 1,
        65_537,
        tuple(
            Candidate(ip_address(0x0A000001 + index), 1, down=index % 10 == 3)
            for index in range(100)
        ),
    ),
    TableCase(
        "three-hundred-with-weights",
        0x0123456789ABCDEF,
        65_537,
        tuple(
            Candidate(ip_address(2**125 + index * 2**64), 1 + index % 7, index % 50 == 0)
            for index in range(300)
        ),
    ),
)


def flow_vectors() -> dict[str, Any]:
    """What docs/hash-v1-vectors.json holds."""
    return {
        "specification": "hash-v1",
        "keys": [
            {"seed": _hex(seed), "keys": [_hex(key_of(seed, i)) for i in range(KEY_COUNT)]}
            for seed in SEEDS
        ],
        "flows": [
            _flow_vector(seed, flow, affinity)
            for seed in SEEDS
            for flow in FLOWS
            for affinity in Affinity
        ],
        "endpoint_walks": [
            {
                "seed": _hex(seed),
                "identity": _hex(identity, 32),
                "slot_count": slot_count,
                "begins": _beginning(oracle.endpoint_walk(seed, identity, slot_count)),
            }
            for seed in SEEDS
            for identity in IDENTITIES
            for slot_count in SLOT_COUNTS
        ],
        "slot_walks": [
            {
                "seed": _hex(seed),
                "slot": slot,
                "slot_count": slot_count,
                "begins": _beginning(oracle.slot_walk(seed, slot, slot_count)),
            }
            for seed in SEEDS
            for slot_count in SLOT_COUNTS
            for slot in (0, slot_count - 1)
        ],
    }


def golden_table(case: TableCase) -> dict[str, Any]:
    """What tests/maglev/golden/<name>.json holds, by the reference in Python."""
    table = build_table(case.seed, case.candidates, case.slot_count)
    base = oracle.base_owners(case.seed, table.records, case.slot_count)
    return {
        "seed": _hex(case.seed),
        "slot_count": case.slot_count,
        "endpoints": [
            {
                "address": str(candidate.address),
                "weight": candidate.weight,
                "drained": candidate.drained,
                "down": candidate.down,
            }
            for candidate in table.candidates
        ],
        "digest": _hex(table.digest),
        "base": kept(base),
        "owners": kept(oracle.owners(case.seed, table.records, base)),
        "statics": kept(oracle.statics(case.seed, table.records, base)),
    }


def kept(values: "array[int]") -> list[int] | str:
    """A table as a file has it: whole, or the SHA-256 of its 16-bit little-endian numbers."""
    if len(values) <= LIMIT_KEPT_WHOLE:
        return values.tolist()
    return hashlib.sha256(struct.pack(f"<{len(values)}H", *values)).hexdigest()


def write() -> None:
    """Write the files that do not exist yet."""
    if not FLOW_VECTORS.exists():
        FLOW_VECTORS.write_text(text_of(flow_vectors()))
    for case in TABLE_CASES:
        path = GOLDEN / f"{case.name}.json"
        if not path.exists():
            path.write_text(text_of(golden_table(case)))


def _flow_vector(seed: int, flow: Flow, affinity: Affinity) -> dict[str, Any]:
    hash32 = FlowHash.of_seed(seed).hash32(flow, affinity)
    return {
        "seed": _hex(seed),
        "source": str(flow.source),
        "destination": str(flow.destination),
        "protocol": flow.protocol.number,
        "source_port": flow.source_port,
        "destination_port": flow.destination_port,
        "affinity": str(affinity),
        "hash32": hash32,
        "slots": {str(slot_count): slot_of(hash32, slot_count) for slot_count in SLOT_COUNTS},
    }


def _hex(number: int, digits: int = 16) -> str:
    return f"0x{number:0{digits}x}"


def _beginning(walk: Iterator[int]) -> list[int]:
    return list(itertools.islice(walk, 3))


def text_of(value: dict[str, Any]) -> str:
    """JSON with a line for each item of a list of objects, and for any other list."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and isinstance(item[0], dict):
            items = ",\n    ".join(json.dumps(entry) for entry in item)
            lines.append(f"  {json.dumps(key)}: [\n    {items}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(item)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    write()
