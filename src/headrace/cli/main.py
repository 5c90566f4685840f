"""`headrace`: the command line of a load balancer."""

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headrace.cli.client import Failure
from headrace.cli.options import PortOption, ServersOption, at_port

_COMMANDS = (
    "run",
    "detach",
    "create",
    "get",
    "delete",
    "set",
    "save",
    "import",
    "validate",
    "diff",
    "apply",
    "export",
    "history",
    "rollback",
    "drain",
    "undrain",
    "status",
    "events",
    "log-level",
    "report",
    "explain",
    "capture",
    "doctor",
    "token",
    "simulate",
    "lab",
    "bench",
    "version",
)


class _LazyGroup(TyperGroup):
    """Imports a command's module only when that command is called or listed."""

    _asked: frozenset[str] = frozenset()  # the words behind the program's name

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - click's own
        return list(_COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - click's own
        self._asked = frozenset(args)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - click's own
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_") + "_" * (cmd_name == "import")  # a word of Python's
        module = importlib.import_module(f"headrace.cli.{name}")
        command = _command_of(module.app, self._asked)
        command.name = cmd_name
        return command


def _command_of(group: typer.Typer, asked: frozenset[str]) -> Any:  # noqa: ANN401 - typer's own
    """The command, or the group of those that are asked for; of all where none is.

    `get` has twenty, and each takes typer a millisecond.
    """
    every = group.registered_commands
    named = [each for each in every if each.name in asked]
    if group.registered_callback is not None and named:
        group.registered_commands = named
    try:
        return typer.main.get_command(group)
    finally:
        group.registered_commands = every


app = typer.Typer(
    cls=_LazyGroup,
    help="Load balancer for anycast services with direct server return.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _headrace(
    token_file: Annotated[
        str, typer.Option(help="has the token for --server https://...; or HEADRACE_TOKEN has it")
    ] = "",
    ca_file: Annotated[
        str, typer.Option(help="PEM file: authority of the server's certificate")
    ] = "",
    server: ServersOption = None,
    port: PortOption = None,
) -> None:
    """Load balancer for anycast services with direct server return."""
    told = {
        "HEADRACE_TOKEN_FILE": token_file,
        "HEADRACE_CA_FILE": ca_file,
        # Several in one variable, as typer reads them.
        "HEADRACE_SERVER": " ".join(at_port(server or [], port)),
    }
    os.environ.update({name: value for name, value in told.items() if value})


def main() -> None:
    """Run the command; a failure is one message on stderr and its exit code."""
    try:
        app()
    except Failure as failure:
        print(f"headrace: {failure}", file=sys.stderr)
        sys.exit(failure.code)
