"""`headrace simulate`: from documents, from a running node, as tables, values and pictures."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Headrace

WEB: dict[str, Any] = {"vip": "20.20.20.1", "protocol": "tcp", "port": 8080, "pool": "web"}


def document(*lasts: int, **endpoint: Any) -> str:
    """A document with a pool of some endpoints, the last of them with more to it."""
    endpoints: list[dict[str, Any]] = [{"address": f"10.0.0.{last}"} for last in lasts]
    endpoints[-1] |= endpoint
    return json.dumps({"services": [WEB], "pools": {"web": {"endpoints": endpoints}}})


@pytest.fixture
def before(tmp_path: Path) -> str:
    file = tmp_path / "before.json"
    file.write_text(document(1, 2, 3, 4))
    return str(file)


def values(headrace: Headrace, *arguments: str) -> dict[str, Any]:
    """What is told of the only pool."""
    done = headrace("simulate", *arguments, "-o", "json")
    assert done.code == 0, done.err
    (pool,) = json.loads(done.out)["pools"]
    told: dict[str, Any] = pool
    return told


def test_two_documents_are_compared(headrace: Headrace, before: str) -> None:
    done = headrace("simulate", "--before", before, "-f", "-", stdin=document(1, 2, 3, 4, weight=2))

    rows = [line.split() for line in done.out.splitlines()]
    assert done.code == 0
    assert ["10.0.0.4", "16,384", "26,215", "25.00%", "40.00%", "+15.00%"] in rows
    assert any(row[:4] == ["with", "agents", "0.00%", "0.00%"] for row in rows)
    assert "flows of 20.20.20.1:8080/tcp" in done.out
    assert "\x1b" not in done.out


def test_a_running_nodes_document_is_where_it_starts(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=document(1, 2))

    told = values(headrace, "--down", "10.0.0.2")

    assert [(e["address"], e["slots_after"]) for e in told["endpoints"]] == [
        ("10.0.0.1", 65_537),
        ("10.0.0.2", 0),
    ]
    assert told["flows"][0]["with_agents"]["by_the_change"] == pytest.approx(0.5, abs=0.001)


def test_a_running_node_and_a_document_are_compared(
    headrace: Headrace, before: str, tmp_path: Path
) -> None:
    headrace("apply", "-f", before)
    file = tmp_path / "after.json"
    file.write_text(document(1, 2, 3, 4, 5))

    told = values(headrace, "--file", str(file), "--drain", "10.0.0.1")

    assert [round(e["share_after"], 3) for e in told["endpoints"]] == [0.0] + [0.25] * 4


def test_nothing_is_changed(headrace: Headrace, before: str) -> None:
    headrace("apply", "-f", before)

    headrace("simulate", "--remove", "10.0.0.1")

    assert "already" in headrace("apply", "-f", before).out


@pytest.mark.parametrize(
    ("arguments", "share"),
    [
        (["--add", "10.0.0.9"], 0.2),
        (["--add", "10.0.0.9:4"], 0.5),
        (["--add", "10.0.0.9", "--pool", "web"], 0.2),
        (["--add", "10.0.0.9", "--weight", "10.0.0.1:4"], 0.125),
        (["--add", "10.0.0.9", "--down", "10.0.0.1", "--remove", "10.0.0.2"], 1 / 3),
        (["--add", "10.0.0.9", "--already-down", "10.0.0.1"], 0.25),
    ],
)
def test_simple_changes_need_no_document(
    headrace: Headrace, before: str, arguments: list[str], share: float
) -> None:
    told = values(headrace, "--before", before, *arguments)

    (added,) = (e for e in told["endpoints"] if e["address"] == "10.0.0.9")
    assert added["share_before"] == 0.0
    assert added["share_after"] == pytest.approx(share, abs=0.001)


def test_ipv6_endpoints_have_their_weights_behind_brackets(headrace: Headrace) -> None:
    six = {"services": [{**WEB, "vip": "2001:db8::1", "endpoints": [{"address": "fd00::1"}]}]}
    del six["services"][0]["pool"]
    headrace("apply", "-f", "-", stdin=json.dumps(six))

    heavy = values(headrace, "--add", "[fd00::2]:3")
    plain = values(headrace, "--add", "fd00::2")

    assert [round(told["endpoints"][1]["share_after"], 2) for told in (heavy, plain)] == [0.75, 0.5]


def test_a_change_of_nothing_is_told(headrace: Headrace, before: str) -> None:
    done = headrace("simulate", "--before", before, "-f", before)

    assert done.out == "nothing changes for 1 pool\n"


def test_a_large_pool_is_told_on_a_screen_and_whole_if_asked(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=document(*range(1, 101)))

    short = headrace("simulate", "--drain", "10.0.0.7").out
    whole = headrace("simulate", "--drain", "10.0.0.7", "-o", "wide").out

    assert short.count("10.0.0.") == 20
    assert "10.0.0.7 " in short
    assert "80 more change less; -o wide shows all" in short
    assert whole.count("10.0.0.") == 100


def test_yaml_says_the_same_as_json(headrace: Headrace, before: str) -> None:
    arguments = ("simulate", "--before", before, "--down", "10.0.0.1", "-o")

    told = yaml.safe_load(headrace(*arguments, "yaml").out)

    assert told == json.loads(headrace(*arguments, "json").out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what changes: --file, --down,"),
        (["--down", "10.9.9.9"], "10.9.9.9 is an endpoint of none of these pools: web"),
        (["--down", "ten"], "'ten' is not an IP address"),
        (["--weight", "10.0.0.1"], "is not ADDRESS:WEIGHT, as 10.0.0.1:2 or [fd00::1]:2"),
        (["--add", "10.0.0.9:many"], "is not ADDRESS:WEIGHT"),
        (["--add", "10.0.0.9:999"], "pools.web.endpoints[4].weight: 999 is not"),
        (["-f", "/nowhere/document.yaml"], "/nowhere/document.yaml"),
        (["--down", "10.0.0.1", "--picture", "x.gif"], "ends in .svg or .png"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    headrace: Headrace, before: str, arguments: list[str], message: str
) -> None:
    done = headrace("simulate", "--before", before, *arguments)

    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_a_wrong_document_is_refused_by_its_file(headrace: Headrace, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("services: 3")

    done = headrace("simulate", "--before", str(file), "--down", "10.0.0.1")

    assert done.code == 1
    assert f"headrace: {file}: services: 3 is not a list" in done.err


@pytest.mark.parametrize(("name", "magic"), [("x.svg", b"<?xml"), ("x.png", b"\x89PNG")])
def test_a_picture_is_drawn_and_comes_out_alike(
    headrace: Headrace, before: str, tmp_path: Path, name: str, magic: bytes
) -> None:
    file = tmp_path / name
    arguments = ("--before", before, "--down", "10.0.0.1", "--picture", str(file))

    pictures = []
    for _ in range(2):
        done = headrace("simulate", *arguments)
        assert (done.code, done.err) == (0, "")
        pictures.append(file.read_bytes())

    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(magic)


def test_a_picture_of_many_endpoints_or_of_no_change_is_drawn(
    headrace: Headrace, tmp_path: Path
) -> None:
    headrace("apply", "-f", "-", stdin=document(*range(1, 101)))
    many, none = tmp_path / "many.svg", tmp_path / "none.svg"

    done = headrace("simulate", "--down", "10.0.0.1", "--picture", str(many))
    same = headrace("simulate", "--weight", "10.0.0.1:1", "--picture", str(none))

    assert (done.code, same.code) == (0, 0)
    assert "<!-- 100 endpoints by address -->" in many.read_text()
    assert "<!-- nothing changes -->" in none.read_text()


def test_a_picture_without_matplotlib_is_refused_with_the_remedy(
    headrace: Headrace, before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    file = tmp_path / "x.svg"

    done = headrace("simulate", "--before", before, "--down", "10.0.0.1", "--picture", str(file))

    assert done.code == 1
    assert "--picture needs matplotlib: pip install 'headrace[picture]'" in done.err
    assert not file.exists()


def test_a_picture_that_cannot_be_written_is_told(headrace: Headrace, before: str) -> None:
    done = headrace(
        "simulate", "--before", before, "--down", "10.0.0.1", "--picture", "/nowhere/x.svg"
    )

    assert done.code == 1
    assert "/nowhere/x.svg" in done.err
