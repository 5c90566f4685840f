"""`headrace save`: the grammar of `loxicmd save`."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli import loxilb_files as files
from headrace.cli.client import Client, Failure
from headrace.cli.options import connected

app = typer.Typer(add_completion=False)


@app.command()
@connected
def save(
    client: Client,
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="all of these")] = False,
    lb: Annotated[bool, typer.Option("--lb", "-l", help="the rules: lbconfig.txt")] = False,
    endpoint: Annotated[
        bool, typer.Option("--endpoint", help="the checks of endpoints: EPconfig.txt")
    ] = False,
    bfd: Annotated[bool, typer.Option("--bfd", help="the BFD sessions: BFDconfig.txt")] = False,
    firewall: Annotated[
        bool, typer.Option("--firewall", help="the firewall: FWconfig.txt")
    ] = False,
    config_path: Annotated[
        Path, typer.Option("--config-path", "-c", help="folder to write to")
    ] = files.FOLDER,
) -> None:
    """Write what LoxiLB's clients know of a node, as files that LoxiLB and `headrace import` take.

    They say less than the document: `headrace export` writes that.
    """
    chosen = {
        files.LB: lb,
        files.ENDPOINT: endpoint,
        files.BFD_SESSIONS: bfd,
        files.FIREWALL: firewall,
    }
    wanted = [saved for saved, is_wanted in chosen.items() if everything or is_wanted]
    if not wanted:
        raise Failure("say what to save: --all, --lb, --endpoint, --bfd or --firewall")
    for saved in wanted:
        print(files.save(client, saved, config_path))
