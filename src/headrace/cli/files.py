"""Reads the document that a command is given."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.client import Failure

if TYPE_CHECKING:
    from headrace.model import Document

FileOption = Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - is stdin")]


def read_text(file: str) -> str:
    """The text of a file, or of stdin for `-`; Failure when it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error


def parse_text(text: str) -> "Document":
    """The document that a text is, as `PUT /v1/document` takes it. Raises ConfigError."""
    from headrace.model import ConfigError, build_document, parse_values

    raw = parse_values(text)
    if raw is None:  # as of a file that was cut off, or a program that failed
        raise ConfigError.at(
            "", "the document is empty, which would remove all; send {} if that is meant"
        )
    return build_document(raw)
