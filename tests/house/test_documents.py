"""The documents: the commands they show exist and take the options shown, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import main, tailrace
from tests.house.source import ROOT, project_files

FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
GOAL = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PROGRAMS = {"headrace": main.app, "tailrace": tailrace.app}


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def commands_of(document: Path) -> list[list[str]]:
    """Every command in the document's shell blocks, in words; continued lines joined."""
    blocks = "\n".join(FENCE.findall(document.read_text())).replace("\\\n", " ")
    lines = (line.removeprefix("$ ") for line in blocks.splitlines())
    commands = (shlex.split(line, comments=True) for line in lines)
    return [command for command in commands if command]


def shown(program: str) -> list[list[str]]:
    found = {
        tuple(command)
        for document in documents()
        for command in commands_of(document)
        if command[0] == program
    }
    return [list(command) for command in sorted(found)]


def asking_for_help(words: list[str]) -> list[str]:
    """The words with --help, which runs nothing and still fails for an unknown verb or option."""
    if "exec" in words:  # what follows it belongs to another program
        return [*words[: words.index("exec") + 1], "--help"]
    return [*words, "--help"]


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
    done = CliRunner().invoke(PROGRAMS[command[0]], asking_for_help(command[1:]))

    assert done.exit_code == 0, done.output


def test_every_link_inside_the_tree_leads_somewhere() -> None:
    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents()
        for target in LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]

    assert dead == []
