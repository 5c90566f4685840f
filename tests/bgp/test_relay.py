"""What both relays have in common: what is handed over, and what they are made of."""

import ast
import sys
from pathlib import Path

import pytest

from headrace.bgp import relay as relay_package
from headrace.bgp.relay.messages import Announce, Route
from headrace.bgp.relay.wanted import Wanted
from tests.bgp.relay_lines import VIP


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"until": 1e9, "order": "x"}', '{"until": "x", "order": "{}"}'],
)
def test_what_was_not_handed_over_is_not_announced(text: str) -> None:
    wanted = Wanted()

    assert not wanted.inherit(text, 0.0)
    assert wanted.routes == {}


def test_what_was_handed_over_too_long_ago_is_not_announced() -> None:
    former, wanted = Wanted(), Wanted()
    former.routes = {VIP: Route()}
    text = former.hand_over(until=110.0)

    in_time = Wanted().inherit(text, 109.9)
    too_late = wanted.inherit(text, 110.0)

    assert in_time
    assert not too_late
    assert wanted.routes == {}


def test_a_set_that_has_left_does_not_come_back_with_a_daemon_that_says_nothing() -> None:
    wanted = Wanted()
    left = {VIP: Route(prepend=2)}
    order = Announce(1, 60.0, 30.0, 64512, end_of_rib=False, routes={}, leaving=left, peers={})
    wanted.take(order)
    wanted.lose_daemon(0.0)
    heir = Wanted()
    heir.inherit(wanted.hand_over(until=10.0), 0.0)

    for each in (wanted, heir):
        assert not each.expire(59.9)
        assert each.expire(60.0)
        assert (each.routes, each.keep_until) == (left, 90.0)
        each.lose_daemon(70.0)
        assert each.expire(90.0)
        each.lose_daemon(100.0)
        assert each.expire(160.0)
        assert (each.routes, each.keep_until) == ({}, None)


def test_the_relay_imports_the_standard_library_alone() -> None:
    files = sorted(Path(relay_package.__file__).parent.glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]

    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    names = {name.split(".")[0] for name in imported}

    assert names <= sys.stdlib_module_names
    assert "asyncio" not in names
