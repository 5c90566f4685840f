"""Every request that LoxiLB's clients were recorded to send, and what they get here.

One table: who sends it and when, the request, the answer's status, its result or a part of it.
"""

from itertools import permutations
from typing import Any

import pytest

from headrace.model import build_document
from tests.api.fakes import Answer, Api, FakeOperator
from tests.api.loxilb_clients import KUBE, LOXICMD, RULE, changed

CONFIG = "/netlox/v1/config"
POLICY = f"{CONFIG}/bgp/policy"
SUCCESS = "Success"

PEERS = [
    {"address": "11.11.11.254", "as": 65001},
    {"address": "10.0.0.2", "as": 64512},
]
SERVICE = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 8080,
    "name": "default_nginx:llb-inst0",
    "endpoints": [{"address": "56.56.56.1"}, {"address": "57.57.57.1"}],
    "announce": True,
}
DOCUMENT = {
    "services": [SERVICE],
    "bgp": {"as": 64512, "router_id": "10.0.0.1", "peers": PEERS, "bfd": {}},
}
"""What is there when a request comes."""

EMPTY: dict[str, Any] = {}

BGP_PEER = {"ipAddress": "11.11.11.254", "remoteAs": 65001, "remotePort": 0, "setMultiHop": False}
BFD = {
    "instance": "default",
    "remoteIp": "11.11.11.254",
    "sourceIp": "",
    "port": 0,
    "interval": 200000,
    "retryCount": 3,
    "state": "",
}
ROUTE = {
    "flags": "",
    "gateway": "10.0.0.254",
    "destinationIPNet": "56.56.56.0/24",
    "hardwareMark": 0,
    "statistic": {"bytes": 0, "packets": 0},
    "protocol": "static",
}
HOST = {
    "hostName": "56.56.56.1",
    "name": "",
    "inactiveReTries": 2,
    "probeType": "ping",
    "probeReq": "",
    "probeResp": "",
    "probeDuration": 60,
    "probePort": 0,
}
BARE_RULE = {  # as `loxicmd apply -l` sends what it has saved
    "serviceArguments": {
        "externalIP": "20.20.20.2",
        "port": 8080,
        "protocol": "tcp",
        "sel": 1,
        "mode": 3,
        "BGP": True,
    },
    "endpoints": [{"endpointIP": "56.56.56.1", "targetPort": 8080, "weight": 1}],
}
OTHER = changed(LOXICMD, externalIP="20.20.20.2")
OTHER_KUBE = changed(KUBE, externalIP="20.20.20.2")
GLOBAL = {"localAs": 64512, "routerId": "10.0.0.1", "setNextHopSelf": True, "listenPort": 179}
KUBE_PEER = {"ipAddress": "10.0.0.3", "remoteAs": 64512, "remotePort": 179}
LB_PATH = "externalipaddress/20.20.20.1/port/8080"

Replay = tuple[str, str, str, Any, int, str]

REPLAYS: list[Replay] = [
    # loxicmd
    ("create lb, the demo's", "POST", RULE, OTHER, 200, SUCCESS),
    ("create lb without --select", "POST", RULE, changed(OTHER, sel=0), 200, "Only Hash Selection"),
    ("create lb without --mode", "POST", RULE, changed(OTHER, mode=0), 400, "mode default (DNAT)"),
    ("create lb --icmp", "POST", RULE, changed(OTHER, protocol="icmp", port=0), 400, "leave icmp"),
    ("create lb --attachEP", "POST", RULE, changed(LOXICMD, oper=1), 200, SUCCESS),
    ("create lb --detachEP", "POST", RULE, changed(LOXICMD, oper=2), 200, SUCCESS),
    ("apply -l", "POST", RULE, BARE_RULE, 200, SUCCESS),
    (
        "delete lb",
        "DELETE",
        f"{RULE}/hosturl/any/{LB_PATH}/portmax/0/protocol/tcp?bgp=false&block=0",
        None,
        200,
        SUCCESS,
    ),
    (
        "delete lb of none",
        "DELETE",
        f"{RULE}/hosturl/any/{LB_PATH}/portmax/0/protocol/udp?bgp=false&block=0",
        None,
        404,
        "no-rule error",
    ),
    ("delete lb --name", "DELETE", f"{RULE}/name/default_nginx:llb-inst0", None, 200, SUCCESS),
    ("create endpoint", "POST", f"{CONFIG}/endpoint", HOST, 200, SUCCESS),
    (
        "delete endpoint of a rule",
        "DELETE",
        f"{CONFIG}/endpoint/epipaddress/56.56.56.1?name=&probe_port=0&probe_type=ping",
        None,
        409,
        "LB Rule-referred",
    ),
    ("create bgpneighbor", "POST", f"{CONFIG}/bgp/neigh", BGP_PEER, 200, SUCCESS),
    (
        "delete bgpneighbor",
        "DELETE",
        f"{CONFIG}/bgp/neigh/11.11.11.254?remoteAs=65001",
        None,
        200,
        SUCCESS,
    ),
    ("create bfd", "POST", f"{CONFIG}/bfd", BFD, 200, SUCCESS),
    ("set bfd", "POST", f"{CONFIG}/bfd", BFD | {"interval": 0, "retryCount": 5}, 200, SUCCESS),
    ("delete bfd", "DELETE", f"{CONFIG}/bfd/remoteIP/11.11.11.254?instance=default", None, 200, ""),
    ("create route", "POST", f"{CONFIG}/route", ROUTE, 501, "is not served by headrace"),
    (
        "delete route",
        "DELETE",
        f"{CONFIG}/route/destinationIPNet/56.56.56.0/24",
        None,
        501,
        "is not served by headrace",
    ),
    ("set log-level", "POST", f"{CONFIG}/params", {"logLevel": "debug"}, 200, SUCCESS),
    ("get log-level", "GET", f"{CONFIG}/params", None, 200, ""),
    ("get lbversion", "GET", "/netlox/v1/version", None, 200, ""),
    ("get process", "GET", "/netlox/v1/status/process", None, 200, ""),
    # kube-loxilb
    ("is it alive", "GET", "/netlox/v1", None, 200, SUCCESS),
    (
        "--setRoles",
        "POST",
        f"{CONFIG}/cistate",
        {"instance": "llb-inst0", "state": "MASTER", "vip": "20.20.20.9"},
        200,
        SUCCESS,
    ),
    ("--setBGP", "POST", f"{CONFIG}/bgp/global", GLOBAL, 200, SUCCESS),
    ("--setBGP, the mesh", "POST", f"{CONFIG}/bgp/neigh", KUBE_PEER, 200, SUCCESS),
    (
        "--extBGPPeers",
        "POST",
        f"{CONFIG}/bgp/neigh",
        KUBE_PEER | {"setMultiHop": True},
        200,
        SUCCESS,
    ),
    ("a Service", "POST", RULE, OTHER_KUBE, 200, SUCCESS),
    ("a Service without DSR", "POST", RULE, changed(OTHER_KUBE, mode=0), 400, "mode default"),
    ("epselect n3", "POST", RULE, changed(OTHER_KUBE, sel=7), 200, "Only Hash Selection"),
    (
        "a Service is gone, with a body",
        "DELETE",
        f"{RULE}/{LB_PATH}/protocol/tcp?bgp=true&block=0",
        KUBE,
        200,
        SUCCESS,
    ),
    ("an LB is purged", "DELETE", f"{CONFIG}/bgp/neigh/10.0.0.2?remoteAs=64512", EMPTY, 200, ""),
    ("periodic compare", "GET", f"{RULE}/all", None, 200, ""),
    (
        "enableBGPCRDs, a set",
        "POST",
        f"{POLICY}/definedsets/prefix",
        {
            "name": "P1",
            "definedType": "prefix",
            "prefixList": [{"ipPrefix": "20.20.20.0/24", "masklengthRange": "24..32"}],
        },
        200,
        SUCCESS,
    ),
    (
        "enableBGPCRDs, applied before it is defined",
        "POST",
        f"{POLICY}/apply",
        {
            "ipAddress": "11.11.11.254",
            "policyType": "export",
            "policies": ["p"],
            "routeAction": "accept",
        },
        400,
        "no policy is called p",
    ),
    (
        "enableBGPCRDs, no longer applied",
        "DELETE",
        f"{POLICY}/apply",
        {"ipAddress": "11.11.11.254", "policyType": "export", "policies": ["p"]},
        200,
        SUCCESS,
    ),
    ("enableK8sMetadata", "POST", f"{CONFIG}/k8smeta", EMPTY, 501, "is not served by headrace"),
    ("the gateway's", "POST", "/netlox/v1/sni/certificates", EMPTY, 501, "TLS ends at the"),
]


@pytest.mark.parametrize("replay", REPLAYS, ids=[replay[0] for replay in REPLAYS])
def test_a_recorded_request_is_answered_as_its_client_needs_it(
    api: Api, operator: FakeOperator, replay: Replay
) -> None:
    _, method, path, body, status, said = replay
    operator.document = build_document(DOCUMENT)

    answer = api.ask(method, path, body)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert_reads_as(answer, method, said)


def assert_reads_as(answer: Answer, method: str, said: str) -> None:
    """Success exactly where it is one; an error with what people need, and no text read as one."""
    result = answer.json.get("result")
    if said == SUCCESS or (answer.status == 200 and method != "GET" and not said):
        assert answer.json == {"result": SUCCESS}
    elif said:
        assert said in result
        assert result != SUCCESS
        assert "exist" not in result
    if answer.status != 200:
        assert set(answer.json) == {"code", "message", "result"}
        assert answer.json["code"] == answer.status


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_demos_rule_in_any_order_of_endpoints_is_the_same(
    api: Api, operator: FakeOperator, order: tuple[int, ...]
) -> None:
    api.ask("POST", RULE, OTHER | {"endpoints": [OTHER["endpoints"][each] for each in order]})

    again = api.ask("POST", RULE, OTHER)

    assert (again.status, again.json["result"]) == (409, "lbrule-exists error")
    assert operator.revision == 1
