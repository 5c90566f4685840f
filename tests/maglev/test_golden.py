"""Tables that are kept: the same bytes on every machine, in every release of this version."""

import json
from ipaddress import ip_address
from itertools import islice
from typing import Any

import pytest

from headrace.maglev import Candidate, Table, build_table, oracle, statics
from tests.maglev.vectors import FLOW_VECTORS, GOLDEN, TABLE_CASES, TableCase, kept


def golden(name: str) -> dict[str, Any]:
    kept_table: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return kept_table


def rebuilt(file: dict[str, Any]) -> Table:
    """The table of a file, from what the file says alone."""
    candidates = [
        Candidate(ip_address(e["address"]), e["weight"], drained=e["drained"], down=e["down"])
        for e in reversed(file["endpoints"])
    ]
    return build_table(int(file["seed"], 16), candidates, file["slot_count"])


def test_every_golden_file_is_of_a_case_and_every_case_has_one() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {case.name for case in TABLE_CASES}


@pytest.mark.parametrize("case", TABLE_CASES, ids=lambda case: case.name)
def test_a_table_is_as_it_was_kept(case: TableCase) -> None:
    file = golden(case.name)

    table = rebuilt(file)

    assert f"0x{table.digest:016x}" == file["digest"]
    assert kept(table.base) == file["base"]
    assert kept(table.owners) == file["owners"]
    assert kept(statics(table)) == file["statics"]
    assert table == build_table(case.seed, case.candidates, case.slot_count)


def test_walks_begin_as_published() -> None:
    vectors = json.loads(FLOW_VECTORS.read_text())

    for vector in vectors["endpoint_walks"]:
        identity = int(vector["identity"], 16)
        walk = oracle.endpoint_walk(int(vector["seed"], 16), identity, vector["slot_count"])
        assert list(islice(walk, 3)) == vector["begins"]
    for vector in vectors["slot_walks"]:
        walk = oracle.slot_walk(int(vector["seed"], 16), vector["slot"], vector["slot_count"])
        assert list(islice(walk, 3)) == vector["begins"]
    assert (len(vectors["endpoint_walks"]), len(vectors["slot_walks"])) == (24, 24)


def test_a_walk_visits_every_slot_once() -> None:
    assert sorted(oracle.slot_walk(5, 17, 251)) == list(range(251))
