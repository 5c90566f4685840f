"""`headrace export`: the document in force, or an earlier one."""

from enum import StrEnum
from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.options import Output, connected
from headrace.cli.output import show_values

app = typer.Typer(add_completion=False)


class ExportOutput(StrEnum):
    """How a document is written."""

    YAML = "yaml"
    JSON = "json"


@app.command()
@connected
def export(
    client: Client,
    revision: Annotated[
        int | None, typer.Option(min=1, help="an earlier one, as `headrace history` shows it")
    ] = None,
    output: Annotated[
        ExportOutput, typer.Option("--output", "-o", help="how to write it")
    ] = ExportOutput.YAML,
) -> None:
    """Write the document in force. Passwords are `<secret>`; applied here, that keeps them."""
    if revision is None:
        document = client.get("/v1/document")
    else:
        document = client.get(f"/v1/revisions/{revision}")["document"]
    show_values(document, Output(output.value))
