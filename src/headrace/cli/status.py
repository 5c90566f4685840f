"""`headrace status`: what forwards, what is announced, what is wrong and why, on one screen."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from headrace.cli.client import Client
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

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_WIDE_COLUMNS = 240
"""Of -o wide, whatever the terminal has: every path fits on its line."""

_SCREEN_LINES = 50
"""Of one screen where there is no terminal."""

_LINES_WITHOUT_ROWS = 24
"""Leads, headings and what is said of rows that are left out."""

_FEWEST_ROWS = 3
"""Of each part, however small the terminal is."""

_PREFIXES = 3
"""Named of those that a peer was told; of the others only how many."""

_FULL_PATH = re.compile(r"(\S+) \S+ > (\S+) by \S+( vlan \d+)?")

app = typer.Typer(add_completion=False)


@app.command()
def status(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show what forwards, what is announced, and what is wrong and why, on one screen.

    What has something wrong comes first; how many rows are left out is said. With -o wide none
    are, and a path is shown in full: both tunnel ends and the next hop's MAC.
    """
    client = Client(server=server, instance=instance, timeout_s=timeout)
    node = client.get("/v1/status")
    if output in {Output.JSON, Output.YAML}:
        show_values(node, output)
        return

    from rich.console import Console

    is_wide = output is Output.WIDE
    width = _WIDE_COLUMNS if is_wide else None
    console = Console(width=width, highlight=False, markup=False)  # [fd00::1]:80/tcp is no markup
    lines = console.height if console.is_terminal else _SCREEN_LINES
    for part in _screen(node, None if is_wide else lines - _LINES_WITHOUT_ROWS):
        console.print(part)


def share_rows(wanted: Sequence[int], room: int) -> list[int]:
    """How many rows each part gets: what it wants, or as many as others; a few in any case."""
    given = [0] * len(wanted)
    open_ = [index for index, rows in enumerate(wanted) if rows]
    while open_ and (part := room // len(open_)):
        for index in open_:
            rows = min(part, wanted[index] - given[index])
            given[index] += rows
            room -= rows
        open_ = [index for index in open_ if given[index] < wanted[index]]
    return [max(has, min(rows, _FEWEST_ROWS)) for has, rows in zip(given, wanted, strict=True)]


def _screen(node: dict[str, Any], room: int | None) -> Iterator["RenderableType"]:
    """The parts, in so many rows together; None: all rows, and all that is known of them."""
    from rich.text import Text

    services = sorted(node["services"], key=lambda service: not service["why_not"])
    endpoints = sorted(_placed(node["pools"]), key=lambda placed: _rank(placed[1]))
    verdicts = sorted(
        (each for each in node["verdicts"] if each["count"]["packets"]),
        key=lambda each: -each["count"]["packets"],
    )
    parts = (node["problems"], services, endpoints, node["peers"], verdicts)
    wanted = [len(part) for part in parts]
    wanted[2] += len(node["pools"])  # each has a line
    rows = wanted if room is None else share_rows(wanted, room)
    lead = f"{node['node']}  headrace {node['version']}  revision {node['revision']}"
    ports = ", ".join(f"{port['name']} {port['mode']}" for port in node["ports"])
    yield Text(lead, style="bold") + Text(f"  {ports or 'no interface'}", style="not bold")
    if node["drain"] != "active":
        yield _red(_node_drain(node))
    if node["hash_seed_is_default"]:
        yield Text("cluster.hash_seed is the default: set a secret one, the same on every node")
    yield from _problems(node["problems"], rows[0])
    is_wide = room is None
    if services:
        yield _services(services, rows[1], _totals(node), is_wide=is_wide)
        yield _endpoints(endpoints, rows[2], is_wide=is_wide)
    if node["peers"]:
        yield _peers(node["peers"], rows[3], is_wide=is_wide)
    if verdicts:
        yield _verdicts(verdicts, rows[4])


def _problems(problems: list[str], rows: int) -> Iterator["Text"]:
    from rich.text import Text

    for problem in problems[:rows]:
        yield Text(f"! {problem}", style="red")
    if len(problems) > rows:
        yield _red(f"! and {len(problems) - rows:,} more: headrace status -o wide")
    if not problems:
        yield Text("no problem is known", style="green")


def _placed(pools: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Every endpoint with its pool's name."""
    return [(pool["name"], endpoint) for pool in pools for endpoint in pool["endpoints"]]


def _rank(endpoint: dict[str, Any]) -> int:
    """What is wrong comes first, then what drains."""
    if not endpoint["reachable"]:
        return 0
    if endpoint["health"] in {"down", "unknown"}:
        return 1 if endpoint["health"] == "down" else 3
    return 2 if endpoint["state"] != "active" or endpoint["weight"] == 0 else 4


def _table(title: str, *headings: str, more: str = "") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        caption=more or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _more(count: int, rows: int, command: str) -> str:
    """Where the rows are that are left out, if any are."""
    return f"and {count - rows:,} more: {command}" if count > rows else ""


def _totals(node: dict[str, Any]) -> dict[str, int]:
    """By pool: how many endpoints it has."""
    return {pool["name"]: len(pool["endpoints"]) for pool in node["pools"]}


def _services(
    services: list[dict[str, Any]], rows: int, totals: dict[str, int], *, is_wide: bool
) -> "Table":
    forwarding = sum(service["forwarding"] for service in services)
    announced = sum(service["announced"] for service in services)
    title = f"Services: {forwarding:,} of {len(services):,} forwarded, {announced:,} announced"
    headings = ("service", "name", "forwards", "announced", "up", "packets", "why not")
    more = _more(len(services), rows, "headrace get lb")
    table = _table(title, *headings, *(["policy"] if is_wide else []), more=more)
    for service in services[:rows]:
        table.add_row(
            service["key"],
            service["name"],
            _yes(service["forwarding"]),
            _yes(service["announced"]),
            f"{service['healthy']}/{totals[service['pool']]}",
            f"{service['received']['packets']:,}",
            service["why_not"],
            *([_policy(service)] if is_wide else []),
        )
    return table


def _policy(service: dict[str, Any]) -> str:
    """What is particular to a service: all that is not as it is without a word in the document."""
    said = [
        f"{key.replace('_', ' ')} {service[key]}"
        for key, usual in (("affinity", "flow"), ("flow_table", "unstable"), ("unserved", "drop"))
        if service[key] != usual
    ]
    if service["quic"]:
        said.append("quic")
    if service["sources"]:
        said.append(f"{len(service['sources'])} sources")
    if service["denied_sources"]:
        said.append(f"{len(service['denied_sources'])} denied sources")
    return ", ".join(said)


def _endpoints(endpoints: list[tuple[str, dict[str, Any]]], rows: int, *, is_wide: bool) -> "Table":
    """Endpoints under the names of their pools."""
    shown: dict[str, list[dict[str, Any]]] = {}
    count = 0
    for pool, endpoint in endpoints:
        if count + len(shown) + (pool not in shown) > rows:
            break
        shown.setdefault(pool, []).append(endpoint)
        count += 1
    sick = sum(_rank(endpoint) < 2 for _, endpoint in endpoints)
    draining = sum(_rank(endpoint) == 2 for _, endpoint in endpoints)
    title = f"Endpoints: {len(endpoints):,}" + f", {sick:,} down or unreachable" * (sick > 0)
    title += f", {draining:,} draining or disabled" * (draining > 0)
    headings = ("endpoint", *(["weight"] if is_wide else []), "share", "state", "health", "sent")
    more = _more(len(endpoints), count, "headrace get lb -o wide")
    table = _table(title, *headings, "path", *(["probes"] if is_wide else []), more=more)
    for pool, each in shown.items():
        table.add_row(pool)
        for endpoint in each:
            table.add_row(*_endpoint(endpoint, is_wide=is_wide))
    return table


def _endpoint(endpoint: dict[str, Any], *, is_wide: bool) -> Iterator["str | Text"]:
    yield f"  {endpoint['address']}"
    if is_wide:
        yield str(endpoint["weight"])
    yield f"{endpoint['share']:.1%}"
    yield _state(endpoint)
    yield _health(endpoint["health"])
    yield f"{endpoint['sent']['packets']:,}"
    yield endpoint["path"] if is_wide else _short_path(endpoint["path"])
    if is_wide:
        yield endpoint["why"]


def _state(endpoint: dict[str, Any]) -> "str | Text":
    """What the operator asked for; of one that drains, what is left of its flows."""
    if not endpoint["reachable"]:
        return _red("unreachable")
    said = [str(endpoint["state"])]
    if endpoint["weight"] == 0 and endpoint["state"] == "active":
        said = ["draining"]
    if endpoint["flows_seen"] is not None:
        said.append(f"{endpoint['flows_seen']:,} flows in a minute")
    if endpoint["packets_per_s"] is not None:
        said.append(f"{endpoint['packets_per_s']:.1f} packets/s")
    if endpoint["drain_left_s"] is not None:
        left_s = endpoint["drain_left_s"]
        said.append(f"{left_s:.0f} s left" if left_s else "its time is over")
    return ", ".join(said)


def _health(health: str | None) -> "str | Text":
    return _red(health) if health == "down" else health or "unchecked"


def _node_drain(node: dict[str, Any]) -> str:
    if node["drain"] == "drained":
        return "this node is drained; `headrace undrain node` has it announce again"
    return f"this node drains: its VIPs are withdrawn in {node['drain_left_s']:.0f} s"


def _short_path(path: str) -> str:
    """How and where to; a path that is no path says why, and stays so."""
    return _FULL_PATH.sub(r"\1 to \2", path)


def _peers(peers: list[dict[str, Any]], rows: int, *, is_wide: bool) -> "Table":
    peers = sorted(peers, key=lambda peer: peer["state"] == "up" and peer["bfd"] in {"up", "off"})
    up = sum(peer["state"] == "up" for peer in peers)
    title = f"BGP peers: {up:,} of {len(peers):,} up"
    headings = ("peer", "AS", "session", "since", "BFD", "announced")
    table = _table(title, *headings, more=_more(len(peers), rows, "headrace get bgpneighbor"))
    for peer in peers[:rows]:
        told = peer["announced"]
        named = told if is_wide else told[:_PREFIXES]
        table.add_row(
            peer["address"],
            str(peer["as_number"]),
            peer["state"] if peer["state"] == "up" else _red(peer["state"]),
            _since(peer["since_s"]),
            peer["bfd"] if peer["bfd"] in {"up", "off"} else _red(peer["bfd"]),
            ", ".join(named)
            + f" and {len(told) - len(named):,} more" * (len(told) > len(named))
            + f"; {len(peer['rejected']):,} rejected by policy" * bool(peer["rejected"]),
        )
    return table


def _since(seconds: float) -> str:
    """A time in its two largest units, as 1 d 2 h."""
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def _verdicts(verdicts: list[dict[str, Any]], rows: int) -> "Table":
    more = _more(len(verdicts), rows, "headrace status -o wide")
    table = _table("Packets by verdict", "verdict", "action", "packets", "meaning", more=more)
    for verdict in verdicts[:rows]:
        packets = f"{verdict['count']['packets']:,}"
        table.add_row(verdict["name"], verdict["action"], packets, verdict["meaning"])
    return table


def _yes(value: bool) -> "str | Text":
    return "yes" if value else _red("no")


def _red(text: str) -> "Text":
    from rich.text import Text

    return Text(text, style="red")
