"""`headrace detach`: remove what an instance left in the kernel."""

import gc
from pathlib import Path

import typer

from headrace.cli.client import RUNTIME_ROOT, Failure
from headrace.cli.options import INSTANCE, InstanceOption

app = typer.Typer(add_completion=False)


@app.command()
def detach(instance: InstanceOption = INSTANCE) -> None:
    """Withdraw an instance's routes, then remove its programs and maps. Its daemon must be stopped.

    Revisions of the document stay.
    """
    gc.disable()  # until our end: collections would take a fifth of the start
    from headrace.daemon.app import detach as detach_instance
    from headrace.model import LbError

    try:
        detach_instance(Path(RUNTIME_ROOT) / instance)
    except LbError as error:
        raise Failure(str(error)) from error
