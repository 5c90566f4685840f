"""`headrace diff`: what `apply` of a document would change."""

import difflib
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.files import FileOption, read_text
from headrace.cli.options import Output, connected
from headrace.cli.output import show_values

app = typer.Typer(add_completion=False)

_TROUBLE = 2  # as diff(1): 0 is the same, 1 differs


class DiffOutput(StrEnum):
    """How differences are shown."""

    UNIFIED = "unified"
    JSON = "json"


@app.command()
@connected
def diff(
    client: Client,
    file: FileOption,
    output: Annotated[
        DiffOutput,
        typer.Option("--output", "-o", help="lines of YAML, or paths added, removed, changed"),
    ] = DiffOutput.UNIFIED,
) -> None:
    """Show what applying a document would change. Exit code 0: nothing, 1: something, 2: trouble.

    Passwords are not compared: the daemon tells none.
    """
    try:
        after = _read(file)
        before = client.get("/v1/document")
    except Failure as failure:
        failure.code = _TROUBLE
        raise
    _show(before, after, file, output)
    if before != after:
        raise typer.Exit(1)


def _read(file: str) -> object:
    """A file's document as plain values, as the daemon would tell it."""
    text = read_text(file)

    from headrace.api.redaction import hide_secrets
    from headrace.model import ConfigError, parse_replacement
    from headrace.model.comparing import document_values

    try:
        return document_values(hide_secrets(parse_replacement(text)))
    except ConfigError as error:
        raise Failure(str(error)) from error


def _show(before: object, after: object, file: str, output: DiffOutput) -> None:
    from headrace.model.comparing import compare_values, dump_yaml

    if output is DiffOutput.JSON:
        show_values(asdict(compare_values(before, after)), Output.JSON)
        return
    old, new = dump_yaml(before).splitlines(), dump_yaml(after).splitlines()
    for line in difflib.unified_diff(old, new, "in force", file, lineterm=""):
        print(line)
