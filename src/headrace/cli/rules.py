"""The grammar of `loxicmd` for load-balancer rules. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from headrace.cli.client import Failure

SELECTS = {"rr": 0, "hash": 1, "priority": 2, "persist": 3, "lc": 4, "n2": 5, "n3": 6}
MODES = {"default": 0, "onearm": 1, "fullnat": 2, "dsr": 3, "fullproxy": 4, "hostonearm": 5}
SECURITIES = {"": 0, "https": 1, "tls": 1, "e2ehttps": 2, "e2etls": 2}

# What LoxiLB says, which tells its clients what happened and people not what to do.
ONLY_HASH = "Error: Only Hash Selection criteria allowed for DSR mode"
RULE_EXISTS = "lbrule-exists error"
NO_RULE = "no-rule error"
NO_HOST = "host-notfound error"
REFERRED = "endpoint error: LB Rule-referred"
FIREWALL_EXISTS = "fwrule-exists error"
NO_FIREWALL = "no such fwrule"

KERNEL_ROUTES = "the kernel's routes are used as they are; on the node, run"

LOXILB = "/netlox/v1"
CONFIG = f"{LOXILB}/config"
RULES = f"{CONFIG}/loadbalancer"
HOSTS = f"{CONFIG}/endpoint"
NEIGHBOURS = f"{CONFIG}/bgp/neigh"
BFD = f"{CONFIG}/bfd"
CISTATE = f"{CONFIG}/cistate"
FIREWALL = f"{CONFIG}/firewall"

_FIREWALL_TEXTS = ("sourceIP", "destinationIP", "portName")
_FIREWALL_NUMBERS = (
    "minSourcePort",
    "maxSourcePort",
    "minDestinationPort",
    "maxDestinationPort",
    "protocol",
    "preference",
)


@contextmanager
def remedied(remedies: Mapping[str, str]) -> Iterator[None]:
    """Add what to do to a failure that LoxiLB tells in a fixed text."""
    try:
        yield
    except Failure as failure:
        remedy = remedies.get(str(failure))
        if remedy is None:
            raise
        raise Failure(f"{failure}: {remedy}") from failure


def read_choice(choices: Mapping[str, int], text: str, option: str) -> int:
    """The number of a named choice."""
    if text not in choices:
        names = ", ".join(name for name in choices if name)
        raise Failure(f"{option} {text!r} is none of {names}")
    return choices[text]


def read_list(texts: Iterable[str]) -> list[str]:
    """The words of an option that may be repeated and may hold several words at once."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def read_endpoints(texts: Iterable[str]) -> list[dict[str, Any]]:
    """`IP:WEIGHT,...`: endpoints without their port."""
    return [_read_endpoint(word) for word in read_list(texts)]


def read_ports(text: str) -> tuple[int, int]:
    """`PORT` or `PORT-MAX`; the maximum is 0 for a single port."""
    first, dash, last = text.partition("-")
    try:
        ports = (int(first), int(last) if dash else 0)
    except ValueError as error:
        raise Failure(f"{text!r} is not PORT or PORT-MAX, as 8080 or 8080-8090") from error
    if not all(0 <= port <= 65_535 for port in ports):
        raise Failure(f"{text!r} has a port that is not in 0..65535")
    return ports


def read_mappings(
    listen: Mapping[str, Iterable[str] | None], *, icmp: bool
) -> list[dict[str, Any]]:
    """What each `PORT[-MAX]:TARGET[-MAX]` of each protocol says of a rule."""
    mappings = [
        _read_mapping(protocol, word)
        for protocol, texts in listen.items()
        for word in read_list(texts or [])
    ]
    if icmp:
        mappings.append({"protocol": "icmp", "port": 0, "portMax": 0, "target": 0})
    if not mappings:
        raise Failure("say what to listen on, as --tcp=8080:8080")
    return mappings


def _read_mapping(protocol: str, word: str) -> dict[str, Any]:
    outside, colon, inside = word.partition(":")
    if not colon:
        raise Failure(f"--{protocol} {word!r} is not PORT:TARGET, as 8080:8080")
    port, port_max = read_ports(outside)
    target, target_max = read_ports(inside)
    if target_max and target_max - target != port_max - port:
        raise Failure(f"--{protocol} {word!r} has ranges of different sizes; make them the same")
    return {"protocol": protocol, "port": port, "portMax": port_max, "target": target}


def _read_endpoint(word: str) -> dict[str, Any]:
    address, colon, weight = word.rpartition(":")
    try:
        number = int(weight)
    except ValueError:
        colon, number = "", 0
    if not colon or not address:
        raise Failure(f"--endpoints {word!r} is not IP:WEIGHT, as 56.56.56.1:1")
    return {"endpointIP": address.removeprefix("[").removesuffix("]"), "weight": number}


def read_firewall(texts: Iterable[str]) -> dict[str, Any]:
    """`KEY:VALUE,...`: what a firewall rule matches."""
    found: dict[str, Any] = {}
    for word in read_list(texts):
        key, colon, value = word.partition(":")
        if not colon or key not in {*_FIREWALL_TEXTS, *_FIREWALL_NUMBERS}:
            keys = ", ".join((*_FIREWALL_TEXTS, *_FIREWALL_NUMBERS))
            raise Failure(f"--firewallRule {word!r} is not KEY:VALUE with one of {keys}")
        if key in _FIREWALL_NUMBERS and not (value.isascii() and value.isdigit()):
            raise Failure(f"--firewallRule {word!r}: {value!r} is not a whole number")
        found[key] = int(value) if key in _FIREWALL_NUMBERS else value
    if not found:
        raise Failure("say what it matches, as --firewallRule=sourceIP:192.0.2.0/24")
    return found


def as_client(rule: dict[str, Any]) -> dict[str, Any]:
    """The rule with the keys that clients of LoxiLB write, none left out."""
    arguments = dict(rule["serviceArguments"])
    arguments["BGP"] = arguments.pop("bgp", False)
    arguments["Monitor"] = arguments.pop("monitor", False)
    for name, zero in (("name", ""), ("inactiveTimeOut", 0), ("block", 0)):
        arguments.setdefault(name, zero)
    return {**rule, "serviceArguments": arguments}
