"""`headrace set`: the grammar of `loxicmd set`."""

import json
from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.options import connected
from headrace.cli.rules import BFD, CONFIG

app = typer.Typer(
    help="Set something of a running daemon.", no_args_is_help=True, add_completion=False
)


@app.callback()
def _set() -> None:
    """Set something of a running daemon."""


@app.command("log-level")
@connected
def set_log_level(
    client: Client,
    level: Annotated[
        str, typer.Argument(metavar="LEVEL", help="debug, info, warning or error; or LoxiLB's")
    ],
) -> None:
    """Log more or less, until the daemon ends."""
    print(client.send("POST", f"{CONFIG}/params", json.dumps({"logLevel": level}))["result"])


@app.command("bfd")
@connected
def set_bfd(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the BGP peer that is watched")],
    *,
    interval: Annotated[
        int, typer.Option(help="microseconds between two packets; 0: as it is")
    ] = 0,
    retry_count: Annotated[
        int,
        typer.Option("--retryCount", help="packets missed in a row that mean down; 0: as it is"),
    ] = 0,
) -> None:
    """Have BFD watch a BGP peer faster or slower; the times are those of all peers."""
    body = {
        "instance": "default",
        "remoteIp": address,
        "interval": interval,
        "retryCount": retry_count,
    }
    print(client.send("POST", BFD, json.dumps(body))["result"])
