"""`headrace drain`: take new flows from an endpoint, or a node out of the routers' choice."""

import time
from typing import Annotated, Any

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    ServersOption,
    connected,
    on_each,
)
from headrace.cli.output import show_change

app = typer.Typer(
    help="Take an endpoint or this node out of service, without losing a flow.",
    no_args_is_help=True,
    add_completion=False,
)

_LOOK_S = 0.2
"""Between two looks whether a node is drained."""

PoolOption = Annotated[
    str | None,
    typer.Option(help="only in this pool: its name, or the key of the service whose own it is"),
]


@app.callback()
def _drain() -> None:
    """Take an endpoint or this node out of service, without losing a flow."""


@app.command("endpoint")
def drain_endpoint(
    address: Annotated[str, typer.Argument(help="the endpoint's own address")],
    pool: PoolOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0, help="seconds that old flows may last; without end if absent"
        ),
    ] = None,
    instance: InstanceOption = INSTANCE,
    server: ServersOption = None,
) -> None:
    """Send new flows elsewhere; old ones stay. `headrace status` shows what is left of them."""
    body: dict[str, Any] = {"pool": pool, "timeout_s": timeout}

    def ask(one: str | None) -> None:
        client = Client(server=one, instance=instance, timeout_s=TIMEOUT_S)
        show_change(client.post(f"/v1/endpoints/{address}/drain", body), f"{address} drains")

    on_each(server or [], ask)


@app.command("node")
@connected
def drain_node(
    client: Client,
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="seconds from asking routers to go elsewhere to the withdrawal"),
    ] = None,
) -> None:
    """Ask routers to prefer other nodes (RFC 8326), then withdraw every VIP: for maintenance.

    Returns when nothing is announced any more. `headrace undrain node` has it announced again.
    Of several servers the next one drains when the one before is drained.
    """
    show_change(client.post("/v1/node/drain", {"wait_s": wait}), "this node drains")
    node = client.get("/v1/status")
    deadline = time.monotonic() + (node["drain_left_s"] or 0.0) + TIMEOUT_S
    while node["drain"] != "drained" or any(each["announced"] for each in node["services"]):
        if node["drain"] == "active":
            raise Failure("this node was told to drain no longer")
        if time.monotonic() > deadline:
            raise Failure("VIPs are still announced; `headrace status` says why")
        time.sleep(_LOOK_S)
        node = client.get("/v1/status")
    print("this node is drained: no VIP is announced")
