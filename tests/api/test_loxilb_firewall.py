"""LoxiLB's firewall rules, as its clients send them."""

from typing import Any

import pytest

from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import LOXICMD, RULE, assert_success, changed

CONFIG = "/netlox/v1/config"
ARGUMENTS = LOXICMD["serviceArguments"]
VIP, PORT = ARGUMENTS["externalIP"], ARGUMENTS["port"]
TO_RULE = {
    "destinationIP": f"{VIP}/32",
    "protocol": 6,
    "minDestinationPort": PORT,
    "maxDestinationPort": PORT,
}
DROP, ALLOW = {"drop": True}, {"allow": True}


@pytest.fixture
def web(api: Api) -> Api:
    """A server with one rule."""
    assert_success(api.ask("POST", RULE, LOXICMD))
    return api


def rule(source: str, opts: dict[str, Any] = DROP, **arguments: Any) -> dict[str, Any]:
    return {"ruleArguments": {"sourceIP": source, **TO_RULE, **arguments}, "opts": opts}


def post(api: Api, body: dict[str, Any]) -> tuple[int, str]:
    answer = api.ask("POST", f"{CONFIG}/firewall", body)
    return answer.status, str(answer.json["result"])


def delete(api: Api, **arguments: Any) -> int:
    query = "&".join(f"{key}={value}" for key, value in arguments.items())
    return int(api.ask("DELETE", f"{CONFIG}/firewall?{query}").status)


def listed(api: Api) -> Any:
    return api.ask("GET", f"{CONFIG}/firewall/all").json["fwAttr"]


def lists(operator: FakeOperator) -> tuple[list[str], list[str]]:
    (service,) = operator.document.services
    return [*map(str, service.sources)], [*map(str, service.denied_sources)]


def test_a_drop_rule_denies_its_sources_and_reads_back_as_posted(
    web: Api, operator: FakeOperator
) -> None:
    assert post(web, rule("10.0.0.0/8"))[0] == 200

    assert lists(operator) == ([], ["10.0.0.0/8"])
    assert listed(web) == [rule("10.0.0.0/8")]


def test_an_allow_rule_is_an_exception_and_closes_nothing(web: Api, operator: FakeOperator) -> None:
    post(web, rule("10.0.0.0/8"))
    assert post(web, rule("10.1.0.0/16", ALLOW))[0] == 200

    assert lists(operator) == (["10.1.0.0/16", "0.0.0.0/0"], ["10.0.0.0/8"])
    assert listed(web) == [rule("10.0.0.0/8"), rule("10.1.0.0/16", ALLOW)]


def test_who_drops_all_and_allows_some_serves_those_until_the_drop_goes(
    web: Api, operator: FakeOperator
) -> None:
    for each in (rule("", DROP), rule("10.0.0.0/8", ALLOW)):
        assert post(web, each)[0] == 200
    assert lists(operator) == (["10.0.0.0/8"], ["0.0.0.0/0"])

    assert delete(web, sourceIP="0.0.0.0/0", **TO_RULE) == 200
    assert lists(operator) == (["10.0.0.0/8", "0.0.0.0/0"], [])
    assert delete(web, sourceIP="10.0.0.0/8", **TO_RULE) == 200
    assert lists(operator) == ([], [])


def test_a_rule_without_a_destination_is_for_every_service_of_its_family(
    web: Api, operator: FakeOperator
) -> None:
    assert post(web, {"ruleArguments": {"sourceIP": "10.0.0.0/8"}, "opts": DROP})[0] == 200

    assert listed(web) == [rule("10.0.0.0/8")]
    assert delete(web, sourceIP="10.0.0.0/8") == 200
    assert delete(web, sourceIP="10.0.0.0/8") == 404
    assert lists(operator) == ([], [])


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (rule("10.0.0.0/8", {"redirect": True}), 400, "redirect"),
        (rule("10.0.0.0/8", {"trap": True}), 400, "trap"),
        (rule("10.0.0.0/8", {**DROP, "record": True}), 400, "record"),
        (rule("10.0.0.0/8", {**ALLOW, "fwMark": 7}), 400, "fwMark"),
        (rule("10.0.0.0/8", {**ALLOW, "doSnat": True}), 400, "doSnat"),
        (rule("10.0.0.0/8", {**DROP, "onDefault": True}), 400, "onDefault"),
        (rule("10.0.0.0/8", {}), 400, "either drops or allows"),
        (rule("10.0.0.0/8", DROP, minSourcePort=1, maxSourcePort=9), 400, "source ports"),
        (rule("10.0.0.0/8", DROP, portName="eth0"), 400, "portName"),
        (rule("10.0.0.0/8", DROP, protocol=47), 400, "protocol"),
        (rule("10.0.0.0/8", DROP, minDestinationPort=PORT + 1), 400, "destination ports"),
        (rule("2001:db8::/32"), 400, "one family"),
        (rule("10.0.0.1/8"), 400, "bits set"),
        (rule("0.0.0.0/0", ALLOW), 400, "leave it out"),
        (rule("10.0.0.0/8", DROP, destinationIP="9.9.9.9/32"), 404, "no such service"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_done_is_refused_by_name(
    web: Api, operator: FakeOperator, body: dict[str, Any], status: int, text: str
) -> None:
    before = operator.document

    answer = post(web, body)

    assert answer[0] == status
    assert text in answer[1]
    assert operator.document == before


def test_a_part_of_a_services_ports_is_refused(api: Api) -> None:
    assert_success(api.ask("POST", RULE, changed(LOXICMD, portMax=PORT + 9)))

    status, text = post(api, rule("10.0.0.0/8"))

    assert status == 400
    assert f"a part of {VIP}:{PORT}-{PORT + 9}/tcp only" in text


def test_the_same_rule_twice_and_the_other_action_conflict(web: Api) -> None:
    post(web, rule("10.0.0.0/8"))

    assert post(web, rule("10.0.0.0/8"))[0] == 409
    assert post(web, rule("10.0.0.0/8", ALLOW))[0] == 409


def test_a_preference_is_taken_only_where_it_decides_nothing(web: Api) -> None:
    assert post(web, rule("10.0.0.0/8", DROP, preference=200))[0] == 200

    status, text = post(web, rule("10.1.0.0/16", ALLOW, preference=100))
    assert status == 400
    assert "the longest prefix counts" in text


def test_a_rule_never_opens_a_service_that_allows_some_sources(
    api: Api, operator: FakeOperator
) -> None:
    closed = {**LOXICMD, "allowedSources": [{"prefix": "10.0.0.0/8"}]}
    assert_success(api.ask("POST", RULE, closed))

    assert post(api, rule("10.1.0.0/16"))[0] == 200
    assert post(api, rule("11.0.0.0/8", ALLOW))[0] == 409
    assert post(api, rule("0.0.0.0/0"))[0] == 409
    assert delete(api, sourceIP="10.1.0.0/16") == 200
    assert lists(operator) == (["10.0.0.0/8"], [])


def test_rules_go_with_their_service_and_allowed_sources_come_with_it(
    web: Api, operator: FakeOperator
) -> None:
    post(web, rule("10.0.0.0/8"))
    assert_success(web.ask("DELETE", f"{RULE}/externalipaddress/{VIP}/port/{PORT}/protocol/tcp"))
    assert_success(web.ask("POST", RULE, LOXICMD | {"allowedSources": [{"prefix": "10.1.0.0/16"}]}))

    assert lists(operator) == (["10.1.0.0/16"], [])
    assert not listed(web)


def test_a_rule_that_is_posted_again_keeps_what_the_firewall_allows(
    web: Api, operator: FakeOperator
) -> None:
    assert post(web, rule("10.0.0.0/8"))[0] == 200
    assert post(web, rule("10.1.0.0/16", ALLOW))[0] == 200

    assert_success(web.ask("POST", RULE, _of_other_weight(LOXICMD)))

    assert lists(operator) == (["10.1.0.0/16", "0.0.0.0/0"], ["10.0.0.0/8"])


def _of_other_weight(body: dict[str, Any]) -> dict[str, Any]:
    first, *others = body["endpoints"]
    return {**body, "endpoints": [{**first, "weight": 7}, *others]}
