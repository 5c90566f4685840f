"""LoxiLB's checks of endpoints, as its clients send them."""

from collections.abc import Iterable
from typing import Any

import pytest

from headrace.model import (
    Endpoint,
    Health,
    HealthCheck,
    OperatorState,
    ProbeKind,
    ProbePath,
    parse_document,
)
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import KUBE, LOXICMD, RULE, assert_success, changed, listed

CONFIG = "/netlox/v1/config"

# What `loxicmd create endpoint 56.56.56.1 --probetype=tcp --probeport=8080` was seen to send.
HOST: dict[str, Any] = {
    "hostName": "56.56.56.1",
    "name": "",
    "inactiveReTries": 2,
    "probeType": "tcp",
    "probeReq": "",
    "probeResp": "",
    "probeDuration": 60,
    "probePort": 8080,
}
KEY = "56.56.56.1/tcp_8080"
DELETE = f"{CONFIG}/endpoint/epipaddress/56.56.56.1?name=&probe_type=tcp&probe_port=8080"


def hosts(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.ask("GET", f"{CONFIG}/endpoint/all").json["Attr"]
    return found


def health(operator: FakeOperator) -> object:
    return operator.document.services[0].health


def host_health(operator: FakeOperator) -> dict[str, object]:
    """What each endpoint of the rule has for a check of its own."""
    endpoints = operator.document.services[0].endpoints or ()
    return {str(each.address): each.health for each in endpoints}


def test_a_monitored_rule_is_checked_through_the_tunnel(api: Api, operator: FakeOperator) -> None:
    assert_success(api.ask("POST", RULE, changed(LOXICMD, Monitor=True)))

    assert health(operator) == HealthCheck()
    assert listed(api)[0]["serviceArguments"].items() >= {
        ("monitor", True),
        ("probetype", "tcp"),
        ("probeTimeout", 2),
        ("probeRetries", 3),
    }


@pytest.mark.parametrize(
    ("arguments", "check"),
    [
        (
            {"probetype": "http", "probereq": "alive", "proberesp": "ok", "probeport": 8080},
            HealthCheck(kind=ProbeKind.HTTP, resource="/alive", body="ok"),
        ),
        (
            {"probetype": "tcp", "probeport": 9090, "probeTimeout": 5, "probeRetries": 4},
            HealthCheck(path=ProbePath.DIRECT, port=9090, interval_s=5.0, rise=1, fall=4),
        ),
        ({"probetype": "ping"}, HealthCheck(kind=ProbeKind.PING)),
        (
            {"protocol": "udp", "probetype": "udp", "probereq": "a", "proberesp": "b"},
            HealthCheck(kind=ProbeKind.UDP, request="a", response="b"),
        ),
        ({"protocol": "udp", "Monitor": True}, HealthCheck(kind=ProbeKind.PING)),
        ({"protocol": "sctp", "Monitor": True}, HealthCheck(kind=ProbeKind.SCTP)),
    ],
)
def test_the_keys_of_a_rule_become_a_check(
    api: Api, operator: FakeOperator, arguments: dict[str, Any], check: HealthCheck
) -> None:
    assert_success(api.ask("POST", RULE, changed(KUBE, **arguments)))

    assert health(operator) == check


def test_the_same_monitored_rule_again_is_there_already(api: Api) -> None:
    rule = changed(KUBE, probetype="http", probereq="x", probeTimeout=7)
    api.ask("POST", RULE, rule)

    answer = api.ask("POST", RULE, rule)

    assert (answer.status, answer.json["result"]) == (409, "lbrule-exists error")


def test_a_rule_that_says_nothing_of_checks_leaves_them(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, changed(KUBE, probetype="ping"))

    api.ask("POST", RULE, changed(KUBE, name="other"))
    kept = health(operator)
    api.ask("POST", RULE, changed(KUBE, name="other", Monitor=True))
    monitored = health(operator)
    api.ask("POST", RULE, changed(KUBE, name="other", probetype="none"))

    assert kept == monitored == HealthCheck(kind=ProbeKind.PING)
    assert health(operator) == "none"


def test_an_endpoint_that_is_down_is_listed_as_inactive(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, changed(KUBE, Monitor=True))
    operator.health["56.56.56.1"] = Health.DOWN

    assert listed(api)[0]["endpoints"][0]["state"] == "inactive"
    assert [(h["hostName"], h["currState"]) for h in hosts(api)] == [("56.56.56.1", "nok")]


def test_a_hosts_check_is_used_by_a_rule_that_lists_it(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, KUBE)

    assert_success(api.ask("POST", f"{CONFIG}/endpoint", HOST))

    assert host_health(operator) == {"56.56.56.1": KEY}
    assert operator.document.health[KEY] == HealthCheck(
        path=ProbePath.DIRECT, port=8080, interval_s=60.0, rise=1, fall=2
    )
    assert hosts(api) == [
        HOST
        | {"name": "56.56.56.1_tcp_8080", "currState": "ok"}
        | {"minDelay": "", "avgDelay": "", "maxDelay": ""}
    ]


def test_a_hosts_check_waits_for_a_rule_to_be_monitored(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", f"{CONFIG}/endpoint", HOST)

    api.ask("POST", RULE, changed(LOXICMD, Monitor=True))

    assert host_health(operator) == {"58.58.58.1": None, "56.56.56.1": KEY, "57.57.57.1": None}
    assert health(operator) == HealthCheck()


def test_each_host_of_a_rule_has_the_check_that_was_given_to_it(
    api: Api, operator: FakeOperator
) -> None:
    api.ask("POST", RULE, LOXICMD)
    second = HOST | {"hostName": "57.57.57.1", "probeType": "ping", "probePort": 0}

    for host in (HOST, second):
        assert_success(api.ask("POST", f"{CONFIG}/endpoint", host))

    document = operator.document
    assert host_health(operator) == {
        "58.58.58.1": None,
        "56.56.56.1": KEY,
        "57.57.57.1": "57.57.57.1/ping_0",
    }
    pool = document.pool_of(document.services[0])
    checks = {str(e.address): document.check_of(pool, e) for e in pool.endpoints}
    assert {host: check and check.kind for host, check in checks.items()} == {
        "58.58.58.1": None,
        "56.56.56.1": ProbeKind.TCP,
        "57.57.57.1": ProbeKind.PING,
    }
    assert {h["hostName"]: h["probeType"] for h in hosts(api)} == {
        "56.56.56.1": "tcp",
        "57.57.57.1": "ping",
    }


def test_a_rule_that_says_how_it_is_checked_takes_the_place_of_its_hosts_checks(
    api: Api, operator: FakeOperator
) -> None:
    api.ask("POST", RULE, KUBE)
    api.ask("POST", f"{CONFIG}/endpoint", HOST)
    api.ask("POST", RULE, changed(KUBE, name="other"))
    kept = host_health(operator)

    assert_success(api.ask("POST", RULE, changed(KUBE, name="other", probetype="ping")))

    assert kept == {"56.56.56.1": KEY}
    assert host_health(operator) == {"56.56.56.1": None}
    assert health(operator) == HealthCheck(kind=ProbeKind.PING)


def test_a_hosts_check_is_replaced_by_its_name_and_goes_when_no_rule_needs_it(
    api: Api, operator: FakeOperator
) -> None:
    api.ask("POST", f"{CONFIG}/endpoint", HOST | {"name": "mine"})
    assert_success(api.ask("POST", f"{CONFIG}/endpoint", HOST | {"name": "mine", "probePort": 9}))

    assert [(h["name"], h["probePort"]) for h in hosts(api)] == [("mine", 9)]
    assert_success(api.ask("DELETE", DELETE.replace("name=", "name=mine")))
    assert operator.document.health == {}


@pytest.mark.parametrize(
    ("rules", "status", "text"),
    [
        ([], 404, "host-notfound error"),
        ([KUBE], 409, "endpoint error: LB Rule-referred"),
    ],
)
def test_a_check_that_is_not_there_or_needed_is_not_deleted(
    api: Api, rules: list[dict[str, Any]], status: int, text: str
) -> None:
    for rule in rules:
        api.ask("POST", RULE, rule)
        api.ask("POST", f"{CONFIG}/endpoint", HOST)

    answer = api.ask("DELETE", DELETE)

    assert (answer.status, answer.json["result"]) == (status, text)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"probeType": "tcp"}, 422, "hostName in body is required"),
        (HOST | {"hostName": "x"}, 400, "'x' is not an IP address"),
        (HOST | {"probeType": "x"}, 400, "kind: 'x' is not served"),
        (HOST | {"inactiveReTries": 101}, 400, "retries are not in 0..100"),
    ],
)
def test_a_check_that_cannot_be_is_refused(
    api: Api, body: dict[str, Any], status: int, said: str
) -> None:
    answer = api.ask("POST", f"{CONFIG}/endpoint", body)

    assert answer.status == status
    assert said in answer.json["result"]


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        ("red", OperatorState.DISABLED),
        ("yellow", OperatorState.DRAINING),
        ("green", OperatorState.ACTIVE),
    ],
)
def test_the_state_of_a_host_is_what_the_operator_asks(
    api: Api, operator: FakeOperator, state: str, ours: OperatorState
) -> None:
    api.ask("POST", RULE, LOXICMD)
    body = {"hostName": "56.56.56.1", "epPort": 8080, "epProto": "tcp", "state": state}

    assert_success(api.ask("POST", f"{CONFIG}/endpointhoststate", body))

    endpoints = operator.document.services[0].endpoints or ()
    assert {str(e.address): e.state for e in endpoints}["56.56.56.1"] is ours
    assert sum(e.state is not OperatorState.ACTIVE for e in endpoints) == (state != "green")


def states(endpoints: Iterable[Endpoint]) -> dict[str, OperatorState]:
    return {str(each.address): each.state for each in endpoints}


def test_a_host_of_a_shared_pool_is_listed_once_a_port(api: Api, operator: FakeOperator) -> None:
    services = ", ".join(
        f"{{vip: 20.20.20.{n}, protocol: tcp, port: {port}, pool: web}}"
        for n in (1, 2)
        for port in (80, 443)
    )
    operator.document = parse_document(
        "pools: {web: {health: {kind: tcp}, endpoints: [{address: 56.56.56.1}]}}\n"
        f"services: [{services}]"
    )
    operator.health["56.56.56.1"] = Health.DOWN

    assert [(each["name"], each["currState"]) for each in hosts(api)] == [
        ("56.56.56.1_tcp_80", "nok"),
        ("56.56.56.1_tcp_443", "nok"),
    ]


@pytest.mark.parametrize("meant", [{}, {"epPort": 80, "epProto": "tcp"}])
def test_a_host_of_a_shared_pool_has_its_state_there(
    api: Api, operator: FakeOperator, meant: dict[str, Any]
) -> None:
    endpoints = "endpoints: [{address: 56.56.56.1}, {address: 57.57.57.1}]"
    operator.document = parse_document(
        f"pools: {{web: {{{endpoints}}}, other: {{{endpoints}}}}}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: web}]"
    )
    body = {"hostName": "56.56.56.1", "state": "red"} | meant

    assert_success(api.ask("POST", f"{CONFIG}/endpointhoststate", body))

    web, other = (operator.document.pools[name].endpoints for name in ("web", "other"))
    assert states(web) == {
        "56.56.56.1": OperatorState.DISABLED,
        "57.57.57.1": OperatorState.ACTIVE,
    }
    assert set(states(other).values()) == {OperatorState.ACTIVE}


@pytest.mark.parametrize("state", ["green", "yellow", "red"])
def test_a_state_asked_for_here_has_no_time_of_an_earlier_drain(
    api: Api, operator: FakeOperator, state: str
) -> None:
    operator.document = parse_document(
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, endpoints:"
        " [{address: 56.56.56.1, state: draining, drain_timeout_s: 60}]}]"
    )

    body = {"hostName": "56.56.56.1", "state": state}
    assert_success(api.ask("POST", f"{CONFIG}/endpointhoststate", body))

    (endpoint,) = operator.document.services[0].endpoints or ()
    assert endpoint.drain_timeout_s == (60 if state == "yellow" else None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"hostName": "56.56.56.1", "state": "blue"}, 400),
        ({"hostName": "56.56.56.1", "state": "red", "epPort": 80}, 400),
        ({"hostName": "56.56.56.1", "state": "red", "epPort": 80, "epProto": "tcp"}, 404),
        ({"hostName": "1.1.1.1", "state": "red"}, 404),
    ],
)
def test_a_state_of_no_host_is_refused(api: Api, body: dict[str, Any], status: int) -> None:
    api.ask("POST", RULE, LOXICMD)

    assert api.ask("POST", f"{CONFIG}/endpointhoststate", body).status == status
