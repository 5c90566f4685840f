"""`headrace undrain`: take an endpoint, or this node, back into service."""

from typing import Annotated

import typer

from headrace.cli.client import Client
from headrace.cli.drain import PoolOption
from headrace.cli.options import connected
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
@connected
def undrain_endpoint(
    client: Client,
    address: Annotated[str, typer.Argument(help="the endpoint's own address")],
    pool: PoolOption = None,
) -> None:
    """Send new flows to an endpoint again."""
    answer = client.post(f"/v1/endpoints/{address}/undrain", {"pool": pool})
    show_change(answer, f"{address} takes new flows")


@app.command("node")
@connected
def undrain_node(client: Client) -> None:
    """Announce the VIPs again."""
    show_change(client.post("/v1/node/undrain", {}), "this node announces what works")
