"""The documents: commands and configurations that they show are taken, links lead somewhere."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from headrace.cli import main, tailrace
from headrace.cli.client import Failure
from headrace.model import parse_document
from tests.house.source import ROOT, project_files

FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
YAML = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
GOAL = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
ELSEWHERE = {ROOT / "docs/monitoring", ROOT / "docs/reference"}
"""Prometheus' own file; generated from examples with tests of their own, most of them refused."""
PROGRAMS = {"headrace": main.app, "tailrace": tailrace.app}


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def commands_of(document: Path) -> list[list[str]]:
    """Every command in the document's shell blocks, in words; continued lines joined."""
    blocks = "\n".join(FENCE.findall(document.read_text())).replace("\\\n", " ")
    lines = (line.removeprefix("$ ") for line in blocks.splitlines())
    commands = (simple_commands(shlex.split(line, comments=True)) for line in lines)
    return [command for several in commands for command in several]


def simple_commands(words: list[str]) -> Iterator[list[str]]:
    """The commands of a shell's line; each ends where its output goes elsewhere."""
    for is_between, several in groupby(words, lambda word: word in {"|", "&&", "||", ";"}):
        command = list(takewhile(lambda word: word not in {"<", ">", ">>", "&"}, several))
        if command and not is_between:
            yield command


def shown(program: str) -> list[list[str]]:
    found = {
        tuple(command)
        for document in documents()
        for command in commands_of(document)
        if command[0] == program
    }
    return [list(command) for command in sorted(found)]


def configurations() -> dict[str, str]:
    """Every piece of a document that is shown, by where."""
    return {
        f"{path.relative_to(ROOT)}-{number}": textwrap.dedent(match[2])
        for path in documents()
        if ELSEWHERE.isdisjoint(path.parents)
        for number, match in enumerate(YAML.finditer(path.read_text()), start=1)
    }


def refusal(program: str, words: list[str]) -> str:
    """Why a command line would be refused before anything is done; empty where it would not.

    What `lab exec` hands to one of our programs is looked at as well.
    """
    command: Any = typer.main.get_command(PROGRAMS[program])
    name: str | None = program
    context = None
    try:
        while True:
            context = command.make_context(name, list(words), parent=context)
            if not isinstance(command, TyperGroup):
                break
            rest = [*getattr(context, "_protected_args", []), *context.args]
            name, command, words = command.resolve_command(context, rest)
    except UsageError as error:
        return error.format_message()
    except Failure as failure:
        return str(failure)
    handed_on = context.params.get("command") if name == "exec" else None
    return refusal(handed_on[0], handed_on[1:]) if handed_on and handed_on[0] in PROGRAMS else ""


def test_every_make_goal_that_is_shown_exists() -> None:
    goals = set(GOAL.findall((ROOT / "Makefile").read_text()))
    words = [word for command in shown("make") for word in command[1:] if "=" not in word]

    assert words
    assert [word for word in words if word not in goals] == []


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, id=shlex.join(c)) for program in PROGRAMS for c in shown(program)],
)
def test_a_shown_command_takes_what_is_shown(command: list[str]) -> None:
    assert refusal(command[0], command[1:]) == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param("pour", "No such command", id="an unknown verb"),
        pytest.param("status --loud", "No such option", id="an unknown option"),
        pytest.param("rollback seventeen", "not a valid int", id="a value of another kind"),
        pytest.param("lab exec llb1 headrace pour", "No such command", id="handed on by exec"),
    ],
)
def test_a_command_that_would_be_refused_is_told_apart(words: str, reason: str) -> None:
    assert reason in refusal("headrace", words.split())


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name) for name, text in configurations().items()]
)
def test_a_shown_configuration_is_valid(text: str) -> None:
    assert parse_document(text) is not None


def test_every_link_inside_the_tree_leads_somewhere() -> None:
    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents()
        for target in LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]

    assert dead == []
