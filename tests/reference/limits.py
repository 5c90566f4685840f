"""The page of limits, from every room that has some."""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house.source import Module, python_modules, room_names
from tests.reference.markdown import code, table

_HEAD = """\
# Limits

Generated from the source, where each limit stands with its reason; a test compares the two. What
is over a limit is refused, and the refusal names the limit.

"""

_TITLES = {
    "model": "Of the document and the data plane",
    "dataplane": "Of the data plane's programs and their loader",
    "api": "Of the API",
    "bgp": "Of BGP",
    "health": "Of health checks",
    "underlay": "Of routes and next hops",
    "control": "Of the reconciler",
    "store": "Of the revisions kept",
    "agent": "Of the endpoint's agent",
    "cli": "Of the command line",
}
"""By room, in this order; others come behind, by their names."""

_NOT_IN_PRODUCTION = {"bench", "lab"}
_PREFIXES = ("LIMIT_", "SLOT_COUNT_", "SLOTS_PER_")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, its value, and why it is so."""

    name: str
    value: object
    reason: str
    module: str


def build_page() -> str:
    """The page in Markdown."""
    page = _HEAD
    others = [name for name in room_names() if name not in _NOT_IN_PRODUCTION | _TITLES.keys()]
    for room in (*_TITLES, *others):
        rows = [(code(each.name), _number(each.value), each.reason) for each in limits_of(room)]
        if rows:
            page += f"## {_TITLES.get(room, f'Of the {room}')}\n\n" + table(
                ("limit", "value", "why"), rows
            )
    return page


def limits_of(room: str) -> list[Limit]:
    """The limits of a room, in the order of its files and their lines."""
    return [limit for module in python_modules(f"src/headrace/{room}") for limit in _limits(module)]


def _limits(module: Module) -> Iterator[Limit]:
    for line, behind in zip(module.tree.body, module.tree.body[1:], strict=False):
        name = _assigned(line)
        is_text = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
        if name is not None and name.startswith(_PREFIXES) and is_text:
            dotted = module.name.removeprefix("src/").removesuffix(".py").replace("/", ".")
            value = getattr(importlib.import_module(dotted), name)
            reason = " ".join(str(behind.value.value).split())  # type: ignore[attr-defined]
            yield Limit(name, value, reason, module.name)


def _assigned(line: ast.stmt) -> str | None:
    """The name that a line gives a value to."""
    if isinstance(line, ast.AnnAssign):
        target: ast.expr = line.target
    elif isinstance(line, ast.Assign) and len(line.targets) == 1:
        target = line.targets[0]
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
