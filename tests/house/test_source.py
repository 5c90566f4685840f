"""Ratchets and banned calls: what a reader of the source can rely on."""

import ast
import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.house.source import ROOT, Module, project_files, python_modules

LIMIT_FUNCTION_LINES = 60
"""One screen."""

LIMIT_MODULE_LINES = 500
"""What a reader can hold; a longer module has two subjects."""

DATA_PLANE_LICENCE = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"


DEFINED = re.compile(r"^#define (\w+)", re.MULTILINE)


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def calls(module: Module) -> list[ast.Call]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]


def is_print(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "print"


def is_wall_clock(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "time.time"


def is_shell(call: ast.Call) -> bool:
    return any(word.arg == "shell" for word in call.keywords) or ast.unparse(call.func) in {
        "os.system",
        "os.popen",
        "asyncio.create_subprocess_shell",
    }


def is_bare_task(call: ast.Call) -> bool:
    """A task that no group waits for: its failure would be lost."""
    receiver, _, name = ast.unparse(call.func).rpartition(".")
    return name == "ensure_future" or (
        name == "create_task"
        and (receiver in {"", "asyncio"} or receiver.endswith(("loop", "loop()")))
    )


def test_a_function_fits_a_screen() -> None:
    too_long = [
        f"{module.at(node)}: {node.name} has {function_lines(node)} lines"
        for module in python_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and function_lines(node) > LIMIT_FUNCTION_LINES
    ]

    assert too_long == []


def test_a_module_has_one_subject() -> None:
    lengths = {module.name: len(module.text.splitlines()) for module in python_modules()}

    assert {name: n for name, n in lengths.items() if n > LIMIT_MODULE_LINES} == {}


@pytest.mark.parametrize(
    ("is_banned", "folders", "allowed"),
    [
        pytest.param(is_print, ["src"], "src/headrace/cli/", id="print outside the command line"),
        pytest.param(is_wall_clock, ["src", "tests"], None, id="the wall clock"),
        pytest.param(is_shell, ["src", "tests"], None, id="a shell"),
        pytest.param(is_bare_task, ["src", "tests"], None, id="a task nobody waits for"),
    ],
)
def test_nothing_calls(
    is_banned: Callable[[ast.Call], bool], folders: list[str], allowed: str | None
) -> None:
    found = [
        f"{module.at(call)}: {ast.unparse(call)}"
        for module in python_modules(*folders)
        if allowed is None or not module.name.startswith(allowed)
        for call in calls(module)
        if is_banned(call)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("source", "is_banned"),
    [
        ("print('x')", is_print),
        ("time.time()", is_wall_clock),
        ("subprocess.run('x', shell=True)", is_shell),
        ("os.system('x')", is_shell),
        ("asyncio.create_task(x())", is_bare_task),
        ("asyncio.get_running_loop().create_task(x())", is_bare_task),
        ("self._loop.create_task(x())", is_bare_task),
        ("asyncio.ensure_future(x())", is_bare_task),
    ],
)
def test_a_banned_call_is_recognised(source: str, is_banned: Callable[[ast.Call], bool]) -> None:
    call = ast.parse(source, mode="eval").body

    assert isinstance(call, ast.Call)
    assert is_banned(call)


@pytest.mark.parametrize("source", ["group.create_task(x())", "self._tasks.create_task(x())"])
def test_a_task_of_a_group_is_no_bare_task(source: str) -> None:
    call = ast.parse(source, mode="eval").body

    assert isinstance(call, ast.Call)
    assert not is_bare_task(call)


def test_the_data_plane_says_its_licence_on_the_first_line() -> None:
    folder = ROOT / "src/headrace/dataplane/bpf"
    sources = [p for p in project_files() if p.parent == folder and p.suffix in {".c", ".h"}]

    silent = [p.name for p in sources if DATA_PLANE_LICENCE not in p.read_text().split("\n")[0]]

    assert sources
    assert silent == []


def test_every_name_that_the_c_defines_is_used() -> None:
    """By it or, of what both share, by Python; no compiler tells of one in a header."""
    texts = [p.read_text() for p in project_files() if p.is_relative_to(ROOT / "src")]
    words = Counter(word for text in texts for word in re.findall(r"\w+", text))
    defined = [name for text in texts for name in DEFINED.findall(text)]

    assert defined
    assert [name for name in defined if words[name] == 1] == []


def test_every_limit_is_kept_by_somebody() -> None:
    """The page of limits says that what is over one is refused."""
    texts = [p.read_text() for p in project_files() if p.is_relative_to(ROOT / "src")]
    words = Counter(word for text in texts for word in re.findall(r"\w+", text))
    limits = [name for name in words if name.startswith(("LIMIT_", "SLOT_COUNT_", "SLOTS_PER_"))]

    assert limits
    assert [name for name in limits if words[name] == 1] == []
