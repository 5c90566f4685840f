"""`headrace simulate`: what a change would do, before it is made."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    Output,
    OutputOption,
    ServerOption,
    TimeoutOption,
)
from headrace.cli.output import show_values
from headrace.cli.picture import draw, title_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from headrace.control.simulate import Edits, Side
    from headrace.model import Document, IPAddress

_Value = TypeVar("_Value")

_MOST_CHANGED = 20
"""Endpoints shown of a pool: a screen. -o wide has no limit."""

_CASES = {
    "without_flow_table": "without a flow table",
    "with_flow_table": "with the flow table",
    "with_agents": "with agents",
}

app = typer.Typer(add_completion=False)

_Words = list[str] | None


@app.command()
def simulate(
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="the document to come; - is stdin")
    ] = None,
    *,
    before: Annotated[
        str | None, typer.Option(help="the document before, instead of the running daemon's")
    ] = None,
    down: Annotated[_Words, typer.Option(metavar="ADDRESS", help="it goes down")] = None,
    already_down: Annotated[
        _Words, typer.Option(metavar="ADDRESS", help="it is down before and afterwards")
    ] = None,
    drain: Annotated[_Words, typer.Option(metavar="ADDRESS", help="it is drained")] = None,
    remove: Annotated[_Words, typer.Option(metavar="ADDRESS", help="it is removed")] = None,
    add: Annotated[_Words, typer.Option(metavar="ADDRESS[:WEIGHT]", help="it is new")] = None,
    weight: Annotated[
        _Words, typer.Option(metavar="ADDRESS:WEIGHT", help="its weight becomes that")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="change this pool only; a service's own has its name")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="draw it as well, into a file .svg or .png")
    ] = None,
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Tell what a change would do: shares, slots that move, flows that break. Nothing is changed.

    The change is a document, by --file, or what the other options say; or both. It starts from
    the running daemon's document unless --before names another.
    """
    from headrace.control.simulate import Edits, Side

    edits = Edits(
        down=_addresses(down),
        drain=_addresses(drain),
        remove=_addresses(remove),
        weights=dict(_weighted("--weight", weight or (), default=None)),
        add=dict(_weighted("--add", add or (), default=1)),
        pool=pool,
    )
    if file is None and edits == Edits(pool=pool):
        raise Failure("say what changes: --file, --down, --drain, --remove, --add or --weight")
    client = Client(server=server, instance=instance, timeout_s=timeout)
    old = Side(_document(before, client), _addresses(already_down))
    new = old if file is None else Side(_document(file, client), old.down)
    values = _simulated(old, new, edits)
    if picture is not None:
        draw([value for value in values if not _is_unchanged(value)], picture)
    _show(values, output)


def _document(file: str | None, client: Client) -> "Document":
    """The document in a file, or the running daemon's."""
    from headrace.model import build_document, parse_document

    if file is None:
        return _refused("the daemon's document", lambda: build_document(client.get("/v1/document")))
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error
    return _refused(file, lambda: parse_document(text))


def _refused(what: str, work: Callable[[], _Value]) -> _Value:
    """What the work gives; Failure with every problem if it is refused."""
    from headrace.model import LbError

    try:
        return work()
    except LbError as error:
        raise Failure(f"{what}: {error}" if what else str(error)) from error


def _simulated(old: "Side", new: "Side", edits: "Edits") -> list[dict[str, Any]]:
    """What happens to each pool, as plain values."""
    from pydantic import TypeAdapter

    from headrace.control.simulate import PoolChange, edited, simulate

    changes = _refused("", lambda: simulate(old, edited(new, edits)))
    values: list[dict[str, Any]] = TypeAdapter(tuple[PoolChange, ...]).dump_python(
        changes, mode="json"
    )
    return values


def _addresses(texts: Iterable[str] | None) -> "frozenset[IPAddress]":
    return frozenset(_address(text) for text in texts or ())


def _address(text: str) -> "IPAddress":
    from ipaddress import ip_address

    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise Failure(f"{text!r} is not an IP address") from error


def _weighted(
    option: str, texts: Iterable[str], *, default: int | None
) -> "Iterator[tuple[IPAddress, int]]":
    """Endpoints and weights of `ADDRESS:WEIGHT`; IPv6 addresses stand in brackets there."""
    for text in texts:
        address, colon, weight = text.rpartition(":")
        is_plain = not colon or text.endswith("]") or (":" in address and "]" not in address)
        if is_plain and default is not None:
            yield _address(text), default
        elif is_plain or not weight.isdecimal():
            raise Failure(f"{option} {text!r} is not ADDRESS:WEIGHT, as 10.0.0.1:2 or [fd00::1]:2")
        else:
            yield _address(address), int(weight)


def _show(values: list[dict[str, Any]], output: Output) -> None:
    if output in {Output.JSON, Output.YAML}:
        show_values({"pools": values}, output)
        return

    from rich.console import Console

    console = Console(highlight=False, markup=False)  # [fd00::1]:80/tcp is no markup
    limit = None if output is Output.WIDE else _MOST_CHANGED
    for part in _screen(values, limit):
        console.print(part)


def _screen(values: list[dict[str, Any]], limit: int | None) -> "Iterator[RenderableType]":
    from rich.text import Text

    changed = [value for value in values if not _is_unchanged(value)]
    for value in changed:
        yield Text(title_of(value), style="bold")
        yield Text(_moved(value))
        yield _endpoints(value["endpoints"], limit)
        for flows in value["flows"]:
            yield _broken(flows)
    unchanged = len(values) - len(changed)
    if unchanged or not values:
        yield Text(f"nothing changes for {unchanged} {'pool' if unchanged == 1 else 'pools'}")


def _is_unchanged(value: dict[str, Any]) -> bool:
    is_kept = all(not flows["without_flow_table"]["by_the_change"] for flows in value["flows"])
    return is_kept and value["slots_moved"] == 0


def _moved(value: dict[str, Any]) -> str:
    moved, slots = value["slots_moved"], value["slots"]
    if moved is None:
        return f"{slots:,} slots; not to be compared slot by slot"
    needless = value["slots_moved_needlessly"]
    rest = f", {needless:,} of them between endpoints that stay as they are" if needless else ""
    return f"{moved:,} of {slots:,} slots get another owner{rest}"


def _endpoints(endpoints: list[dict[str, Any]], limit: int | None) -> "Table":
    table = _table("endpoint", "slots", "then", "share", "then", "change")
    by_change = sorted(endpoints, key=lambda e: -abs(e["slots_after"] - e["slots_before"]))
    shown = {id(endpoint) for endpoint in by_change[:limit]}
    for endpoint in endpoints:
        if id(endpoint) in shown:
            before, after = endpoint["share_before"], endpoint["share_after"]
            table.add_row(
                endpoint["address"],
                f"{endpoint['slots_before']:,}",
                f"{endpoint['slots_after']:,}",
                f"{before:.2%}",
                f"{after:.2%}",
                f"{after - before:+.2%}",
            )
    if len(shown) < len(endpoints):
        table.caption = f"{len(endpoints) - len(shown):,} more change less; -o wide shows all"
    return table


def _broken(flows: dict[str, Any]) -> "Table":
    table = _table("flows broken", "by the change", "if load balancers change too")
    table.title = "flows of " + ", ".join(flows["services"])
    for case, words in _CASES.items():
        broken = flows[case]
        table.add_row(
            words, f"{broken['by_the_change']:.2%}", f"{broken['if_nodes_change_too']:.2%}"
        )
    return table


def _table(*headings: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title_justify="left", title_style="", caption_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", justify="right" if index else "left")
    return table
