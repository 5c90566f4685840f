"""`headrace rollback`: put an earlier revision in force again."""

from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    ServerOption,
    TimeoutOption,
)
from headrace.cli.output import show_change

app = typer.Typer(add_completion=False)


@app.command()
def rollback(
    number: Annotated[int, typer.Argument(min=1, help="as `headrace history` shows it")],
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Put an earlier revision's document in force, with its passwords, as a new revision."""
    client = Client(server=server, instance=instance, timeout_s=timeout)
    answer = client.post(f"/v1/revisions/{number}/rollback", {})
    show_change(answer, f"the document of revision {number} is in force")
