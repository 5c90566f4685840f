"""`headrace log-level`: how much a running daemon logs."""

import json
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

app = typer.Typer(add_completion=False)


@app.command()
def log_level(
    level: Annotated[
        str | None, typer.Argument(help="debug, info, warning or error; none: show it")
    ] = None,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show how much a running daemon logs, or change it until the daemon ends."""
    client = Client(server=server, instance=instance, timeout_s=timeout)
    path = "/v1/log-level"
    told = (
        client.get(path)
        if level is None
        else client.send("PUT", path, json.dumps({"level": level}))
    )
    print(told["level"])
