"""`headrace history`: who changed the document, when, and what."""

from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.options import Output, OutputOption, connected
from headrace.cli.output import show_table, show_values

app = typer.Typer(add_completion=False)


@app.command()
@connected
def history(
    client: Client,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=100, help="how many revisions")
    ] = 20,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the newest revisions of the document: number, when, author, what changed."""
    revisions = client.get(f"/v1/revisions?limit={number}")
    if output in {Output.JSON, Output.YAML}:
        show_values(revisions, output)
        return
    rows = [
        [each["number"], _when(each["time"]), each["author"], each["change"]] for each in revisions
    ]
    show_table(["Revision", "When", "Author", "Change"], rows)


def _when(time: str) -> str:
    """`2026-01-02 03:04:05Z` of a time in ISO 8601, UTC."""
    return f"{time[:10]} {time[11:19]}Z"
