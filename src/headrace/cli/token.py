"""`headrace token`: who may use the API from elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import Failure
from headrace.cli.options import INSTANCE, InstanceOption, Output, OutputOption
from headrace.cli.output import show_table, show_values
from headrace.cli.run import STATE_ROOT

app = typer.Typer(
    help="Tokens that open a node's API: made, shown and revoked on the node.",
    no_args_is_help=True,
    add_completion=False,
)

NameArgument = Annotated[str, typer.Argument(help="whose it is, as the history will show it")]
StateOption = Annotated[
    Path | None,
    typer.Option(help="the daemon's folder for revisions; /var/lib/headrace/INSTANCE if absent"),
]


@app.command()
def create(
    name: NameArgument,
    role: Annotated[str, typer.Option(help="read, or write to change things too")],
    instance: InstanceOption = INSTANCE,
    state: StateOption = None,
) -> None:
    """Make a token and print it, this once: it is kept nowhere."""
    from datetime import UTC, datetime

    from headrace.api import Role, TokenFile
    from headrace.model import LbError

    if role not in list(Role):
        raise Failure(f"--role {role}: write read or write")
    try:
        tokens = TokenFile(state or STATE_ROOT / instance)
        print(tokens.create(name, Role(role), datetime.now(UTC)))
    except LbError as error:
        raise Failure(str(error)) from error


@app.command("list")
def list_tokens(
    instance: InstanceOption = INSTANCE,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show whose tokens there are, not the tokens themselves."""
    from headrace.api import TokenFile
    from headrace.model import LbError

    try:
        tokens = TokenFile(state or STATE_ROOT / instance).tokens()
    except LbError as error:
        raise Failure(str(error)) from error
    rows = [
        (token.name, str(token.role), token.created.isoformat(" ", "seconds")) for token in tokens
    ]
    if output in {Output.TABLE, Output.WIDE}:
        show_table(("name", "role", "created"), rows)
    else:
        show_values(
            [dict(zip(("name", "role", "created"), row, strict=True)) for row in rows], output
        )


@app.command()
def revoke(
    name: NameArgument, instance: InstanceOption = INSTANCE, state: StateOption = None
) -> None:
    """Have a token open nothing any more; the daemon notices by itself."""
    from headrace.api import TokenFile
    from headrace.model import LbError

    try:
        TokenFile(state or STATE_ROOT / instance).revoke(name)
    except LbError as error:
        raise Failure(str(error)) from error
    print(f"token {name} is revoked")
