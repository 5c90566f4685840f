"""`headrace get`: the grammar and tables of `loxicmd get`."""

from collections.abc import Iterable
from typing import Annotated, Any

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
from headrace.cli.output import show_table, show_values
from headrace.cli.rules import MODES, RULES, SELECTS

app = typer.Typer(
    help="Show what a running daemon has.", no_args_is_help=True, add_completion=False
)

_COLUMNS = ["Ext IP", "Port", "Proto", "Name", "Mark", "Sel", "Mode"]
_COLUMNS_RULE = [*_COLUMNS, "# of Endpoints", "Timeout", "Monitor"]
_COLUMNS_WIDE = ["Ext IP", "Sec IPs", "Sources", "Host", *_COLUMNS[1:]]
_COLUMNS_ENDPOINT = [*_COLUMNS_WIDE, "Endpoint", "EPort", "Weight", "State", "Counters"]


@app.callback()
def _get() -> None:
    """Show what a running daemon has."""


@app.command("lb")
@app.command("loadbalancer", hidden=True)
def get_lb(
    name: Annotated[str | None, typer.Option("--servName", help="only rules of this name")] = None,
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show the rules; with -o wide each endpoint, its state and what it was sent."""
    client = Client(server=server, instance=instance, timeout_s=timeout)
    found = client.get(f"{RULES}/all")["lbAttr"]
    rules = sorted(found, key=_order)
    if name is not None:
        rules = [rule for rule in rules if rule["serviceArguments"].get("name") == name]
    match output:
        case Output.TABLE:
            show_table(_COLUMNS_RULE, [_rule_row(rule) for rule in rules])
        case Output.WIDE:
            show_table(_COLUMNS_ENDPOINT, list(_endpoint_rows(rules)))
        case _:
            show_values({"lbAttr": [_as_client(rule) for rule in rules]}, output)


def _order(rule: dict[str, Any]) -> tuple[str, int, str]:
    arguments = rule["serviceArguments"]
    return arguments["externalIP"], arguments["port"], arguments["protocol"]


def _rule_row(rule: dict[str, Any]) -> list[object]:
    arguments = rule["serviceArguments"]
    monitor = "On" if arguments.get("monitor") else "Off"
    timeout = arguments.get("inactiveTimeOut", 0)
    return [arguments["externalIP"], *_shared(arguments), len(rule["endpoints"]), timeout, monitor]


def _endpoint_rows(rules: Iterable[dict[str, Any]]) -> Iterable[list[object]]:
    for rule in rules:
        arguments = rule["serviceArguments"]
        secondary = ",".join(each["secondaryIP"] for each in rule["secondaryIPs"] or [])
        sources = ",".join(each["prefix"] for each in rule["allowedSources"] or [])
        lead = [arguments["externalIP"], secondary, sources, arguments.get("host", "")]
        for endpoint in rule["endpoints"]:
            names = ("endpointIP", "targetPort", "weight", "state", "counter")
            yield [*lead, *_shared(arguments), *(endpoint[name] for name in names)]


def _shared(arguments: dict[str, Any]) -> list[object]:
    return [
        _ports(arguments),
        arguments["protocol"],
        arguments.get("name", ""),
        arguments.get("block", 0),
        _name_of(SELECTS, arguments.get("sel", 0)),
        _name_of(MODES, arguments.get("mode", 0)),
    ]


def _ports(arguments: dict[str, Any]) -> str:
    """One port, or a range of them."""
    last = arguments.get("portMax", 0)
    return f"{arguments['port']}-{last}" if last else str(arguments["port"])


def _name_of(choices: dict[str, int], number: int) -> str:
    return next((name for name, choice in choices.items() if choice == number), str(number))


def _as_client(rule: dict[str, Any]) -> dict[str, Any]:
    """The rule with the keys that clients of LoxiLB write, none left out."""
    arguments = dict(rule["serviceArguments"])
    arguments["BGP"] = arguments.pop("bgp", False)
    arguments["Monitor"] = arguments.pop("monitor", False)
    for name, zero in (("name", ""), ("inactiveTimeOut", 0), ("block", 0)):
        arguments.setdefault(name, zero)
    return {**rule, "serviceArguments": arguments}
