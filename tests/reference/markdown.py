"""Pieces of Markdown that GitHub and the site read alike."""

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    """Text as code; in a cell a bar would end it, so that one is written as HTML."""
    plain = str(text)
    if "|" in plain or "`" in plain:
        escaped = plain.replace("&", "&amp;").replace("<", "&lt;")
        return f"<code>{escaped.replace('|', '&#124;')}</code>"
    return f"`{plain}`"


def codes(texts: Iterable[object]) -> str:
    """Several, with commas between."""
    return ", ".join(code(text) for text in texts)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with an empty line behind it."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines) + "\n"


def block(text: str, language: str = "") -> str:
    """Text as it is, with an empty line behind it."""
    return f"```{language}\n{text.rstrip()}\n```\n\n"


def sentence(text: str) -> str:
    """The text as a sentence: a capital first, a full stop last."""
    plain = " ".join(text.split())
    if not plain:
        return ""
    return plain[0].upper() + plain[1:] + ("" if plain[-1] in ".:!?" else ".")


def anchor(heading: str) -> str:
    """Where a heading of letters, spaces and hyphens is found."""
    return "#" + heading.lower().replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
