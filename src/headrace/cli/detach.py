"""`headrace detach`: remove what an instance left in the kernel."""

from pathlib import Path

import typer

from headrace.cli.client import RUNTIME_ROOT, Failure
from headrace.cli.options import INSTANCE, InstanceOption
from headrace.cli.run import check_instance, collecting_later

app = typer.Typer(add_completion=False)


@app.command()
def detach(instance: InstanceOption = INSTANCE) -> None:
    """Withdraw an instance's routes, then remove its programs and maps. Its daemon must be stopped.

    Revisions of the document stay.
    """
    check_instance(instance)  # else a folder of somebody else would be removed
    with collecting_later():
        from headrace.daemon.app import detach as detach_instance
        from headrace.model import LbError

    try:
        detach_instance(Path(RUNTIME_ROOT) / instance)
    except LbError as error:
        raise Failure(str(error)) from error
