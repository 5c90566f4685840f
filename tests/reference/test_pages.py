"""The reference pages are what the code says now, and leave nothing of it out."""

import json
import re

import pytest

from headrace.dataplane.verdicts import all_verdicts
from tests.dataplane.btf import StructLayout, read_structs
from tests.house.source import ROOT
from tests.reference import commands, document, layout, limits
from tests.reference.pages import FOLDER, PAGES, RENEW, build

OBJECTS = ROOT / "src/headrace/dataplane/objects"


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    path = FOLDER / name

    assert path.exists(), RENEW
    assert path.read_text() == build(name), RENEW


def test_every_file_of_the_reference_is_generated() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_command_and_option_says_what_it_is() -> None:
    found = [each for name in commands.PROGRAMS for each in commands.commands(name)]

    silent = [each.path for each in found if not each.help]
    silent += [
        f"{each.path} {option.names[0]}"
        for each in found
        for option in (*each.arguments, *each.options)
        if not option.meaning
    ]

    assert found
    assert silent == []


def test_every_key_of_the_document_has_a_value_that_a_document_takes() -> None:
    assert document.without_example() == []


def test_every_key_of_the_document_says_what_it_is() -> None:
    plain = {"Peer.address", "Peer.port", "TunnelEntry.endpoint"}  # their section says it

    assert set(document.undescribed()) <= plain


def test_the_json_schema_has_every_definition_that_it_refers_to() -> None:
    schema = json.loads(document.build_schema())
    named = set(re.findall(r'"#/\$defs/(\w+)"', document.build_schema()))

    assert named == set(schema["$defs"])


def test_every_verdict_has_a_row() -> None:
    page = build("verdicts.md")

    for program in ("headrace", "tailrace"):
        for verdict in all_verdicts(program):
            assert f"| `{verdict.name}` | `{verdict.action}` | {verdict.meaning} |" in page


def test_every_limit_of_the_model_has_its_reason() -> None:
    source = (ROOT / "src/headrace/model/limits.py").read_text()
    names = set(re.findall(r"^([A-Z_]+) = ", source, re.MULTILINE))

    assert {limit.name for limit in limits.limits_of("model")} == names


@pytest.mark.parametrize(
    ("program", "headers"),
    [
        pytest.param("headrace", ("layout.h", "count.h"), id="load balancer"),
        pytest.param("tailrace", ("tail_maps.h",), id="endpoint"),
        pytest.param("probe", ("probe.bpf.c",), id="probes"),
    ],
)
def test_structs_are_laid_out_as_the_compiler_does(program: str, headers: tuple[str, ...]) -> None:
    compiled = read_structs(OBJECTS / f"{program}.bpf.o")

    ours = {
        each.name: StructLayout(each.size, tuple((m.name, m.offset) for m in each.members))
        for each in layout.structs(*headers)
        if each.name in compiled
    }

    assert ours
    assert ours == {name: compiled[name] for name in ours}


@pytest.mark.parametrize(
    ("header", "program"),
    [("maps.h", "headrace"), ("tail_maps.h", "tailrace"), ("probe.bpf.c", "probe")],
)
def test_a_map_of_the_page_is_one_of_the_program(header: str, program: str) -> None:
    names = re.findall(
        rb"\x00([a-z][a-z0-9_]+)(?=\x00)", (OBJECTS / f"{program}.bpf.o").read_bytes()
    )

    found = {each.name for each in layout.maps(header)}

    assert found
    assert found <= {name.decode() for name in names}
