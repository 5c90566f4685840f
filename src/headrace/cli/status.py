"""`headrace status`: what forwards, what is announced, what is wrong and why, on one screen."""

import re
from collections.abc import Iterator
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

_FULL_PATH = re.compile(r"(\S+) \S+ > (\S+) by \S+( vlan \d+)?")

app = typer.Typer(add_completion=False)


@app.command()
def status(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show what forwards, what is announced, and what is wrong and why.

    With -o wide a path is shown in full: both tunnel ends and the next hop's MAC.
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
    for part in _screen(node, is_wide=is_wide):
        console.print(part)


def _screen(node: dict[str, Any], *, is_wide: bool) -> Iterator["RenderableType"]:
    from rich.text import Text

    lead = f"{node['node']}  headrace {node['version']}  revision {node['revision']}"
    yield Text(lead, style="bold")
    if node["drain"] != "active":
        yield _red(_node_drain(node))
    if node["hash_seed_is_default"]:
        yield Text("cluster.hash_seed is the default: set a secret one, the same on every node")
    yield _services(node["services"], is_wide=is_wide)
    for service in node["services"]:
        yield _endpoints(service, is_wide=is_wide)
    yield _peers(node["peers"])
    yield _ports(node["ports"])
    yield _verdicts(node["verdicts"])
    for problem in node["problems"]:
        yield Text(f"! {problem}", style="red")
    if not node["problems"]:
        yield Text("no problem is known", style="green")


def _table(title: str, *headings: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _services(services: list[dict[str, Any]], *, is_wide: bool) -> "Table":
    headings = ("service", "name", "forwards", "announced", "up", "packets", "why not")
    table = _table("Services", *headings, *(["policy"] if is_wide else []))
    for service in services:
        table.add_row(
            service["key"],
            service["name"],
            _yes(service["forwarding"]),
            _yes(service["announced"]),
            f"{service['healthy']}/{len(service['endpoints'])}",
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
    return ", ".join(said)


def _endpoints(service: dict[str, Any], *, is_wide: bool) -> "Table":
    headings = ("endpoint", "weight", "share", "state", "health", "sent", "path")
    table = _table(f"Endpoints of {service['key']}", *headings, *(["probes"] if is_wide else []))
    for endpoint in service["endpoints"]:
        table.add_row(
            endpoint["address"],
            str(endpoint["weight"]),
            f"{endpoint['share']:.1%}",
            _state(endpoint),
            _health(endpoint["health"]),
            f"{endpoint['sent']['packets']:,}",
            endpoint["path"] if is_wide else _short_path(endpoint["path"]),
            *([endpoint["why"]] if is_wide else []),
        )
    return table


def _state(endpoint: dict[str, Any]) -> "str | Text":
    """What the operator asked for; of one that drains, what is left of its flows."""
    if not endpoint["reachable"]:
        return _red("unreachable")
    said = [str(endpoint["state"])]
    if endpoint["weight"] == 0 and endpoint["state"] == "active":
        said = ["draining"]
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


def _peers(peers: list[dict[str, Any]]) -> "Table":
    table = _table("BGP peers", "peer", "AS", "session", "since", "announced")
    for peer in peers:
        table.add_row(
            peer["address"],
            str(peer["as_number"]),
            peer["state"] if peer["state"] == "up" else _red(peer["state"]),
            f"{peer['since_s']:.0f} s",
            ", ".join(peer["announced"]),
        )
    return table


def _ports(ports: list[dict[str, Any]]) -> "Table":
    table = _table("Interfaces", "interface", "XDP")
    for port in ports:
        table.add_row(port["name"], port["mode"])
    return table


def _verdicts(verdicts: list[dict[str, Any]]) -> "Table":
    table = _table("Packets by verdict", "verdict", "action", "packets", "meaning")
    for verdict in verdicts:
        packets = verdict["count"]["packets"]
        if packets:
            table.add_row(verdict["name"], verdict["action"], f"{packets:,}", verdict["meaning"])
    return table


def _yes(value: bool) -> "str | Text":
    return "yes" if value else _red("no")


def _red(text: str) -> "Text":
    from rich.text import Text

    return Text(text, style="red")
