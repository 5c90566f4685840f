"""`headrace get`: the grammar and tables of `loxicmd get`."""

from collections.abc import Callable, Iterable
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
from headrace.cli.rules import BFD, CISTATE, HOSTS, MODES, NEIGHBOURS, RULES, SELECTS

app = typer.Typer(
    help="Show what a running daemon has.", no_args_is_help=True, add_completion=False
)

_COLUMNS = ["Ext IP", "Port", "Proto", "Name", "Mark", "Sel", "Mode"]
_COLUMNS_RULE = [*_COLUMNS, "# of Endpoints", "Timeout", "Monitor"]
_COLUMNS_WIDE = ["Ext IP", "Sec IPs", "Sources", "Host", *_COLUMNS[1:]]
_COLUMNS_HOST = ["Host", "Name", "ptype", "port", "duration", "retries", "minDelay", "avgDelay"]
_COLUMNS_HOST += ["maxDelay", "State"]
_COLUMNS_NEIGHBOUR = ["Peer", "AS", "UP/Down", "State"]
_COLUMNS_BFD = ["Instance", "RemoteIP", "State"]
_COLUMNS_BFD_WIDE = ["Instance", "RemoteIP", "SourceIP", "Port", "Interval", "Retry Count", "State"]
_COLUMNS_HA = ["Instance", "HAState"]
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


@app.command("endpoint")
@app.command("ep", hidden=True)
def get_endpoint(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show the endpoints that are checked, and what is believed of them."""
    found = Client(server=server, instance=instance, timeout_s=timeout).get(f"{HOSTS}/all")
    _show(found, output, _COLUMNS_HOST, _host_row)


@app.command("bgpneighbor")
@app.command("bgpnei", hidden=True)
@app.command("bgpneigh", hidden=True)
def get_bgpneighbor(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show the BGP peers and their sessions."""
    found = Client(server=server, instance=instance, timeout_s=timeout).get(f"{NEIGHBOURS}/all")
    keys = ("ipAddress", "remoteAs", "updowntime", "state")
    _show(found, output, _COLUMNS_NEIGHBOUR, lambda peer: [peer[key] for key in keys])


@app.command("bfd")
def get_bfd(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show the peers that BFD watches; with -o wide how fast."""
    found = Client(server=server, instance=instance, timeout_s=timeout).get(f"{BFD}/all")
    keys: tuple[str, ...] = ("instance", "remoteIp", "state")
    columns = _COLUMNS_BFD
    if output is Output.WIDE:
        keys = ("instance", "remoteIp", "sourceIP", "port", "interval", "retryCount", "state")
        columns = _COLUMNS_BFD_WIDE
    _show(found, output, columns, lambda session: [session[key] for key in keys])


@app.command("hastate")
@app.command("ha", hidden=True)
def get_hastate(
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Show whether routers are to prefer this node (MASTER) or the others (BACKUP)."""
    found = Client(server=server, instance=instance, timeout_s=timeout).get(f"{CISTATE}/all")
    _show(found, output, _COLUMNS_HA, lambda state: [state["instance"], state["state"]])


def _show(
    found: dict[str, list[dict[str, Any]]],
    output: Output,
    columns: list[str],
    row: Callable[[dict[str, Any]], list[object]],
) -> None:
    """Show the only list in an answer."""
    if output in {Output.JSON, Output.YAML}:
        show_values(found, output)
        return
    (entries,) = found.values()
    show_table(columns, [row(entry) for entry in entries])


def _host_row(host: dict[str, Any]) -> list[object]:
    keys = (
        "probePort",
        "probeDuration",
        "inactiveReTries",
        "minDelay",
        "avgDelay",
        "maxDelay",
        "currState",
    )
    kind = f"{host['probeType']}:{host['probeReq']}"
    return [host["hostName"], host["name"], kind, *(host[key] for key in keys)]


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
