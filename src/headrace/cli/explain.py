"""`headrace explain`: where the data plane sends a flow, and why."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import Output, OutputOption, connected
from headrace.cli.output import show_values

app = typer.Typer(add_completion=False)

_FLOWS_A_REQUEST = 10_000

_GRAMMAR = "give PROTOCOL SOURCE:PORT VIP:PORT, as tcp 1.1.1.1:57538 20.20.20.1:8080, or --flows"


@app.command()
@connected
def explain(
    client: Client,
    flow: Annotated[
        list[str] | None, typer.Argument(metavar="PROTOCOL SOURCE:PORT VIP:PORT", help="one flow")
    ] = None,
    *,
    flows: Annotated[
        str | None,
        typer.Option(help="a file of flows, one JSON object a line; - is stdin"),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell where the data plane sends a flow, read from the kernel's maps.

    A line of --flows is {"protocol": "tcp", "source": "1.1.1.1", "source_port": 57538,
    "destination": "20.20.20.1", "destination_port": 8080}.
    """
    if (flow is None) == (flows is None):
        raise Failure(_GRAMMAR)
    asked = [_read_flow(flow)] if flow is not None else list(_read_lines(flows or ""))
    told = list(_ask(client, asked, steps=flow is not None))
    if output in {Output.JSON, Output.YAML}:
        show_values(told, output)
    elif flow is not None:
        _show_steps(told[0])
    else:
        for each in told:
            print(_line(each))


def _ask(client: Client, flows: list[dict[str, Any]], *, steps: bool) -> Iterator[dict[str, Any]]:
    for start in range(0, len(flows), _FLOWS_A_REQUEST):
        body = {"flows": flows[start : start + _FLOWS_A_REQUEST], "steps": steps}
        yield from client.send("POST", "/v1/explain", json.dumps(body))


def _read_flow(words: list[str]) -> dict[str, Any]:
    if len(words) != 3:
        raise Failure(_GRAMMAR)
    protocol, source, destination = words
    source_address, source_port = _read_end(source)
    address, port = _read_end(destination)
    return {
        "protocol": protocol,
        "source": source_address,
        "source_port": source_port,
        "destination": address,
        "destination_port": port,
    }


def _read_end(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal():
        raise Failure(f"{text!r} is not ADDRESS:PORT; {_GRAMMAR}")
    return address.removeprefix("[").removesuffix("]"), int(port)


def _read_lines(file: str) -> Iterator[dict[str, Any]]:
    try:
        with nullcontext(sys.stdin) if file == "-" else Path(file).open() as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _read_line(line, f"{file} line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error


def _read_line(line: str, where: str) -> dict[str, Any]:
    try:
        flow: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{where}: is not JSON: {error}") from error
    return flow


def _show_steps(explanation: dict[str, Any]) -> None:
    for number, step in enumerate(explanation["steps"], 1):
        print(f"{number}. {step}")
    endpoint = explanation["endpoint"]
    print(explanation["verdict"] + (f", endpoint {endpoint}" if endpoint else ""))


def _line(explanation: dict[str, Any]) -> str:
    flow = explanation["flow"]
    source = f"{flow['source']}:{flow['source_port']}"
    destination = f"{flow['destination']}:{flow['destination_port']}"
    endpoint = explanation["endpoint"] or "-"
    return f"{flow['protocol']} {source} {destination} {endpoint} {explanation['verdict']}"
