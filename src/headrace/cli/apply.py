"""`headrace apply`: put a whole document in force."""

import typer

from headrace.cli.client import Client
from headrace.cli.files import FileOption, read_text
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
    file: FileOption,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Put a document in force as a whole, or have it refused with every problem."""
    text = read_text(file)
    client = Client(server=server, instance=instance, timeout_s=timeout)
    answer = client.send("PUT", "/v1/document", text)
    told = "in force" if answer["changed"] else "in force already, nothing changed"
    print(f"revision {answer['revision']} is {told}")
