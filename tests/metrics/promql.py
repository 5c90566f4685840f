"""What a PromQL expression names, read well enough to compare it with the table."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORDS = {"and", "or", "unless", "bool", "offset"}
_STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(rf"\s*(\w+)\s*(?:=~|!~|!=|=)\s*({_STRING})\s*,?")
_LABEL_LIST = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", re.ASCII
)
_SELECTOR = re.compile(rf"(?<![\w$])([a-zA-Z_:][\w:]*)(\{{(?:[^}}\"]|{_STRING})*\}})?(?!\w|\s*\()")
_RANGE = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric in an expression, and the labels that are asked of it."""

    name: str
    matchers: tuple[tuple[str, str], ...]  # label and value, as it is written
    is_rate: bool  # it stands in rate() or increase()


def selectors_of(expression: str) -> Iterator[Selector]:
    """Every metric that an expression reads."""
    text = _LABEL_LIST.sub("()", expression)
    for found in _SELECTOR.finditer(text):
        name, braces = found[1], found[2] or ""
        if name in _WORDS or _is_in_range(text, found.start()):
            continue
        matchers = tuple(
            (label, value[1:-1]) for label, value in _MATCHER.findall(braces.strip("{}"))
        )
        before = text[: found.start()].rstrip()
        yield Selector(name, matchers, before.endswith(("rate(", "increase(")))


def labels_of(expression: str) -> set[str]:
    """The labels that an expression groups, joins or matches by."""
    lists = (each.split(",") for each in _LABEL_LIST.findall(expression))
    named = {label.strip() for labels in lists for label in labels if label.strip()}
    return named | {
        label for selector in selectors_of(expression) for label, _ in selector.matchers
    }


def _is_in_range(text: str, at: int) -> bool:
    return any(found.start() < at < found.end() for found in _RANGE.finditer(text))
