"""Reads the document that a command is given."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import Failure

FileOption = Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - is stdin")]


def read_text(file: str) -> str:
    """The text of a file, or of stdin for `-`; Failure when it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error
