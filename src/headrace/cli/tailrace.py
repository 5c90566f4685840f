"""`tailrace`: the endpoint's command line."""

import sys
from ipaddress import IPv4Address
from typing import Annotated

import typer

app = typer.Typer(
    help="Endpoint agent of Headrace: unwraps IP in IP where the kernel has no tunnel device.",
    no_args_is_help=True,
    add_completion=False,
)

_Instance = Annotated[
    str,
    typer.Option(help="Which instance, where a host has several.", envvar="TAILRACE_INSTANCE"),
]


@app.command()
def run(
    vip: Annotated[list[str], typer.Option(help="A VIP on this endpoint's lo; repeat for more.")],
    balancer: Annotated[
        list[str], typer.Option("--from", help="A load balancer's outer source; repeat for more.")
    ],
    interface: Annotated[
        list[str] | None, typer.Option(help="Where they arrive; default: every one that can.")
    ] = None,
    instance: _Instance = "main",
) -> None:
    """Unwrap packets from the load balancers until stopped; what is attached stays."""
    from headrace.agent import AgentSettings
    from headrace.agent import run as run_agent

    settings = AgentSettings(
        instance=instance,
        vips=frozenset(_addresses(vip, "--vip")),
        balancers=frozenset(_addresses(balancer, "--from")),
        interfaces=tuple(interface) if interface else None,
    )
    run_agent(settings)


@app.command()
def detach(instance: _Instance = "main") -> None:
    """Remove everything an instance left in the kernel."""
    from headrace.agent import detach as detach_agent

    detach_agent(instance)


def _addresses(texts: list[str], option: str) -> list[IPv4Address]:
    try:
        return [IPv4Address(text) for text in texts]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; give an IPv4 address", param_hint=option) from error


def main() -> None:
    """Run the command; a failure is one message on stderr and exit code 1."""
    from headrace.model import LbError

    try:
        app()
    except LbError as error:
        print(f"tailrace: {error}", file=sys.stderr)
        sys.exit(1)
