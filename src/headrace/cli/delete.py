"""`headrace delete`: the grammar of `loxicmd delete`."""

from typing import Annotated

import typer

from headrace.cli.client import Client, Failure
from headrace.cli.options import connected
from headrace.cli.rules import (
    BFD,
    FIREWALL,
    HOSTS,
    KERNEL_ROUTES,
    NEIGHBOURS,
    NO_FIREWALL,
    NO_HOST,
    NO_RULE,
    REFERRED,
    RULES,
    read_firewall,
    read_list,
    read_ports,
    remedied,
)

app = typer.Typer(
    help="Delete something from a running daemon.", no_args_is_help=True, add_completion=False
)

_Listen = Annotated[list[str] | None, typer.Option(help="PORT; repeat for more")]


@app.callback()
def _delete() -> None:
    """Delete something from a running daemon."""


@app.command("lb")
@connected
def delete_lb(
    client: Client,
    vip: Annotated[
        str | None, typer.Argument(metavar="IP", help="the address that clients use")
    ] = None,
    *,
    tcp: _Listen = None,
    udp: _Listen = None,
    sctp: _Listen = None,
    icmp: Annotated[bool, typer.Option("--icmp", help="the rule for ping")] = False,
    bgp: Annotated[
        bool, typer.Option("--bgp", help="accepted; the VIP is withdrawn in any case")
    ] = False,
    name: Annotated[str | None, typer.Option(help="every rule of this name")] = None,
    mark: Annotated[int, typer.Option(help="the rule with this mark")] = 0,
    host: Annotated[str, typer.Option(help="the rule for this host")] = "any",
) -> None:
    """Delete a rule: the VIP is withdrawn first, then no longer served."""
    if name is not None:
        print(client.send("DELETE", f"{RULES}/name/{name}")["result"])
        return
    listen = {"tcp": tcp or [], "udp": udp or [], "sctp": sctp or [], "icmp": ["0"] * icmp}
    ports = [(protocol, word) for protocol, texts in listen.items() for word in read_list(texts)]
    if vip is None or not ports:
        raise Failure("say which rule, as 20.20.20.1 --tcp=8080, or --name NAME")
    for protocol, word in ports:
        port, port_max = read_ports(word)
        path = f"hosturl/{host}/externalipaddress/{vip}/port/{port}/portmax/{port_max}"
        query = f"?bgp={str(bgp).lower()}&block={mark}"
        remedy = (
            f"no rule for {vip} {protocol} {word}{_also(host, mark)}; `headrace get lb` lists them"
        )
        with remedied({NO_RULE: remedy}):
            answer = client.send("DELETE", f"{RULES}/{path}/protocol/{protocol}{query}")
            print(answer["result"])


@app.command("endpoint")
@app.command("ep", hidden=True)
@connected
def delete_endpoint(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the endpoint's own address")],
    *,
    name: Annotated[str, typer.Option(help="of the check")] = "",
    probetype: Annotated[str, typer.Option(help="of the check")] = "ping",
    probeport: Annotated[int, typer.Option(help="of the check")] = 0,
) -> None:
    """Forget how an endpoint is checked."""
    query = f"?name={name}&probe_type={probetype}&probe_port={probeport}"
    remedies = {
        NO_HOST: "no such check; `headrace get endpoint` lists them",
        REFERRED: "a rule is checked by it; delete that, or change the document",
    }
    with remedied(remedies):
        print(client.send("DELETE", f"{HOSTS}/epipaddress/{address}{query}")["result"])


@app.command("bgpneighbor")
@app.command("bgpnei", hidden=True)
@app.command("bgpneigh", hidden=True)
@connected
def delete_bgpneighbor(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the peer's address")],
    as_number: Annotated[int, typer.Argument(metavar="ASN", help="its autonomous system")],
) -> None:
    """End the session with a BGP peer."""
    print(client.send("DELETE", f"{NEIGHBOURS}/{address}?remoteAs={as_number}")["result"])


@app.command("bfd")
@app.command("bfd-session", hidden=True)
@connected
def delete_bfd(
    client: Client,
    address: Annotated[str, typer.Argument(metavar="IP", help="the BGP peer")],
) -> None:
    """Have BFD watch a BGP peer no longer."""
    print(client.send("DELETE", f"{BFD}/remoteIP/{address}?instance=default")["result"])


@app.command("firewall")
@app.command("fw", hidden=True)
@connected
def delete_firewall(
    client: Client,
    *,
    rule: Annotated[
        list[str], typer.Option("--firewallRule", help="KEY:VALUE,..., as it was created")
    ],
) -> None:
    """Forget a firewall rule."""
    from urllib.parse import urlencode

    with remedied({NO_FIREWALL: "`headrace get firewall` lists them"}):
        print(client.send("DELETE", f"{FIREWALL}?{urlencode(read_firewall(rule))}")["result"])


@app.command("route")
@connected
def delete_route(
    _client: Client,
    destination: Annotated[str, typer.Argument(metavar="NET", help="what it leads to")],
) -> None:
    """Say why this deletes no route: routes are the kernel's."""
    raise Failure(f"{KERNEL_ROUTES}: ip route del {destination}")


def _also(host: str, mark: int) -> str:
    """What else names a rule, in words."""
    return f" host {host}" * (host != "any") + f" mark {mark}" * bool(mark)
