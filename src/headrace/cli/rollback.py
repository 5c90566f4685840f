"""`headrace rollback`: put an earlier revision in force again."""

from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.options import connected
from headrace.cli.output import show_change

app = typer.Typer(add_completion=False)


@app.command()
@connected
def rollback(
    client: Client,
    number: Annotated[int, typer.Argument(min=1, help="as `headrace history` shows it")],
) -> None:
    """Put an earlier revision's document in force, with its passwords, as a new revision."""
    answer = client.post(f"/v1/revisions/{number}/rollback", {})
    show_change(answer, f"the document of revision {number} is in force")
