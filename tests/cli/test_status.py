"""`headrace status`: a large node on one screen, what is wrong first."""

import json
from typing import Any

import pytest

from headrace.cli.status import share_rows
from headrace.model import BfdState, Health
from tests.api.fakes import FakeOperator
from tests.cli.conftest import Headrace

SERVICES, ENDPOINTS = 300, 40
LINES = 50


def large() -> dict[str, Any]:
    """Many services of one pool, one of a pool of its own, last."""
    shared = [
        {"vip": "20.20.20.1", "protocol": "tcp", "port": 1000 + n, "pool": "web", "announce": True}
        for n in range(SERVICES)
    ]
    own = {"vip": "20.20.20.2", "protocol": "udp", "port": 53}
    return {
        "services": [*shared, own | {"endpoints": [{"address": "58.58.58.1"}]}],
        "pools": {"web": {"endpoints": [{"address": f"56.56.56.{n + 1}"} for n in range(40)]}},
        "bgp": {"as": 64512, "router_id": "10.0.0.1"},
    }


@pytest.fixture(autouse=True)
def document(headrace: Headrace) -> None:
    done = headrace("apply", "-f", "-", stdin=json.dumps(large()))
    assert done.code == 0, done.err


def rows_of(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_a_large_node_fits_one_screen_and_says_what_is_left_out(headrace: Headrace) -> None:
    out = headrace("status").out

    assert len(out.splitlines()) <= LINES
    assert "Services: 301 of 301 forwarded, 300 announced" in out
    shown = sum(row[0].startswith("20.20.20.") for row in rows_of(out) if len(row) > 2)
    assert f"and {301 - shown} more: headrace get lb" in out
    assert "Endpoints: 41" in out
    assert "BGP peers: 1 of 1 up" in out


def test_the_wide_status_leaves_nothing_out(headrace: Headrace) -> None:
    out = headrace("status", "-o", "wide").out

    keys = {row[0] for row in rows_of(out) if row}
    assert {f"20.20.20.1:{1000 + n}/tcp" for n in range(SERVICES)} <= keys
    assert {f"56.56.56.{n + 1}" for n in range(ENDPOINTS)} <= keys
    assert " more:" not in out


def test_endpoints_with_something_wrong_come_first_then_those_that_drain(
    headrace: Headrace, operator: FakeOperator
) -> None:
    operator.health = {"56.56.56.31": Health.DOWN}
    operator.unreachable.add("58.58.58.1")
    headrace("drain", "endpoint", "56.56.56.40")

    out = headrace("status").out

    addresses = [row[0] for row in rows_of(out) if row and row[0][:3] in {"56.", "58."}]
    assert addresses[:3] == ["58.58.58.1", "56.56.56.31", "56.56.56.40"]
    assert "Endpoints: 41, 2 down or unreachable, 1 draining or disabled" in out
    assert "! endpoint 58.58.58.1 cannot be reached" in out


def test_a_peer_is_shown_with_what_bfd_says_and_how_long(
    headrace: Headrace, operator: FakeOperator
) -> None:
    operator.bfd = BfdState.DOWN

    assert ["11.11.11.254", "65001", "up", "1", "d", "2", "h", "down", "20.20.20.1/32"] in rows_of(
        headrace("status").out
    )


def test_many_problems_are_counted(headrace: Headrace, operator: FakeOperator) -> None:
    operator.unreachable.update(f"56.56.56.{n + 1}" for n in range(ENDPOINTS))

    out = headrace("status").out

    shown = out.count("! endpoint")
    assert f"! and {ENDPOINTS - shown} more: headrace status -o wide" in out
    assert len(out.splitlines()) <= LINES


def test_a_terminal_gets_colours(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = headrace("status").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = headrace("status").out

    assert "\x1b" not in plain
    assert "\x1b[" in coloured


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [
        pytest.param([1, 2, 0], 20, [1, 2, 0], id="what is wanted, where there is room"),
        pytest.param([100, 100], 20, [10, 10], id="the same for each"),
        pytest.param([2, 100], 20, [2, 18], id="what one leaves, the others get"),
        pytest.param([100, 1, 0], -5, [3, 1, 0], id="a few, where there is no room"),
    ],
)
def test_rows_are_shared(wanted: list[int], room: int, given: list[int]) -> None:
    assert share_rows(wanted, room) == given
