"""`headrace run`: the daemon."""

import re
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import RUNTIME_ROOT, Failure
from headrace.cli.options import INSTANCE

app = typer.Typer(add_completion=False)

_STATE_ROOT = Path("/var/lib/headrace")
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@app.command()
def run(
    instance: Annotated[
        str,
        typer.Option(envvar="HEADRACE_INSTANCE", help="a name, where one host has several"),
    ] = INSTANCE,
    state: Annotated[
        Path | None,
        typer.Option(help="folder for revisions; /var/lib/headrace/INSTANCE if absent"),
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON for the first start, when no revision is kept yet"),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="ADDRESS:PORT of the API besides its unix socket; or none")
    ] = "127.0.0.1:11111",
) -> None:
    """Run the daemon until SIGTERM; the data plane goes on without it.

    It attaches to the interfaces that the document names in node.interfaces. Without that it
    attaches to EVERY interface that is up and can carry XDP, the management interface included.
    """
    if not _INSTANCE_NAME.fullmatch(instance):
        raise Failure(f"--instance {instance!r} is not a name of letters, digits and _ . -")

    from headrace.daemon.app import run as run_daemon
    from headrace.daemon.settings import Settings
    from headrace.model import LbError

    settings = Settings(
        instance=instance,
        state_dir=state or _STATE_ROOT / instance,
        runtime_dir=Path(RUNTIME_ROOT) / instance,
        document=document,
        listen=listen,
    )
    try:
        run_daemon(settings)
    except LbError as error:
        raise Failure(str(error)) from error
