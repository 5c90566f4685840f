"""Options that several commands have."""

import inspect
import io
import re
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from headrace.cli.client import Client, Failure

_P = ParamSpec("_P")


class Output(StrEnum):
    """How a command shows what it has read."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


SERVER_NAMES = ("--server", "-s", "--apiserver")
"""Two of them are what `loxicmd` calls it."""

InstanceOption = Annotated[
    str,
    typer.Option(
        "--instance", envvar="HEADRACE_INSTANCE", help="which daemon of this host to talk to"
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        *SERVER_NAMES,
        envvar="HEADRACE_SERVER",
        help="https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH in place of the own socket",
    ),
]
ServersOption = Annotated[
    list[str] | None,
    typer.Option(
        *SERVER_NAMES,
        envvar="HEADRACE_SERVER",
        help="https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH in place of the own socket; "
        "given several times: each of them in turn, whatever becomes of the others",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        *("--port", "-p"),
        min=1,
        max=65_535,
        help="of a --server that names none; else of 127.0.0.1",
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", "-t", min=0.1, help="seconds to wait for an answer")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="how to show it")]

INSTANCE = "main"
TIMEOUT_S = 60.0


def at_port(servers: list[str], port: int | None) -> list[str]:
    """The servers, those without a port at this one; that of this host where none is named."""
    if port is None:
        return servers
    return [
        each
        if each.startswith("unix:") or re.search(r":\d+/?$", each)
        else f"{each.rstrip('/')}:{port}"
        for each in servers or ["127.0.0.1"]
    ]


def on_each(servers: list[str], ask: Callable[[str | None], None]) -> None:
    """Ask one server, or each of several whatever became of the others.

    Raises Failure if one failed; the exit code is the worst of theirs.
    """
    if len(servers) < 2:
        ask(servers[0] if servers else None)
        return
    stdin = cache(sys.stdin.read)
    failed, code = 0, 0
    for server in servers:
        sys.stdin = _Again(stdin)
        print(f"{server}:", flush=True)
        try:
            ask(server)
        except Failure as failure:
            print(failure, file=sys.stderr, flush=True)
            failed, code = failed + 1, max(code, failure.code)
        except typer.Exit as end:
            code = max(code, end.exit_code)
    if failed:
        whole = Failure(f"{failed} of {len(servers)} servers failed; what is above holds of each")
        whole.code = code
        raise whole
    if code:
        raise typer.Exit(code)


class _Again(io.StringIO):
    """What comes on stdin, once more; waited for only by who reads it."""

    def __init__(self, read_all: Callable[[], str]) -> None:
        super().__init__()
        self._read_all = read_all

    def read(self, size: int | None = -1, /) -> str:
        """The rest, or a part of it."""
        self._fill()
        return super().read(size)

    def __next__(self) -> str:  # type: ignore[override]  # of bytes in the base of all
        """The next line."""
        self._fill()
        return super().__next__()

    def _fill(self) -> None:
        if not self.tell():
            self.write(self._read_all())
            self.seek(0)


def connected(command: Callable[Concatenate[Client, _P], None]) -> Callable[..., None]:
    """The command with options that say which daemon to talk to, in place of its first parameter.

    Every command that talks to one has the same four.
    """

    def run(
        *,
        instance: str,
        server: list[str] | None,
        port: int | None,
        timeout: float,
        **options: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        def ask(one: str | None) -> None:
            client = Client(server=one, instance=instance, timeout_s=timeout)
            command(client, **options)  # type: ignore[call-arg]  # what typer has read

        on_each(at_port(server or [], port), ask)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, default, kind in (
            ("instance", INSTANCE, InstanceOption),
            ("server", None, ServersOption),
            ("port", None, PortOption),
            ("timeout", TIMEOUT_S, TimeoutOption),
        )
    ]
    run.__name__, run.__doc__, run.__module__ = (
        command.__name__,
        command.__doc__,
        command.__module__,
    )
    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    return run
