"""`headrace import`: take over what LoxiLB saved."""

import json
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli import loxilb_files as files
from headrace.cli.client import Client
from headrace.cli.options import connected
from headrace.cli.rules import CONFIG

app = typer.Typer(add_completion=False)


@app.command("import")
@connected
def import_(
    client: Client,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="LoxiLB's folder, or files of it")
    ] = [files.FOLDER],  # noqa: B006 - typer copies it
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="remove the rules that the files do not have")
    ] = False,
) -> None:
    """Take over the rules, checks and BFD sessions that LoxiLB saved, all of them or none.

    What cannot be served is refused with its place in the file, the rule and the remedy.
    """
    mode = "replace" if replace else "add"
    body = json.dumps(files.read(paths))
    print(client.send("POST", f"{CONFIG}/import?mode={mode}", body)["result"])
