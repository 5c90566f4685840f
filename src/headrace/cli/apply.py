"""`headrace apply`: put a whole document in force, or something that LoxiLB's clients know."""

import json
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.files import read_text
from headrace.cli.options import connected
from headrace.cli.rules import CONFIG

app = typer.Typer(add_completion=False)

_File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        help="a document, YAML or JSON; or LoxiLB's `kind` with its spec; - is stdin",
    ),
]


@app.command()
@connected
def apply(
    client: Client,
    *,
    file: _File = None,
    lb: Annotated[
        Path | None, typer.Option("--lb", "-l", help="rules as `save` wrote them: lbconfig.txt")
    ] = None,
    endpoint: Annotated[Path | None, typer.Option(help="checks: EPconfig.txt")] = None,
    bfd: Annotated[Path | None, typer.Option(help="BFD sessions: BFDconfig.txt")] = None,
    firewall: Annotated[Path | None, typer.Option(help="the firewall: FWconfig.txt")] = None,
) -> None:
    """Put a document in force as a whole, or have it refused with every problem.

    What LoxiLB's clients know is added to the document, as `headrace import` does.
    """
    saved = {
        "lbconfig.txt": lb,
        "EPconfig.txt": endpoint,
        "BFDconfig.txt": bfd,
        "FWconfig.txt": firewall,
    }
    if file is None and not any(saved.values()):
        raise Failure("say what to put in force, as -f DOCUMENT or -l lbconfig.txt")
    if any(saved.values()):
        from headrace.cli.loxilb_files import read_one

        contents = {name: read_one(path) for name, path in saved.items() if path is not None}
        answer = client.send("POST", f"{CONFIG}/import?mode=add", json.dumps(contents))
        print(answer["result"])
    if file is not None:
        _apply_file(client, file)


def _apply_file(client: Client, file: str) -> None:
    text = read_text(file)
    from headrace.cli.loxilb_kinds import apply_object, is_object

    if is_object(text):
        print(apply_object(client, file, text))
        return
    answer = client.send("PUT", "/v1/document", text)
    told = "in force" if answer["changed"] else "in force already, nothing changed"
    print(f"revision {answer['revision']} is {told}")
