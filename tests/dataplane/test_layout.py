import ctypes
import re
from pathlib import Path

import pytest

from headrace import dataplane
from headrace.dataplane import decapsulator, layout
from headrace.model import limits

from .btf import StructLayout, read_structs

ROOM = Path(dataplane.__file__).parent

PAIRS = [
    ("headrace", "service_key", layout.ServiceKey),
    ("headrace", "service", layout.Service),
    ("headrace", "table", layout.Table),
    ("headrace", "pool", layout.Pool),
    ("headrace", "pool_info", layout.PoolInfo),
    ("headrace", "slot_line", layout.SlotLine),
    ("headrace", "endpoint", layout.Endpoint),
    ("headrace", "next_hop", layout.NextHop),
    ("headrace", "port", layout.Port),
    ("headrace", "settings", layout.Settings),
    ("headrace", "count", layout.Count),
    ("tailrace", "address_key", decapsulator._AddressKey),
]


@pytest.mark.parametrize(("program", "name", "ours"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_struct_has_the_same_bytes_in_c_and_python(
    program: str, name: str, ours: type[ctypes.Structure]
) -> None:
    theirs = read_structs(ROOM / "objects" / f"{program}.bpf.o")[name]

    members = tuple((field[0], getattr(ours, field[0]).offset) for field in ours._fields_)
    assert StructLayout(ctypes.sizeof(ours), members) == theirs


def test_every_map_struct_of_the_layout_header_is_compared() -> None:
    declared = set(re.findall(r"^struct (\w+) \{", (ROOM / "bpf/layout.h").read_text(), re.M))

    assert declared - {name for _, name, _ in PAIRS} == set()


def test_limits_are_the_same_in_c_and_python() -> None:
    defines = re.findall(r"#define (LIMIT_\w+) (\d+)", (ROOM / "bpf/limits.h").read_text())

    assert defines
    assert {name: int(value) for name, value in defines} == {
        name: getattr(limits, name) for name, _ in defines
    }


def test_constants_are_the_same_in_c_and_python() -> None:
    text = (ROOM / "bpf/layout.h").read_text()
    defines = {
        name: int(value, 0) for name, value in re.findall(r"#define (\w+) (0x\w+|\d+)\n", text)
    }

    assert defines == {name: getattr(layout, name) for name in defines}
    assert len(defines) == 3
