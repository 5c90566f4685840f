"""`headrace lab`: networks to try things in, which touch nothing outside of themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from headrace import lab
from headrace.cli.client import Failure
from headrace.model.bgp import SpeakerKind
from headrace.model.errors import LbError

app = typer.Typer(
    help="Build whole networks in namespaces of their own: to see, to test, to play.",
    no_args_is_help=True,
    add_completion=False,
)

prove_app = typer.Typer(
    help="Measure what is promised, at full length.", no_args_is_help=True, add_completion=False
)
app.add_typer(prove_app, name="prove")

_NAME = "demo"

_Topology = Annotated[str, typer.Argument(help="the topology to build")]
_Lab = Annotated[str, typer.Argument(help="the lab's name")]


@app.command()
def demo() -> None:
    """Show the seed's network at work, step by step; exit code 0 only if every claim held."""
    with _failures():
        code = lab.run_demo(Console())
    raise typer.Exit(code)


@app.command("list")
def list_() -> None:
    """Show the topologies that there are."""
    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "NODES", "WHAT IT IS"):
        table.add_column(heading, overflow="fold")
    for topology in lab.TOPOLOGIES.values():
        table.add_row(topology.name, str(len(topology.nodes)), topology.title)
    Console().print(table)


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="stars to check; all of them if absent")
    ] = None,
) -> None:
    """Build each star, show whether all that it is there for holds, and remove it again.

    Exit code 0 only if every claim held.
    """
    with _failures():
        code = lab.run_checks(names or [], Console())
    raise typer.Exit(code)


@prove_app.command()
def announce(
    speakers: Annotated[
        list[SpeakerKind] | None, typer.Option("--speaker", help="only this one; can be repeated")
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="fewer runs, fewer connections")] = False,
) -> None:
    """Kill, silence, drain and mislead load balancers; each figure beside its bound.

    Exit code 0 only if every bound and every claim held.
    """
    with _failures():
        chosen = speakers or list(SpeakerKind)
        code = lab.prove_announce(Console(), speakers=chosen, short=short)
    raise typer.Exit(code)


@app.command()
def up(
    topology: _Topology = _NAME,
    name: Annotated[
        str | None, typer.Option("--lab", help="the lab's name; the topology's if absent")
    ] = None,
) -> None:
    """Build a topology, start everything in it and leave it running."""
    with _failures():
        code = lab.up(topology, Console(), name=name)
    raise typer.Exit(code)


@app.command(
    "exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True}
)
def exec_(
    node: Annotated[str, typer.Argument(help="a node of the lab, such as llb1")],
    command: Annotated[list[str], typer.Argument(help="the command and its arguments")],
    name: Annotated[str, typer.Option("--lab", help="the lab's name")] = _NAME,
) -> None:
    """Run a command on a node of a lab that is up."""
    with _failures():
        lab.exec_in(name, node, command)


@app.command()
def down(name: _Lab = _NAME) -> None:
    """Remove a lab that was left running or has crashed."""
    with _failures():
        removed = lab.down(name)
    if not removed:
        typer.echo(f"there is no lab {name}")


@contextmanager
def _failures() -> Iterator[None]:
    """Say what went wrong as every command does."""
    try:
        yield
    except LbError as error:
        raise Failure(str(error)) from error
