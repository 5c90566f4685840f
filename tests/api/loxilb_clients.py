"""Requests as clients of LoxiLB were seen to send them, and what they expect back."""

import copy
from typing import Any

from tests.api.fakes import Answer, Api

RULE = "/netlox/v1/config/loadbalancer"
SUCCESS = {"result": "Success"}

# What `loxicmd create lb` of the seed's command was seen to send.
LOXICMD: dict[str, Any] = {
    "serviceArguments": {
        "externalIP": "20.20.20.1",
        "port": 8080,
        "protocol": "tcp",
        "sel": 1,
        "mode": 3,
        "BGP": True,
        "Monitor": False,
        "inactiveTimeOut": 0,
        "block": 0,
        "proxyprotocolv2": False,
        "egress": False,
    },
    "secondaryIPs": None,
    "allowedSources": None,
    "endpoints": [
        {"endpointIP": ip, "targetPort": 8080, "weight": 1, "state": "", "counter": ""}
        for ip in ("58.58.58.1", "56.56.56.1", "57.57.57.1")
    ],
}

# What `kube-loxilb` sends for a Service with DSR annotations.
KUBE: dict[str, Any] = {
    "serviceArguments": {
        "externalIP": "20.20.20.1",
        "privateIP": "",
        "port": 8080,
        "protocol": "tcp",
        "sel": 1,
        "mode": 3,
        "BGP": True,
        "Monitor": False,
        "inactiveTimeOut": 1800,
        "block": 0,
        "managed": True,
        "probetype": "",
        "probeport": 0,
        "probereq": "",
        "proberesp": "",
        "name": "default_nginx:llb-inst0",
        "path_prefix": "",
        "backend_protocol": "",
    },
    "secondaryIPs": [],
    "allowedSources": [],
    "endpoints": [
        {"endpointIP": "56.56.56.1", "targetPort": 8080, "weight": 1, "state": "", "counter": ""}
    ],
}


def changed(rule: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """A rule with other arguments."""
    copied = copy.deepcopy(rule)
    copied["serviceArguments"] |= arguments
    return copied


def with_endpoints(rule: dict[str, Any], *endpoints: tuple[str, int]) -> dict[str, Any]:
    copied = copy.deepcopy(rule)
    copied["endpoints"] = [
        {"endpointIP": ip, "targetPort": 8080, "weight": weight} for ip, weight in endpoints
    ]
    return copied


def listed(api: Api) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = api.ask("GET", f"{RULE}/all").json["lbAttr"]
    return rules


def endpoints_of(api: Api) -> dict[str, int]:
    return {each["endpointIP"]: each["weight"] for each in listed(api)[0]["endpoints"]}


def assert_success(answer: Answer) -> None:
    assert (answer.status, answer.json) == (200, SUCCESS)
    assert answer.headers["content-type"] == "application/json"
