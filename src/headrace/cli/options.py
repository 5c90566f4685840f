"""Options that several commands have."""

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How a command shows what it has read."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


InstanceOption = Annotated[
    str,
    typer.Option(
        "--instance", envvar="HEADRACE_INSTANCE", help="which daemon of this host to talk to"
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="HEADRACE_SERVER",
        help="https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH in place of the own socket",
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", "-t", min=0.1, help="seconds to wait for an answer")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="how to show it")]

INSTANCE = "main"
TIMEOUT_S = 60.0
