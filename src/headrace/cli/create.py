"""`headrace create`: the grammar of `loxicmd create`."""

import json
from typing import Annotated, Any

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import connected
from headrace.cli.rules import (
    BFD,
    FIREWALL,
    FIREWALL_EXISTS,
    HOSTS,
    KERNEL_ROUTES,
    MODES,
    NEIGHBOURS,
    ONLY_HASH,
    RULE_EXISTS,
    RULES,
    SECURITIES,
    SELECTS,
    read_choice,
    read_endpoints,
    read_firewall,
    read_list,
    read_mappings,
    remedied,
)

app = typer.Typer(
    help="Create something on a running daemon.", no_args_is_help=True, add_completion=False
)

_Listen = Annotated[
    list[str] | None, typer.Option(help="PORT:PORT or FIRST-LAST:FIRST-LAST; repeat for more")
]
_Words = Annotated[list[str] | None, typer.Option(help="not for direct server return")]
_Prefixes = Annotated[
    list[str] | None, typer.Option(help="PREFIX,...: only these clients are served")
]
_Text = Annotated[str, typer.Option(help="not for direct server return")]
_Flag = Annotated[bool, typer.Option(help="not for direct server return")]

_REMEDIES = {
    ONLY_HASH: "use --select=hash, or --select=persist for one endpoint a client",
    RULE_EXISTS: "the very same rule is there; `headrace get lb` lists all",
}


@app.callback()
def _create() -> None:
    """Create something on a running daemon."""


@app.command("lb")
@connected
def create_lb(
    client: Client,
    vip: Annotated[str, typer.Argument(metavar="IP", help="the address that clients use")],
    *,
    tcp: _Listen = None,
    udp: _Listen = None,
    sctp: _Listen = None,
    icmp: _Flag = False,
    endpoints: Annotated[
        list[str] | None, typer.Option(help="IP:WEIGHT,...: who answers, and their shares")
    ] = None,
    select: Annotated[
        str, typer.Option(help="hash, or persist: a client's flows all go to one endpoint")
    ] = "rr",
    mode: Annotated[str, typer.Option(help="always give dsr: direct server return")] = "default",
    bgp: Annotated[bool, typer.Option("--bgp", help="announce the VIP to the BGP peers")] = False,
    name: Annotated[str, typer.Option(help="a label for people and metrics")] = "",
    monitor: Annotated[bool, typer.Option("--monitor", help="check the endpoints")] = False,
    inatimeout: Annotated[int, typer.Option(help="accepted; stable flows keep no state")] = 0,
    attach: Annotated[bool, typer.Option("--attachEP", help="add these endpoints")] = False,
    detach: Annotated[bool, typer.Option("--detachEP", help="remove these endpoints")] = False,
    mark: Annotated[int, typer.Option(help="not for direct server return")] = 0,
    secips: _Words = None,
    sources: _Prefixes = None,
    security: _Text = "",
    host: _Text = "",
    ppv2en: _Flag = False,
    egress: _Flag = False,
) -> None:
    """Create or replace a rule: a VIP, its ports, and the endpoints that answer.

    --select and --mode=dsr are needed; the defaults are LoxiLB's, which are refused:

    create lb 20.20.20.1 --select=hash --tcp=8080:8080 --endpoints=56.56.56.1:1 --mode=dsr --bgp
    """
    rule: dict[str, Any] = {
        "externalIP": vip,
        "sel": read_choice(SELECTS, select, "--select"),
        "mode": read_choice(MODES, mode, "--mode"),
        "BGP": bgp,
        "Monitor": monitor,
        "inactiveTimeOut": inatimeout,
        "block": mark,
        "name": name,
        "oper": 1 if attach else 2 if detach else 0,
        "security": read_choice(SECURITIES, security, "--security"),
        "host": host,
        "proxyprotocolv2": ppv2en,
        "egress": egress,
    }
    body = {
        "serviceArguments": rule,
        "endpoints": read_endpoints(endpoints or []),
        "secondaryIPs": [{"secondaryIP": word} for word in read_list(secips or [])],
        "allowedSources": [{"prefix": word} for word in read_list(sources or [])],
    }
    mappings = read_mappings({"tcp": tcp, "udp": udp, "sctp": sctp}, icmp=icmp)
    _send(client, body, mappings)


@app.command("endpoint")
@app.command("ep", hidden=True)
@connected
def create_endpoint(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the endpoint's own address")],
    *,
    name: Annotated[str, typer.Option(help="of the check; IP_TYPE_PORT if absent")] = "",
    probetype: Annotated[
        str, typer.Option(help="ping, tcp, udp, sctp, http, https or none")
    ] = "ping",
    probereq: Annotated[str, typer.Option(help="what is asked for, or sent")] = "",
    proberesp: Annotated[str, typer.Option(help="what the answer must have")] = "",
    probeport: Annotated[int, typer.Option(help="the service's port if 0")] = 0,
    period: Annotated[int, typer.Option(help="seconds from one probe to the next")] = 60,
    retries: Annotated[int, typer.Option(help="bad results in a row that mean down")] = 2,
) -> None:
    """Check an endpoint at its own address, in the rules that list it and have no check."""
    body = {
        "hostName": address,
        "name": name,
        "inactiveReTries": retries,
        "probeType": probetype,
        "probeReq": probereq,
        "probeResp": proberesp,
        "probeDuration": period,
        "probePort": probeport,
    }
    print(client.send("POST", HOSTS, json.dumps(body))["result"])


@app.command("bgpneighbor")
@app.command("bgpnei", hidden=True)
@app.command("bgpneigh", hidden=True)
@connected
def create_bgpneighbor(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the peer's address")],
    as_number: Annotated[int, typer.Argument(metavar="ASN", help="its autonomous system")],
    *,
    remote_port: Annotated[int, typer.Option("--remotePort", help="its port")] = 179,
    multihop: Annotated[
        bool, typer.Option("--setMultiHop", "--setMultiHtop", help="it is some routers away")
    ] = False,
) -> None:
    """Have a BGP peer."""
    body = {
        "ipAddress": address,
        "remoteAs": as_number,
        "remotePort": remote_port,
        "setMultiHop": multihop,
    }
    print(client.send("POST", NEIGHBOURS, json.dumps(body))["result"])


@app.command("bfd")
@app.command("bfd-session", hidden=True)
@connected
def create_bfd(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the BGP peer to watch")],
    *,
    source: Annotated[
        str, typer.Option("--sourceIP", help="the own end, for a peer some routers away")
    ] = "",
    interval: Annotated[int, typer.Option(help="microseconds between two packets")] = 200_000,
    retry_count: Annotated[
        int, typer.Option("--retryCount", help="packets missed in a row that mean down")
    ] = 3,
) -> None:
    """Have BFD watch a BGP peer."""
    body = {
        "instance": "default",
        "remoteIp": address,
        "sourceIp": source,
        "interval": interval,
        "retryCount": retry_count,
    }
    print(client.send("POST", BFD, json.dumps(body))["result"])


@app.command("firewall")
@app.command("fw", hidden=True)
@connected
def create_firewall(
    client: Client,
    *,
    rule: Annotated[
        list[str],
        typer.Option(
            "--firewallRule", help="KEY:VALUE,...: sourceIP, destinationIP, minDestinationPort, ..."
        ),
    ],
    allow: Annotated[bool, typer.Option("--allow", help="serve these clients")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="do not serve them")] = False,
    trap: _Flag = False,
    record: _Flag = False,
    redirect: _Text = "",
    setmark: Annotated[int, typer.Option(help="not for direct server return")] = 0,
    snat: _Text = "",
    egress: _Flag = False,
) -> None:
    """Serve some clients of a VIP, or do not; the longest prefix of those that name one counts.

    create firewall --firewallRule=sourceIP:192.0.2.0/24,destinationIP:20.20.20.1/32 --drop
    """
    options = {
        "allow": allow,
        "drop": drop,
        "trap": trap,
        "record": record,
        "redirect": bool(redirect),
        "fwMark": setmark,
        "doSnat": bool(snat),
        "onDefault": egress,
    }
    body = {"ruleArguments": read_firewall(rule), "opts": options}
    with remedied(
        {FIREWALL_EXISTS: "the very same rule is there; `headrace get firewall` lists all"}
    ):
        print(client.send("POST", FIREWALL, json.dumps(body))["result"])


@app.command("route")
@connected
def create_route(
    _client: Client,
    destination: Annotated[str, typer.Argument(metavar="NET", help="what it leads to")],
    gateway: Annotated[str, typer.Argument(metavar="GATEWAY", help="the next hop")],
    *,
    _proto: Annotated[str, typer.Option("--proto", help="as loxicmd has it")] = "static",
) -> None:
    """Say why this adds no route: routes are the kernel's."""
    raise Failure(f"{KERNEL_ROUTES}: ip route add {destination} via {gateway}")


def _send(client: Client, body: dict[str, Any], mappings: list[dict[str, Any]]) -> None:
    """Send the rule once for each protocol and port; print each answer."""
    for mapping in mappings:
        with remedied(_REMEDIES):
            print(client.send("POST", RULES, json.dumps(_mapped(body, mapping)))["result"])


def _mapped(body: dict[str, Any], mapping: dict[str, Any]) -> dict[str, Any]:
    """The rule for one protocol and port."""
    ports = dict(mapping)
    target = ports.pop("target")
    endpoints = [endpoint | {"targetPort": target} for endpoint in body["endpoints"]]
    arguments = body["serviceArguments"] | ports
    return {**body, "serviceArguments": arguments, "endpoints": endpoints}
