"""The page of the command line, from the commands themselves."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from headrace.cli.main import app as headrace
from headrace.cli.tailrace import app as tailrace
from tests.reference.markdown import block, code, codes, table

_HEAD = """\
# Command line

Generated from the commands themselves; a test compares the two.

Two programs: `headrace` on load balancers, `tailrace` on endpoints that need it. Both end with
exit code 0, or with 1 and one message on stderr; a line that cannot be read ends with 2. `--help`
behind any command shows what is here.

"""

PROGRAMS = {"headrace": headrace, "tailrace": tailrace}

_COMMON = 5
"""An option that so many commands have alike is told once."""


_KINDS = {"str": "TEXT", "text": "TEXT", "int": "NUMBER", "integer": "NUMBER", "float": "NUMBER"}
_KINDS |= {"path": "PATH", "filename": "PATH"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument."""

    names: tuple[str, ...]
    value: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that does something, or a group of them."""

    path: str
    aliases: tuple[str, ...]
    help: str
    usage: str
    arguments: tuple[Option, ...]
    options: tuple[Option, ...]
    is_group: bool


def build_page() -> str:
    """The page in Markdown."""
    return _HEAD + "".join(_program(list(commands(name))) for name in PROGRAMS)


def commands(program: str) -> Iterator[Command]:
    """Every command of a program, those with other commands included."""
    yield from _walk(typer.main.get_command(PROGRAMS[program]), (program,), None, ())


def _walk(
    command: Any, path: tuple[str, ...], parent: Any, aliases: tuple[str, ...]
) -> Iterator[Command]:
    context = command.make_context(path[-1], [], parent=parent, resilient_parsing=True)
    children = (
        [command.get_command(context, name) for name in command.list_commands(context)]
        if hasattr(command, "list_commands")
        else []
    )
    told = [_parameter(each) for each in command.params if not _is_hidden(each)]
    yield Command(
        path=" ".join(path),
        aliases=aliases,
        help=command.help or "",
        usage=re.sub(r"[{}]", "", " ".join(command.collect_usage_pieces(context))),
        arguments=tuple(option for option, is_option in told if not is_option),
        options=tuple(option for option, is_option in told if is_option),
        is_group=bool(children),
    )
    for child in children:
        if not child.hidden:
            others = tuple(sorted(each.name for each in children if _is_alias(each, child)))
            yield from _walk(child, (*path, child.name), context, others)


def _is_alias(one: Any, other: Any) -> bool:
    """Whether a hidden command is another name of one that is shown."""
    return (
        one.hidden
        and one.callback is not None
        and getattr(one.callback, "__wrapped__", one.callback)
        is getattr(other.callback, "__wrapped__", other.callback)
    )


def _is_hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False)) or parameter.name == "help"


def _parameter(parameter: Any) -> tuple[Option, bool]:
    is_option = parameter.param_type_name == "option"
    names = (*parameter.opts, *parameter.secondary_opts) if is_option else (parameter.name,)
    if not is_option and parameter.metavar:
        names = (parameter.metavar,)
    if parameter.required:
        default = "required"
    elif parameter.default in (None, "") or _is_flag(parameter):
        default = ""
    else:
        default = code(getattr(parameter.default, "value", parameter.default))
    if parameter.envvar:
        default = f"{default}, or {code('$' + str(parameter.envvar))}".removeprefix(", or ")
    meaning = parameter.help or ""
    if is_option and parameter.multiple and "repeat" not in meaning:
        meaning = f"{meaning.rstrip('.')}; may be repeated"
    return Option(names, _value(parameter), default, meaning), is_option


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


def _value(parameter: Any) -> str:
    """What stands behind the option."""
    if _is_flag(parameter):
        return ""
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return codes(getattr(each, "value", each) for each in choices)
    metavar = parameter.metavar or _KINDS.get(parameter.type.name.split()[0], "VALUE")
    low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    bounds = f", at least {low:g}" if low is not None else ""
    bounds += f", at most {high:g}" if high is not None else ""
    return code(metavar) + bounds


def _program(found: list[Command]) -> str:
    counts = Counter(option for command in found for option in command.options)
    common = [option for option in counts if counts[option] >= _COMMON]
    top, *rest = found
    page = f"## {top.path}\n\n{_paragraphs(top)}"
    if common:
        page += (
            "Options that many of its commands have; each command names those that it takes:\n\n"
        )
        page += _options(common)
    return page + "".join(_section(command, common) for command in rest)


def _section(command: Command, common: list[Option]) -> str:
    page = f"### {command.path}\n\n{_paragraphs(command)}"
    if command.is_group:
        return page
    page += block(f"{command.path} {command.usage}".rstrip())
    if command.aliases:
        page += f"Also called {codes(command.aliases)}.\n\n"
    if command.arguments:
        rows = [
            (codes(each.names), each.value, each.default, each.meaning)
            for each in command.arguments
        ]
        page += table(("argument", "value", "default", "meaning"), rows)
    own = [option for option in command.options if option not in common]
    page += _options(own) if own else ""
    shared = [option.names[0] for option in command.options if option in common]
    if shared:
        page += f"And {codes(shared)}.\n\n"
    return page


def _options(options: list[Option]) -> str:
    rows = [(codes(each.names), each.value, each.default, each.meaning) for each in options]
    return table(("option", "value", "default", "meaning"), rows)


def _paragraphs(command: Command) -> str:
    """What a command says of itself; a line that is an example stays a line."""
    program, _, verb = command.path.partition(" ")
    page = ""
    for paragraph in command.help.split("\n\n"):
        plain = " ".join(paragraph.split())
        is_example = bool(verb) and plain.startswith(f"{verb} ")
        page += block(f"{program} {plain}", "sh") if is_example else f"{plain}\n\n"
    return page
