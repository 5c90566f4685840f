"""`headrace token`: who may use the API from elsewhere."""

from datetime import UTC, datetime
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
    expires: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="from then on, UTC, it opens nothing; it stays until it is revoked if absent",
        ),
    ] = None,
    instance: InstanceOption = INSTANCE,
    state: StateOption = None,
) -> None:
    """Make a token and print it, this once: it is kept nowhere."""
    from headrace.api import Role, TokenFile
    from headrace.model import LbError

    now = datetime.now(UTC)
    end = None if expires is None else expires.replace(tzinfo=UTC)
    if end is not None and end <= now:
        raise Failure(f"--expires {end:%Y-%m-%dT%H:%M:%S}: is over already; name a later time")
    if role not in list(Role):
        raise Failure(f"--role {role}: write read or write")
    try:
        tokens = TokenFile(state or STATE_ROOT / instance)
        print(tokens.create(name, Role(role), now, expires=end))
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
    headings = ("name", "role", "created", "expires")
    rows = [
        (token.name, str(token.role), _shown(token.created), _shown(token.expires) or "never")
        for token in tokens
    ]
    if output in {Output.TABLE, Output.WIDE}:
        show_table(headings, rows)
    else:
        show_values([dict(zip(headings, row, strict=True)) for row in rows], output)


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


def _shown(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(" ", "seconds")
