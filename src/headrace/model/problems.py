"""What pydantic finds wrong with a document, in our words: the thing, the rule, the remedy."""

import re
import reprlib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from headrace.model.errors import ConfigError, Problem
from headrace.model.limits import LIMIT_PROBLEMS

Location = tuple[int | str, ...]
Finding = tuple[Location, str]
"""Where something is wrong in what a validator was given, and what."""

_SECRETS = frozenset({"password"})
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,127}")


def refusal(problems: list[Problem]) -> ConfigError:
    """The error for these problems; beyond a limit they are only counted."""
    rest = len(problems) - LIMIT_PROBLEMS
    return ConfigError(problems if rest <= 0 else [*problems[:LIMIT_PROBLEMS], _more(rest)])


def problems_of(error: ValidationError) -> list[Problem]:
    """Pydantic's findings, each with its path; beyond a limit they are only counted."""
    found = [each for each in error.errors(include_url=False) if not _is_echo(each)]
    problems = [
        Problem(path_of(_without_tags(each["loc"])), _message_of(each))
        for each in found[:LIMIT_PROBLEMS]
    ]
    rest = len(found) - LIMIT_PROBLEMS
    return problems if rest <= 0 else [*problems, _more(rest)]


def too_long(count: int | None, limit: int) -> str:
    """What is wrong with a list of so many entries, or of more than can be counted."""
    entries = f"{count} entries are" if count is not None else "there are entries"
    return f"{entries} over the limit of {limit}; serve some from other nodes"


def _more(count: int) -> Problem:
    return Problem("", f"{count} more problems are not shown; mend these first")


def refuse_all(findings: Iterable[Finding]) -> None:
    """Raise for what a validator has found, if anything: each finding keeps its own path."""
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("contradiction", "{text}", {"text": text}),
            loc=location,
            input=None,
        )
        for location, text in findings
    ]
    if errors:
        raise ValidationError.from_exception_data("contradictions", errors)


def path_of(location: Location) -> str:
    """`services[2].endpoints[0].weight` from the steps that lead there."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{shown(part)}]"
    return path


def shown(value: object) -> str:
    """A value as text that is short whatever it is."""
    try:
        return _short.repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        return "a huge number"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 48
_short.maxlevel = 2
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 3


def _is_echo(details: ErrorDetails) -> bool:
    """Pydantic also calls a list too short when all its entries are broken, each told already."""
    return details["type"] == "too_short" and bool(details["input"])


def _without_tags(location: Location) -> Location:
    """Pydantic marks a problem of a mapping's key itself by a last step `[key]`."""
    return tuple(part for part in location if part != "[key]")


def _message_of(details: ErrorDetails) -> str:
    secret = bool(details["loc"]) and details["loc"][-1] in _SECRETS
    value = "this" if secret else shown(details["input"])
    message = _MESSAGES.get(details["type"])
    if message is not None:
        return message(value, details.get("ctx", {}))
    return details["msg"].removeprefix("Value error, ")


_MESSAGES: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "extra_forbidden": lambda _value, _: "no such key here; remove it or correct its spelling",
    "invalid_key": lambda _value, _: "no such key here; remove it or correct its spelling",
    "missing": lambda _value, _: "is required; add it",
    "string_type": lambda value, _: f"{value} is not text; put it in quotes",
    "string_too_short": lambda _value, _: "is empty; give at least one character",
    "string_too_long": lambda value, context: (
        f"{value} is over the limit of {context['max_length']} characters; shorten it"
    ),
    "string_pattern_mismatch": lambda value, _: (
        f"{value} has characters that names must not have; use letters, digits and _ . : / [ ] -"
    ),
    "enum": lambda value, context: f"{value} is not served; use {context['expected']}",
    "tuple_type": lambda value, _: f"{value} is not a list; write its entries one by one",
    "dict_type": lambda value, _: f"{value} is not a mapping of keys to values; write it as one",
    "model_type": lambda value, _: f"{value} is not a mapping of keys to values; write it as one",
    "too_short": lambda _value, _: "is empty; give at least one entry or leave it out",
    "too_long": lambda _value, context: too_long(context["actual_length"], context["max_length"]),
    "recursion_loop": lambda _value, _: "contains itself; write its content out",
}
