"""`headrace undrain`: take an endpoint, or this node, back into service."""

from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.drain import PoolOption
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    ServerOption,
    TimeoutOption,
)
from headrace.cli.output import show_change

app = typer.Typer(
    help="Take an endpoint or this node back into service.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _undrain() -> None:
    """Take an endpoint or this node back into service."""


@app.command("endpoint")
def undrain_endpoint(
    address: Annotated[str, typer.Argument(help="the endpoint's own address")],
    pool: PoolOption = None,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Send new flows to an endpoint again."""
    client = Client(server=server, instance=instance, timeout_s=timeout)
    answer = client.post(f"/v1/endpoints/{address}/undrain", {"pool": pool})
    show_change(answer, f"{address} takes new flows")


@app.command("node")
def undrain_node(
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Announce the VIPs again."""
    client = Client(server=server, instance=instance, timeout_s=timeout)
    show_change(client.post("/v1/node/undrain", {}), "this node announces what works")
