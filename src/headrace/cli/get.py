"""`headrace get`: the grammar and tables of `loxicmd get`."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from headrace.cli.client import Client
from headrace.cli.options import Output, OutputOption, connected
from headrace.cli.output import show_table, show_values
from headrace.cli.rules import (
    BFD,
    CISTATE,
    CONFIG,
    FIREWALL,
    HOSTS,
    LOXILB,
    MODES,
    NEIGHBOURS,
    RULES,
    SELECTS,
    as_client,
)

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
_COLUMNS_CT = ["Service Name", "destIP", "srcIP", "dport", "sport", "proto", "ident", "state"]
_COLUMNS_CT += ["act", "packets", "bytes"]
_COLUMNS_PORT = ["index", "portname", "MAC", "link/state", "L3Info", "L2Info"]
_COLUMNS_FIREWALL = ["Source IP", "destination IP", "min SPort", "max SPort", "min DPort"]
_COLUMNS_FIREWALL += ["max DPort", "protocol", "port Name", "preference", "Option"]
_COLUMNS_ROUTE = ["destinationIPNet", "gateway", "flag"]
_COLUMNS_PROCESS = ["pid", "user", "priority", "nice", "virtMemory", "residentSize"]
_COLUMNS_PROCESS += ["sharedMemory", "status", "CPUUsage", "MemoryUsage", "time", "command"]
_COLUMNS_ENDPOINT = [*_COLUMNS_WIDE, "Endpoint", "EPort", "Weight", "State", "Counters"]


@app.callback()
def _get() -> None:
    """Show what a running daemon has."""


@app.command("lb")
@app.command("loadbalancer", hidden=True)
@connected
def get_lb(
    client: Client,
    name: Annotated[str | None, typer.Option("--servName", help="only rules of this name")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the rules; with -o wide each endpoint, its state and what it was sent."""
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
            show_values({"lbAttr": [as_client(rule) for rule in rules]}, output)


@app.command("endpoint")
@app.command("ep", hidden=True)
@connected
def get_endpoint(
    client: Client,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the endpoints that are checked, and what is believed of them."""
    found = client.get(f"{HOSTS}/all")
    _show(found, output, _COLUMNS_HOST, _host_row)


@app.command("bgpneighbor")
@app.command("bgpnei", hidden=True)
@app.command("bgpneigh", hidden=True)
@connected
def get_bgpneighbor(
    client: Client,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the BGP peers and their sessions."""
    found = client.get(f"{NEIGHBOURS}/all")
    keys = ("ipAddress", "remoteAs", "updowntime", "state")
    _show(found, output, _COLUMNS_NEIGHBOUR, lambda peer: [peer[key] for key in keys])


@app.command("bfd")
@connected
def get_bfd(
    client: Client,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the peers that BFD watches; with -o wide how fast."""
    found = client.get(f"{BFD}/all")
    keys: tuple[str, ...] = ("instance", "remoteIp", "state")
    columns = _COLUMNS_BFD
    if output is Output.WIDE:
        keys = ("instance", "remoteIp", "sourceIP", "port", "interval", "retryCount", "state")
        columns = _COLUMNS_BFD_WIDE
    _show(found, output, columns, lambda session: [session[key] for key in keys])


@app.command("hastate")
@app.command("ha", hidden=True)
@connected
def get_hastate(
    client: Client,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show whether routers are to prefer this node (MASTER) or the others (BACKUP)."""
    found = client.get(f"{CISTATE}/all")
    _show(found, output, _COLUMNS_HA, lambda state: [state["instance"], state["state"]])


@app.command("conntrack")
@app.command("ct", hidden=True)
@connected
def get_conntrack(
    client: Client,
    name: Annotated[str | None, typer.Option("--servName", help="only of this service")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the flows that are remembered one by one, 1,000 at most; the hash knows all others."""
    found = client.get(f"{CONFIG}/conntrack/all")
    if name is not None:
        found = {"ctAttr": [flow for flow in found["ctAttr"] if flow["servName"] == name]}
    _show(found, output, _COLUMNS_CT, _flow_row)


@app.command("port")
@connected
def get_port(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show the interfaces that VIP packets are taken from."""
    _show(client.get(f"{CONFIG}/port/all"), output, _COLUMNS_PORT, _port_row)


@app.command("route")
@connected
def get_route(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show the kernel's routes, 1,000 of the main table at most; with -o wide who made them."""
    keys: tuple[str, ...] = ("destinationIPNet", "gateway", "flags")
    columns = _COLUMNS_ROUTE
    if output is Output.WIDE:
        keys, columns = (*keys, "protocol"), [*columns, "protocol"]
    found = client.get(f"{CONFIG}/route/all")
    _show(found, output, columns, lambda route: [route[key] for key in keys])


@app.command("firewall")
@app.command("fw", hidden=True)
@connected
def get_firewall(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show which clients are served and which are not, a line for each service."""
    _show(client.get(f"{FIREWALL}/all"), output, _COLUMNS_FIREWALL, _firewall_row)


@app.command("process")
@connected
def get_process(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show the daemon and what it started."""
    found = client.get(f"{LOXILB}/status/process")
    _show(found, output, _COLUMNS_PROCESS, lambda each: [each[key] for key in _COLUMNS_PROCESS])


@app.command("log-level")
@connected
def get_log_level(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show how much the daemon logs."""
    _show_one(client.get(f"{CONFIG}/params"), output, ["Log level"])


@app.command("lbversion")
@connected
def get_lbversion(client: Client, output: OutputOption = Output.TABLE) -> None:
    """Show the daemon's version, which may be another than this program's."""
    _show_one(client.get(f"{LOXILB}/version"), output, ["Version", "Build Info"])


def _show_one(found: dict[str, Any], output: Output, columns: list[str]) -> None:
    """Show values that are no list."""
    if output in {Output.JSON, Output.YAML}:
        show_values(found, output)
    else:
        show_table(columns, [list(found.values())])


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


def _flow_row(flow: dict[str, Any]) -> list[object]:
    keys = (
        "servName",
        "destinationIP",
        "sourceIP",
        "destinationPort",
        "sourcePort",
        "protocol",
        "ident",
        "conntrackState",
        "conntrackAct",
    )
    # No flow has counters of its own.
    return [*(flow[key] for key in keys), flow.get("packets", "-"), flow.get("bytes", "-")]


def _port_row(port: dict[str, Any]) -> list[object]:
    hardware, layer3 = port["portHardwareInformation"], port["portL3Information"]
    state = "/".join(str(bool(hardware.get(key))).lower() for key in ("link", "state"))
    addresses = [*(layer3["IPv4Address"] or []), *(layer3["IPv6Address"] or [])]
    layer2 = port["portL2Information"]
    pvid = str(layer2.get("isPvid", False)).lower()
    return [
        port["portNo"],
        port["portName"],
        hardware["macAddress"],
        state,
        ", ".join(addresses),
        f"isPVID: {pvid} VID: {layer2.get('vid', 0)}",
    ]


def _firewall_row(rule: dict[str, Any]) -> list[object]:
    given = rule["ruleArguments"]
    numbers = ("minSourcePort", "maxSourcePort", "minDestinationPort", "maxDestinationPort")
    options = [name for name, is_set in rule["opts"].items() if is_set]
    return [
        given["sourceIP"],
        given["destinationIP"],
        *(given.get(key, 0) for key in (*numbers, "protocol")),
        given.get("portName", ""),
        given.get("preference", 0),
        ", ".join(options),
    ]


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
