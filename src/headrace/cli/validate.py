"""`headrace validate`: whether a document would be taken, asked of no daemon."""

from enum import StrEnum
from typing import Annotated

import typer

from headrace.cli.client import Failure
from headrace.cli.files import FileOption, read_text
from headrace.cli.options import Output
from headrace.cli.output import show_values

app = typer.Typer(add_completion=False)


class ValidateOutput(StrEnum):
    """How the outcome is shown."""

    TEXT = "text"
    JSON = "json"


@app.command()
def validate(
    file: FileOption,
    output: Annotated[
        ValidateOutput,
        typer.Option("--output", "-o", help="lines, or every problem with its path as JSON"),
    ] = ValidateOutput.TEXT,
) -> None:
    """Say whether a document is valid, or every problem that it has. No daemon is asked."""
    text = read_text(file)

    from headrace.model import ConfigError, parse_replacement

    try:
        document = parse_replacement(text)
    except ConfigError as error:
        if output is ValidateOutput.TEXT:
            raise Failure(str(error)) from error
        found = [{"path": each.path, "message": each.message} for each in error.problems]
        show_values({"valid": False, "problems": found}, Output.JSON)
        raise typer.Exit(1) from error
    if output is ValidateOutput.JSON:
        show_values({"valid": True, "problems": []}, Output.JSON)
    else:
        services = _counted(len(document.services), "service")
        print(f"{file}: valid, {services}, {_counted(len(document.pools), 'pool')}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
