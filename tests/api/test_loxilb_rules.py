"""Rules that clients of LoxiLB send: taken, replaced, or refused by name."""

import json
from typing import Any

import pytest

from headrace.api.rules import listed_endpoints, rule_of
from headrace.model import (
    Affinity,
    Health,
    KernelError,
    UnavailableError,
    Unserved,
    build_document,
)
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import (
    KUBE,
    LOXICMD,
    RULE,
    assert_success,
    changed,
    endpoints_of,
    listed,
    with_endpoints,
)


@pytest.mark.parametrize("rule", [LOXICMD, KUBE], ids=["loxicmd", "kube-loxilb"])
def test_a_rule_becomes_a_service(api: Api, operator: FakeOperator, rule: dict[str, Any]) -> None:
    assert_success(api.ask("POST", RULE, rule))

    service = operator.document.services[0]
    assert service.label == "20.20.20.1:8080/tcp"
    assert service.announce
    assert service.name == rule["serviceArguments"].get("name")
    assert {str(e.address): e.weight for e in service.endpoints or ()} == {
        each["endpointIP"]: 1 for each in rule["endpoints"]
    }


def test_a_rule_is_listed_as_loxilb_does(api: Api) -> None:
    api.ask("POST", RULE, KUBE)

    assert listed(api) == [
        {
            "serviceArguments": {
                "externalIP": "20.20.20.1",
                "port": 8080,
                "protocol": "tcp",
                "sel": 1,
                "mode": 3,
                "bgp": True,
                "name": "default_nginx:llb-inst0",
            },
            "secondaryIPs": None,
            "allowedSources": None,
            "endpoints": [
                {
                    "endpointIP": "56.56.56.1",
                    "targetPort": 8080,
                    "weight": 1,
                    "state": "active",
                    "counter": "3:300",
                }
            ],
        }
    ]


def test_what_was_listed_can_be_posted_again(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, KUBE)
    before = operator.document
    rule = listed(api)[0]
    api.ask("DELETE", f"{RULE}/all")

    assert_success(api.ask("POST", RULE, rule))
    assert operator.document == before


def test_keys_match_in_any_case_and_unknown_ones_are_nobodys_business(
    api: Api, operator: FakeOperator
) -> None:
    text = json.dumps(LOXICMD | {"futureKey": {"a": [None]}})
    for name in ("serviceArguments", "externalIP", "endpointIP", "targetPort", "BGP", "endpoints"):
        text = text.replace(f'"{name}"', f'"{name.upper()}"')

    assert_success(api.ask("POST", RULE, text))
    assert operator.document.services[0].announce


def test_a_long_name_of_kubernetes_is_taken(api: Api, operator: FakeOperator) -> None:
    name = f"{'n' * 63}_{'s' * 63}:llb-inst0"

    assert_success(api.ask("POST", RULE, changed(KUBE, name=name)))
    assert operator.document.services[0].name == name


def test_the_same_rule_in_another_order_is_there_already(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, LOXICMD)
    again = LOXICMD | {"endpoints": LOXICMD["endpoints"][::-1]}

    answer = api.ask("POST", RULE, again)

    assert answer.status == 409
    assert answer.json == {"code": 409, "message": "Conflict", "result": "lbrule-exists error"}
    assert operator.revision == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(with_endpoints(LOXICMD, ("56.56.56.1", 1)), id="fewer endpoints"),
        pytest.param(with_endpoints(LOXICMD, ("59.59.59.1", 1)), id="other endpoints"),
        pytest.param(
            with_endpoints(LOXICMD, ("56.56.56.1", 1), ("57.57.57.1", 1), ("58.58.58.1", 9)),
            id="another weight",
        ),
        pytest.param(changed(LOXICMD, BGP=False), id="no longer announced"),
        pytest.param(changed(LOXICMD, name="web"), id="another name"),
        pytest.param(changed(LOXICMD, sel=3), id="another affinity"),
    ],
)
def test_a_rule_of_the_same_key_replaces(
    api: Api, operator: FakeOperator, other: dict[str, Any]
) -> None:
    api.ask("POST", RULE, LOXICMD)

    assert_success(api.ask("POST", RULE, other))

    assert operator.revision == 2
    assert len(operator.document.services) == 1
    assert endpoints_of(api) == {e["endpointIP"]: e["weight"] for e in other["endpoints"]}
    assert operator.document.services[0].announce == other["serviceArguments"]["BGP"]


def test_what_the_operator_drained_stays_so_through_a_replacement(
    api: Api, operator: FakeOperator
) -> None:
    raw = {"address": "56.56.56.1", "state": "draining"}
    operator.document = build_document(
        {"services": [{"vip": "20.20.20.1", "protocol": "tcp", "port": 8080, "endpoints": [raw]}]}
    )

    assert_success(api.ask("POST", RULE, LOXICMD))

    assert {each["endpointIP"]: each["state"] for each in listed(api)[0]["endpoints"]} == {
        "58.58.58.1": "active",
        "56.56.56.1": "inactive",
        "57.57.57.1": "active",
    }


def test_endpoints_are_attached_and_detached(api: Api, operator: FakeOperator) -> None:
    attach = with_endpoints(changed(LOXICMD, oper=1), ("59.59.59.1", 2), ("56.56.56.1", 3))
    detach = with_endpoints(changed(LOXICMD, oper=2), ("57.57.57.1", 1), ("58.58.58.1", 1))
    api.ask("POST", RULE, LOXICMD)

    assert_success(api.ask("POST", RULE, attach))
    assert endpoints_of(api) == {
        "56.56.56.1": 3,
        "57.57.57.1": 1,
        "58.58.58.1": 1,
        "59.59.59.1": 2,
    }
    assert api.ask("POST", RULE, attach).status == 409
    assert_success(api.ask("POST", RULE, detach))
    assert endpoints_of(api) == {"56.56.56.1": 3, "59.59.59.1": 2}
    assert_success(api.ask("POST", RULE, detach))
    assert operator.revision == 3


def test_attaching_to_no_rule_creates_it(api: Api) -> None:
    assert_success(api.ask("POST", RULE, changed(LOXICMD, oper=1)))
    assert len(endpoints_of(api)) == 3


def test_detaching_the_last_endpoint_deletes_the_rule(api: Api) -> None:
    api.ask("POST", RULE, LOXICMD)

    assert_success(api.ask("POST", RULE, changed(LOXICMD, oper=2)))
    assert listed(api) == []


def test_detaching_from_no_rule_is_not_found(api: Api) -> None:
    answer = api.ask("POST", RULE, changed(LOXICMD, oper=2))

    assert (answer.status, answer.json["result"]) == (404, "lbrule not-exists error")


SHARED = build_document(
    {
        "services": [
            {"vip": "20.20.20.1", "protocol": "tcp", "port": 8080, "pool": "p", "announce": True}
        ],
        "pools": {"p": {"endpoints": [{"address": "56.56.56.1"}, {"address": "57.57.57.1"}]}},
    }
)


def test_a_service_of_a_shared_pool_is_listed_with_the_pools_endpoints(
    api: Api, operator: FakeOperator
) -> None:
    operator.document = SHARED

    assert endpoints_of(api) == {"56.56.56.1": 1, "57.57.57.1": 1}


@pytest.mark.parametrize("oper", [0, 1, 2])
def test_a_service_of_a_shared_pool_is_not_changed_behind_the_others(
    api: Api, operator: FakeOperator, oper: int
) -> None:
    operator.document = SHARED

    answer = api.ask("POST", RULE, with_endpoints(changed(LOXICMD, oper=oper), ("56.56.56.1", 2)))

    assert answer.status == 409
    assert answer.json["result"] == (
        "cant modify: 20.20.20.1:8080/tcp uses the shared pool p; change the document"
    )
    assert operator.document == SHARED


@pytest.mark.parametrize("sel", [0, 2, 4, 5, 6, 7])
def test_a_choice_that_is_no_hash_is_refused_as_loxilb_does(api: Api, sel: int) -> None:
    answer = api.ask("POST", RULE, changed(LOXICMD, sel=sel))

    assert (answer.status, answer.json) == (
        200,
        {"result": "Error: Only Hash Selection criteria allowed for DSR mode"},
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"mode": 0}, "mode default (DNAT) is not served", id="DNAT"),
        pytest.param({"mode": 1}, "mode onearm is not served", id="one-arm"),
        pytest.param({"mode": 2}, "mode fullnat is not served", id="full NAT"),
        pytest.param({"mode": 4}, "mode fullproxy is not served", id="proxy"),
        pytest.param({"mode": 5}, "mode hostonearm is not served", id="host one-arm"),
        pytest.param({"mode": 9}, "mode 9 is not served", id="no mode"),
        pytest.param({"protocol": "none"}, "only tcp, udp and sctp are served", id="no protocol"),
        pytest.param({"protocol": "icmp"}, "pings of a VIP are answered without", id="ICMP"),
        pytest.param({"portMax": 80}, "portMax error: the range must begin", id="a range back"),
        pytest.param({"port": 0, "portMax": 9}, "the range must begin with port 1", id="from 0"),
        pytest.param({"portMax": 65_536}, "is not a range of ports in 1..65535", id="too far"),
        pytest.param({"portMax": 13_000}, "4921 ports of all services are over", id="too wide"),
        pytest.param({"probetype": "icmp"}, "'icmp' is not served; use 'tcp'", id="no probe"),
        pytest.param(
            {"probetype": "tcp", "probereq": "x"}, "are for http, https and udp", id="a TCP request"
        ),
        pytest.param({"Monitor": True, "probeRetries": 101}, "not in 0..100", id="retries"),
        pytest.param({"Monitor": True, "probeTimeout": 86_401}, "not in 0..86400", id="period"),
        pytest.param({"Monitor": True, "probeTimeout": 3_601}, "is not in", id="our period"),
        pytest.param({"privateIP": "10.0.0.1"}, "privateIP error", id="NAT in a cloud"),
        pytest.param({"block": 7}, "marks are not served", id="a mark"),
        pytest.param({"host": "example.org"}, "not for layer 4", id="a host"),
        pytest.param({"security": 1}, "not for layer 4", id="TLS"),
        pytest.param({"proxyprotocolv2": True}, "not for DSR", id="proxy protocol"),
        pytest.param({"egress": True}, "not for DSR", id="egress"),
        pytest.param({"inactiveTimeOut": 86_401}, "not in 0..86400", id="an idle time too long"),
        pytest.param({"oper": 3}, "not in 0..2", id="no operation"),
        pytest.param({"externalIP": "20.20.20.300"}, "is not an IP address", id="no address"),
        pytest.param({"externalIP": "224.0.0.1"}, "is not a unicast address", id="multicast"),
        pytest.param({"port": -1}, "dsr-port error", id="no port"),
        pytest.param({"name": "a b"}, "characters that names must not have", id="no name"),
        pytest.param({"port": 80}, "malformed-service dsr-port error", id="another target port"),
    ],
)
def test_what_is_not_served_is_refused_by_its_name(
    api: Api, operator: FakeOperator, arguments: dict[str, Any], said: str
) -> None:
    answer = api.ask("POST", RULE, changed(LOXICMD, **arguments))

    assert answer.status == 400
    assert set(answer.json) == {"code", "message", "result"}
    assert answer.json["code"] == 400
    assert said in answer.json["result"]
    assert "exist" not in answer.json["result"]
    assert operator.revision == 0


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"endpoints": []}, "endpoints-range error"),
        ({"endpoints": None}, "endpoints-range error"),
        ({"secondaryIPs": [{"secondaryIP": "1.1.1.1"}]}, "DSR has no secondary addresses"),
        ({"allowedSources": [{"prefix": "1.1.1.1/8"}]}, "bits set behind the prefix; write 1.0"),
        ({"allowedSources": [{"prefix": "2001:db8::/32"}]}, "is no client of VIP 20.20.20.1"),
        (with_endpoints(LOXICMD, ("::1", 1)), "is not the address of a server"),
        (with_endpoints(LOXICMD, ("56.56.56.1", 257)), "257 is not a whole number in 0..256"),
        (with_endpoints(LOXICMD, ("56.56.56.1", 1), ("56.56.56.1", 1)), "keep one of them"),
    ],
)
def test_wrong_parts_of_a_rule_are_refused(api: Api, part: dict[str, Any], said: str) -> None:
    answer = api.ask("POST", RULE, LOXICMD | part)

    assert answer.status == 400
    assert said in answer.json["result"]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ("{", 400, 400, "malformed body: is not JSON"),
        ("[]", 400, 400, "malformed body"),
        (changed(LOXICMD, port="8080"), 400, 400, "serviceArguments.port: Input should be"),
        (changed(LOXICMD, BGP=1), 400, 400, "serviceArguments.BGP: Input should be"),
        (changed(LOXICMD, externalIP=None), 422, 602, "externalIP in body is required"),
        ({}, 422, 602, "serviceArguments in body is required"),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", 422, 602, "is required"),
        ('{"a":' * 90_000 + "1" + "}" * 90_000, 400, 400, "is nested too deeply; write it flat"),
        ("serviceArguments: {}", 400, 400, "is not JSON"),
        ('{"a":NaN}', 400, 400, "NaN is no number of JSON; use another"),
        ('{"a":1,"a":2}', 400, 400, "the key 'a' is given twice; keep one of them"),
        ({"serviceArguments": 5}, 400, 400, "serviceArguments: 5 is not a mapping of keys"),
    ],
)
def test_a_body_that_is_no_rule_is_refused(
    api: Api, body: Any, status: int, code: int, said: str
) -> None:
    answer = api.ask("POST", RULE, body)

    assert (answer.status, answer.json["code"]) == (status, code)
    assert said in answer.json["result"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (changed(LOXICMD, externalIP="x"), "serviceArguments.externalIP: 'x' is not an IP address"),
        (changed(LOXICMD, name="a b"), "serviceArguments.name: 'a b' has characters"),
        (
            LOXICMD
            | {"endpoints": [{"endpointIP": "56.56.56.300", "targetPort": 8080, "weight": 1}]},
            "endpoints[0].endpointIP: '56.56.56.300' is not an IP address",
        ),
        (
            LOXICMD | {"endpoints": [{"endpointIP": "1.1.1.1", "targetPort": 8080, "weight": 300}]},
            "endpoints[0].weight: 300 is not a whole number in 0..256",
        ),
        (
            LOXICMD | {"allowedSources": [{"prefix": "10.0.0.0/8"}, {"prefix": "10.0.0.1/8"}]},
            "allowedSources[1].prefix: 10.0.0.1/8 has bits set behind the prefix",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_key_that_was_sent(
    api: Api, body: dict[str, Any], said: str
) -> None:
    answer = api.ask("POST", RULE, body)

    assert answer.status == 400
    assert answer.json["result"].startswith(said)


def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    answer = api.ask("POST", RULE, b" " * (1024 * 1024 + 1))

    assert (answer.status, answer.json["code"]) == (400, 400)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(UnavailableError("no disk exists"), 503), (KernelError("open: File exists", 17), 500)],
)
def test_a_failure_never_reads_like_a_success(
    api: Api, operator: FakeOperator, failure: Exception, status: int
) -> None:
    operator.failure = failure

    answer = api.ask("POST", RULE, LOXICMD)

    assert answer.status == status
    assert "exist" not in answer.json["result"]


def test_persist_sends_a_client_to_one_endpoint(api: Api, operator: FakeOperator) -> None:
    affinities, listings = [], []
    for sel in (3, 1):
        assert_success(api.ask("POST", RULE, changed(LOXICMD, sel=sel)))
        affinities.append(operator.document.services[0].affinity)
        listings.append(listed(api)[0]["serviceArguments"]["sel"])

    assert affinities == [Affinity.SOURCE_IP, Affinity.FLOW]
    assert listings == [3, 1]


def test_a_range_of_ports_is_one_rule_and_one_service(api: Api, operator: FakeOperator) -> None:
    assert_success(api.ask("POST", RULE, changed(LOXICMD, portMax=8090)))
    overlapping = api.ask("POST", RULE, LOXICMD)
    arguments = listed(api)[0]["serviceArguments"]

    assert [each.label for each in operator.document.services] == ["20.20.20.1:8080-8090/tcp"]
    assert (arguments["port"], arguments["portMax"]) == (8080, 8090)
    assert overlapping.status == 400
    assert "has ports of services[0]" in overlapping.json["result"]


@pytest.mark.parametrize("port_max", ["0", "8080"])
def test_a_range_is_not_deleted_by_its_first_port(api: Api, port_max: str) -> None:
    where = "externalipaddress/20.20.20.1/port/8080/portmax"
    api.ask("POST", RULE, changed(LOXICMD, portMax=8090))

    other = api.ask("DELETE", f"{RULE}/{where}/{port_max}/protocol/tcp")
    same = api.ask("DELETE", f"{RULE}/{where}/8090/protocol/tcp")

    assert other.status == 404
    assert_success(same)


def test_allowed_sources_are_the_clients_that_are_served(api: Api, operator: FakeOperator) -> None:
    prefixes = [{"prefix": "10.0.0.0/8"}, {"prefix": "192.0.2.1"}, {"prefix": "10.0.0.0/8"}]
    rule = LOXICMD | {"allowedSources": prefixes}

    assert_success(api.ask("POST", RULE, rule))

    assert listed(api)[0]["allowedSources"] == [
        {"prefix": "10.0.0.0/8"},
        {"prefix": "192.0.2.1/32"},
    ]
    assert api.ask("POST", RULE, rule | {"allowedSources": prefixes[::-1]}).status == 409
    assert_success(api.ask("POST", RULE, LOXICMD))
    assert operator.document.services[0].sources == ()


def test_every_listing_is_of_the_rules_as_they_are(api: Api, operator: FakeOperator) -> None:
    def shown() -> list[dict[str, Any]]:
        (service,), (view,) = operator.document.services, operator.status().services
        document = operator.document
        rule = rule_of(service, document.check_of(document.pool_of(service)))
        return [rule | {"endpoints": listed_endpoints(view.endpoints, service.ports[0])}]

    for change in ({}, {"monitor": True}, {"name": "web"}, {"bgp": False}):
        arguments = LOXICMD["serviceArguments"] | change
        api.ask("POST", RULE, LOXICMD | {"serviceArguments": arguments})
        for health in Health:
            operator.health["56.56.56.1"] = health
            assert listed(api) == shown()


def test_an_ipv6_rule_of_sctp_is_created_and_deleted(api: Api, operator: FakeOperator) -> None:
    rule = with_endpoints(LOXICMD, ("2001:db8::56", 1), ("56.56.56.1", 2))
    where = "externalipaddress/2001:db8:0::1/port/8080/protocol/sctp"

    assert_success(api.ask("POST", RULE, changed(rule, externalIP="2001:db8::1", protocol="sctp")))
    labels = [each.label for each in operator.document.services]

    assert labels == ["[2001:db8::1]:8080/sctp"]
    assert endpoints_of(api) == {"2001:db8::56": 1, "56.56.56.1": 2}
    assert_success(api.ask("DELETE", f"{RULE}/{where}?bgp=true&block=0"))


def test_a_prefix_is_a_rule_as_well(api: Api) -> None:
    assert_success(api.ask("POST", RULE, changed(LOXICMD, externalIP="20.20.20.0/24")))

    assert listed(api)[0]["serviceArguments"]["externalIP"] == "20.20.20.0/24"
    where = "externalipaddress/20.20.20.0/24/port/8080/protocol/tcp"
    assert_success(api.ask("DELETE", f"{RULE}/{where}"))


POLICY = {
    "vip": "20.20.20.1",
    "protocol": "udp",
    "port": 8080,
    "endpoints": [{"address": "56.56.56.1", "server_id": 7}],
    "encapsulation": "gue",
    "dscp": 46,
    "affinity": "destination-port",
    "flow_table": "always",
    "quic": True,
    "unserved": "pass",
}


def test_what_a_rule_cannot_say_stays_as_the_operator_has_it(
    api: Api, operator: FakeOperator
) -> None:
    operator.document = build_document({"services": [POLICY]})
    before = operator.document.services[0]

    assert_success(api.ask("POST", RULE, changed(LOXICMD, protocol="udp")))
    assert_success(api.ask("POST", RULE, changed(LOXICMD, port=80) | {"endpoints": ENDPOINTS_80}))

    replaced, beside = operator.document.services
    assert replaced.model_copy(update={"endpoints": before.endpoints, "announce": False}) == before
    assert [each.server_id for each in replaced.endpoints or ()] == [None, 7, None]
    assert beside.unserved is Unserved.PASS


ENDPOINTS_80 = [{"endpointIP": "56.56.56.1", "targetPort": 80, "weight": 1}]
