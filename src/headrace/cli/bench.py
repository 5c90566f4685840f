"""`headrace bench`: what a packet costs on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace import bench
from headrace.cli.client import Failure
from headrace.model.errors import LbError

app = typer.Typer(
    help="Measure the data plane on this machine.", no_args_is_help=True, add_completion=False
)


@app.callback()
def _bench() -> None:
    """Measure the data plane on this machine."""


@app.command()
def packet(
    rounds: Annotated[int, typer.Option(min=1, help="how often each case is measured")] = 11,
    iterations: Annotated[int, typer.Option(min=1000, help="packets a round")] = 200_000,
    only: Annotated[str, typer.Option(help="cases whose name has this in it")] = "",
    json_file: Annotated[
        Path, typer.Option("--json", help="the file that keeps the figures")
    ] = Path("bench-packet.json"),
) -> None:
    """Measure ns a packet: every packet as it comes from the wire, nothing attached, needs root."""
    console = Console()
    cases = [case for case in bench.all_cases() if only in case.name]
    if not cases:
        raise Failure(f"no case has {only!r} in its name")
    figures = []
    try:
        for case in cases:
            console.print(f"measuring {case.name}", style="dim")
            figures.append(bench.measure(case, rounds=rounds, iterations=iterations))
    except LbError as error:
        raise Failure(str(error)) from error
    bench.show(figures, console)
    bench.write_json(figures, json_file)
    console.print(f"kept in {json_file}", style="dim")
    if any(figure.strange for figure in figures):
        raise typer.Exit(1)
