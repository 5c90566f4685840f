"""`headrace apply`: put a whole document in force."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    ServerOption,
    TimeoutOption,
)

app = typer.Typer(add_completion=False)


@app.command()
def apply(
    file: Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - is stdin")],
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Put a document in force as a whole, or have it refused with every problem."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error
    client = Client(server=server, instance=instance, timeout_s=timeout)
    answer = client.send("PUT", "/v1/document", text)
    told = "in force" if answer["changed"] else "in force already, nothing changed"
    print(f"revision {answer['revision']} is {told}")
