"""`headrace events`: what happens to a node, as it happens."""

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import INSTANCE, InstanceOption, ServerOption

app = typer.Typer(add_completion=False)

_SILENCE_S = 30.0
"""Of a stream that says every 5 s that it is there."""


class EventsOutput(StrEnum):
    """How an event is shown."""

    LINE = "line"
    JSON = "json"


@app.command()
def events(
    *,
    follow: Annotated[
        bool, typer.Option(help="go on with what happens from now on, until interrupted")
    ] = True,
    output: Annotated[
        EventsOutput, typer.Option("--output", "-o", help="a line for people, or JSON, an event")
    ] = EventsOutput.LINE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
) -> None:
    """Show revisions, health, announcements, sessions, drains and troubles: kept ones, then new."""
    client = Client(server=server, instance=instance, timeout_s=_SILENCE_S)
    last_id = ""
    for event in read_events(client.lines("/v1/events?follow=false")):
        last_id = event["id"]
        _show(event, output)
    if not follow:
        return
    headers = {"Last-Event-ID": last_id} if last_id else {}
    try:
        for event in read_events(client.lines("/v1/events", headers)):
            _show(event, output)
    except KeyboardInterrupt:
        return
    raise Failure("the stream of events has ended without a word; is the daemon still there?")


def read_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events in the lines of server-sent events; Failure when the stream says its end."""
    kind, data = "", ""
    for line in lines:
        key, _, value = line.partition(": ")
        if key == "event":
            kind = value
        elif key == "data":
            data = value
        elif not line and data:
            told = json.loads(data)
            if kind == "end":
                raise Failure(f"the daemon ends the stream: {told['reason']}")
            if kind != "missed":
                yield told
            kind, data = "", ""


def _show(event: dict[str, Any], output: EventsOutput) -> None:
    if output is EventsOutput.JSON:
        print(json.dumps(event), flush=True)
        return
    time = f"{event['time'][:10]} {event['time'][11:19]}Z"
    said = " ".join(f"{key}={_text(value)}" for key, value in event["data"].items() if value)
    print(f"{time} {event['type']:16} {said}", flush=True)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) if all(" " not in str(e) for e in value) else str(value)
    return json.dumps(value) if isinstance(value, str) and " " in value else str(value)
