import ctypes
import re
from pathlib import Path

import pytest

from headrace import dataplane
from headrace.dataplane import layout
from headrace.maglev import SKETCH_BYTES
from headrace.model import limits

from .btf import StructLayout, read_structs

ROOM = Path(dataplane.__file__).parent

PAIRS = [
    ("headrace", "service_key4", layout.ServiceKey4),
    ("headrace", "service_key6", layout.ServiceKey6),
    ("headrace", "service", layout.Service),
    ("headrace", "prefix_key", layout.PrefixKey),
    ("headrace", "table", layout.Table),
    ("headrace", "pool", layout.Pool),
    ("headrace", "pool_info", layout.PoolInfo),
    ("headrace", "slot_line", layout.SlotLine),
    ("headrace", "block_age", layout.BlockAge),
    ("headrace", "endpoint", layout.Endpoint),
    ("headrace", "next_hop", layout.NextHop),
    ("headrace", "port", layout.Port),
    ("headrace", "flow_key", layout.FlowKey),
    ("headrace", "note", layout.Note),
    ("headrace", "flow_sketch", layout.FlowSketch),
    ("headrace", "fragment_key", layout.FragmentKey),
    ("headrace", "fragment", layout.Fragment),
    ("headrace", "server_id_key", layout.ServerIdKey),
    ("headrace", "settings", layout.Settings),
    ("headrace", "shortcut4", layout.Shortcut4),
    ("headrace", "shortcut6", layout.Shortcut6),
    ("headrace", "bucket4", layout.Bucket4),
    ("headrace", "bucket6", layout.Bucket6),
    ("headrace", "answers", layout.Answers),
    ("headrace", "vip_filter", layout.VipFilter),
    ("headrace", "count", layout.Count),
]


@pytest.mark.parametrize(("program", "name", "ours"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_struct_has_the_same_bytes_in_c_and_python(
    program: str, name: str, ours: type[ctypes.Structure]
) -> None:
    theirs = read_structs(ROOM / "objects" / f"{program}.bpf.o")[name]

    members = tuple((field[0], getattr(ours, field[0]).offset) for field in ours._fields_)
    assert StructLayout(ctypes.sizeof(ours), members) == theirs


def test_a_sketch_of_flows_is_read_as_it_is_marked() -> None:
    assert layout.SKETCH_BYTES == 1 << layout.SKETCH_BITS == SKETCH_BYTES


def test_every_map_struct_of_the_layout_header_is_compared() -> None:
    declared = set(re.findall(r"^struct (\w+) \{", (ROOM / "bpf/layout.h").read_text(), re.M))

    # No map has it as a key or value, so BTF does not either: `test_samples` reads real ones.
    assert declared - {name for _, name, _ in PAIRS} == {"sample"}


def test_limits_are_the_same_in_c_and_python() -> None:
    defines = re.findall(r"#define (LIMIT_\w+) (\d+)", (ROOM / "bpf/limits.h").read_text())

    assert defines
    assert {name: int(value) for name, value in defines} == {
        name: getattr(limits, name) for name, _ in defines
    }


def test_constants_are_the_same_in_c_and_python() -> None:
    text = (ROOM / "bpf/layout.h").read_text()
    defines = re.findall(r"^#define (\w+) \(?(\w+?)U?L*(?:u << (\d+)\))?(?: *\n| */\*)", text, re.M)

    constants = {name: int(number, 0) << int(shift or 0) for name, number, shift in defines}
    assert len(constants) == text.count("#define ")
    assert constants == {name: getattr(layout, name) for name in constants}


def test_encapsulations_have_the_same_numbers_in_c_and_python() -> None:
    text = (ROOM / "bpf/layout.h").read_text()
    members = re.findall(r"ENCAPSULATION_\w+", text.partition("enum encapsulation {")[2])

    assert members
    assert list(range(len(members))) == [getattr(layout, name) for name in members]
