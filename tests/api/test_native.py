"""The native REST API."""

import dataclasses
import json
from typing import Any

import pytest
from pydantic import BaseModel

from headrace.api import schemas
from headrace.api.answers import LIMIT_UNUSED_BYTES
from headrace.control import views
from headrace.model import (
    ConflictError,
    Count,
    Document,
    KernelError,
    UnavailableError,
    VerdictCount,
    limits,
    parse_document,
)
from tests.api.fakes import OWN_USER, Api, FakeOperator

KEY = "20.20.20.1:8080/tcp"
ENDPOINTS = [{"address": "56.56.56.1"}, {"address": "57.57.57.1", "weight": 2}]
WEB: dict[str, Any] = {
    "name": "web",
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 8080,
    "endpoints": ENDPOINTS,
}


def test_a_document_is_put_and_read_back_with_its_revision_as_etag(api: Api) -> None:
    put = api.ask("PUT", "/v1/document", {"services": [WEB]})
    got = api.ask("GET", "/v1/document")

    assert (put.status, put.json) == (200, {"revision": 1, "changed": True})
    assert got.headers["etag"] == put.headers["etag"] == '"1"'
    assert got.headers["content-type"] == "application/json"
    assert got.json == {"services": [WEB]}


def test_a_document_may_be_yaml(api: Api, operator: FakeOperator) -> None:
    text = (
        "services:\n- {vip: 20.20.20.1, protocol: udp, port: any, endpoints: [{address: 1.1.1.1}]}"
    )

    put = api.ask("PUT", "/v1/document", text, content_type="application/yaml")

    assert put.status == 200
    assert operator.document == parse_document(text)


@pytest.mark.parametrize("text", ["", " \n", "# all is commented out\n", "null", "---\n"])
def test_nothing_is_no_document_that_removes_everything(
    api: Api, operator: FakeOperator, text: str
) -> None:
    api.ask("PUT", "/v1/document", {"services": [WEB]})

    refused = api.ask("PUT", "/v1/document", text, content_type="application/yaml")
    kept = operator.document
    meant = api.ask("PUT", "/v1/document", "{}")

    assert refused.status == 422
    assert (
        refused.json["detail"]
        == "the document is empty, which would remove all; send {} if that is meant"
    )
    assert kept.services
    assert (meant.status, operator.document) == (200, Document())


def test_the_same_document_again_changes_nothing(api: Api) -> None:
    api.ask("PUT", "/v1/document", {"services": [WEB]})

    again = api.ask("PUT", "/v1/document", {"services": [WEB]})

    assert again.json == {"revision": 1, "changed": False}


def test_a_wrong_document_is_refused_as_a_whole_with_every_problem(
    api: Api, operator: FakeOperator
) -> None:
    bad = WEB | {"vip": "20.20.20.1x", "port": 0}

    put = api.ask("PUT", "/v1/document", {"services": [WEB, bad]})

    assert put.status == 422
    assert put.headers["content-type"] == "application/problem+json"
    assert put.json["problems"] == [
        {
            "path": "services[1].vip",
            "message": "'20.20.20.1x' is not an IP address; write one as 192.0.2.1",
        },
        {
            "path": "services[1].port",
            "message": '0 is not a port: use 1..65535, a range as 8000-8010, or "any" for all',
        },
    ]
    assert operator.document == Document()


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param('"1"', 200, id="the revision in force"),
        pytest.param('"7", "1"', 200, id="one of several"),
        pytest.param("*", 200, id="any"),
        pytest.param('"0"', 412, id="an older one"),
        pytest.param('W/"1"', 412, id="a weak tag"),
        pytest.param("1", 412, id="no tag at all"),
    ],
)
def test_a_change_is_made_only_to_the_revision_it_was_meant_for(
    api: Api, condition: str, status: int
) -> None:
    api.ask("PUT", "/v1/document", {"services": [WEB]})

    answers = [
        api.ask("PUT", "/v1/document", {"services": [WEB]}, if_match=condition),
        api.ask("PUT", f"/v1/services/{KEY}", WEB, if_match=condition),
        api.ask("DELETE", "/v1/services/nothing", if_match=condition),
    ]

    assert [answer.status for answer in answers] == [status] * 3


def test_a_body_that_nobody_asked_for_is_read_up_to_its_own_limit(api: Api) -> None:
    answers = [
        api.ask("DELETE", f"/v1/services/{KEY}", "x" * size)
        for size in (LIMIT_UNUSED_BYTES, LIMIT_UNUSED_BYTES + 1)
    ]

    assert [answer.status for answer in answers] == [200, 413]


def test_what_would_fail_anyway_is_not_called_stale(api: Api) -> None:
    """As RFC 9110, 13.2.1 has it: who mends the body alone is told of the revision then."""
    answer = api.ask("PUT", f"/v1/services/{KEY}", {"vip": "nobody"}, if_match='"7"')

    assert answer.status == 422


@pytest.mark.parametrize("where", [KEY, "web", "20.20.20.1:8080%2Ftcp", "20.20.20.1%3a8080/tcp"])
def test_a_service_is_put_read_and_deleted_by_its_key_or_name(api: Api, where: str) -> None:
    path = f"/v1/services/{where}"

    answers = [
        api.ask(method, path, WEB if method == "PUT" else None)
        for method in ("PUT", "PUT", "GET", "DELETE", "DELETE", "GET")
    ]

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 200, 404]
    assert [answers[n].json["changed"] for n in (0, 1, 3, 4)] == [True, False, True, False]
    assert answers[2].json["key"] == KEY
    assert answers[2].json["endpoints"][1]["weight"] == 2


def test_a_service_put_by_name_gets_that_name(api: Api, operator: FakeOperator) -> None:
    body = {name: value for name, value in WEB.items() if name != "name"}

    put = api.ask("PUT", "/v1/services/dns", body)

    assert put.status == 200
    assert operator.document.services[0].name == "dns"


def test_a_service_put_by_name_may_move_to_another_port(api: Api, operator: FakeOperator) -> None:
    api.ask("PUT", "/v1/services/web", WEB)

    api.ask("PUT", "/v1/services/web", WEB | {"port": 80})

    assert [each.label for each in operator.document.services] == ["20.20.20.1:80/tcp"]


@pytest.mark.parametrize(
    ("where", "body", "problem"),
    [
        pytest.param(
            "20.20.20.1:80/tcp",
            WEB,
            {"path": "", "message": f"the body describes {KEY}; send it to that key instead"},
            id="another key",
        ),
        pytest.param(
            "dns",
            WEB,
            {"path": "name", "message": "web is not the name in the URL, dns; use one"},
            id="another name",
        ),
        pytest.param(
            KEY,
            WEB | {"weight": 1},
            {"path": "weight", "message": "no such key here; remove it or correct its spelling"},
            id="an unknown key",
        ),
        pytest.param(
            KEY,
            WEB | {"endpoints": [*ENDPOINTS, ENDPOINTS[0]]},
            {
                "path": "endpoints[2].address",
                "message": "56.56.56.1 is already endpoints[0]; keep one of them",
            },
            id="an endpoint twice",
        ),
        pytest.param(
            KEY,
            WEB | {"endpoints": None, "pool": "p"},
            {"path": "pool", "message": "'p' is not under pools; there: none"},
            id="no such pool",
        ),
        pytest.param(
            KEY,
            "{a: b: c}",
            {
                "path": "",
                "message": "neither YAML nor JSON: "
                "line 1, column 6: did not find expected ',' or '}'",
            },
            id="no JSON",
        ),
        pytest.param(
            KEY,
            [1],
            {"path": "", "message": "[1] is not a mapping of keys to values; write it as one"},
            id="no mapping",
        ),
    ],
)
def test_a_wrong_service_is_refused_with_paths_inside_it(
    api: Api, where: str, body: Any, problem: dict[str, str]
) -> None:
    api.ask(
        "PUT",
        "/v1/services/20.20.20.2:1/udp",
        WEB | {"vip": "20.20.20.2", "port": 1, "protocol": "udp", "name": "other"},
    )

    put = api.ask("PUT", f"/v1/services/{where}", body)

    assert put.status == 422
    assert put.json["problems"] == [problem]


@pytest.mark.parametrize(
    ("vip", "port", "where"),
    [
        ("20.20.20.1", "8000-8010", "20.20.20.1:8000-8010/tcp"),
        ("2001:db8::1", "any", "[2001:db8::1]:any/tcp"),
        ("20.20.20.0/24", 80, "20.20.20.0/24:80/tcp"),
        ("2001:db8::/64", "80-81", "[2001:db8::/64]:80-81/tcp"),
    ],
)
def test_ranges_prefixes_and_ipv6_are_put_read_and_deleted_by_their_key(
    api: Api, vip: str, port: int | str, where: str
) -> None:
    body = WEB | {"vip": vip, "port": port}

    answers = [
        api.ask(method, f"/v1/services/{where}", body if method == "PUT" else None)
        for method in ("PUT", "GET", "DELETE", "GET")
    ]

    assert [answer.status for answer in answers] == [200, 200, 200, 404]
    assert answers[1].json["key"] == where


def test_a_services_policy_is_shown(api: Api) -> None:
    policy = {
        "affinity": "source-ip",
        "flow_table": "never",
        "sources": ["10.0.0.0/8"],
        "quic": False,
        "unserved": "pass",
    }
    api.ask("PUT", "/v1/services/web", WEB | policy)

    shown = api.ask("GET", "/v1/services/web").json

    assert {key: shown[key] for key in policy} == policy
    schemas.WholeServiceBody.model_validate(shown)


def test_a_name_of_two_services_must_be_made_clear(api: Api) -> None:
    for port in (80, 81):
        api.ask("PUT", f"/v1/services/20.20.20.1:{port}/tcp", WEB | {"port": port})

    deleted = api.ask("DELETE", "/v1/services/web")

    assert deleted.status == 409
    assert deleted.json["detail"] == (
        "web is the name of 2 services; use a key: 20.20.20.1:80/tcp, 20.20.20.1:81/tcp"
    )


def test_the_status_is_the_whole_node(api: Api, operator: FakeOperator) -> None:
    operator.unreachable.add("56.56.56.1")
    api.ask("PUT", "/v1/document", {"services": [WEB | {"announce": True}]})

    status = api.ask("GET", "/v1/status").json

    assert status["revision"] == 1
    assert status["services"][0]["received"] == {"packets": 9, "bytes": 900}
    assert [each["reachable"] for each in status["pools"][0]["endpoints"]] == [False, True]
    assert status["peers"][0]["announced"] == ["20.20.20.1/32"]
    assert status["verdicts"][0]["action"] == "send"
    assert status["problems"] == ["endpoint 56.56.56.1 cannot be reached"]
    schemas.StatusBody.model_validate(status)


def flow(port: int) -> dict[str, Any]:
    return {
        "protocol": "tcp",
        "source": "1.1.1.1",
        "source_port": port,
        "destination": "20.20.20.1",
        "destination_port": 8080,
    }


def test_flows_are_explained_in_their_order(api: Api, operator: FakeOperator) -> None:
    api.ask("PUT", "/v1/document", {"services": [WEB]})

    told = api.ask(
        "POST", "/v1/explain", {"flows": [flow(1), flow(2), flow(1) | {"source": "1.1.1.2"}]}
    )
    alone = operator.explain([schemas.FlowBody(**flow(1)).value()])[0]

    assert [each["flow"]["source_port"] for each in told.json] == [1, 2, 1]
    assert told.json[0] == {
        "flow": flow(1),
        "verdict": "SENT",
        "service": KEY,
        "hash": alone.hash32,
        "slot": alone.slot,
        "endpoint": str(alone.endpoint),
        "encapsulation": "ipip",
        "outer_source": "31.31.31.254",
        "outer_destination": str(alone.endpoint),
        "steps": ["the service takes it", f"slot {alone.slot}"],
    }
    for each in told.json:
        schemas.ExplanationBody.model_validate(each)


def test_a_flow_without_a_service_has_no_endpoint(api: Api) -> None:
    told = api.ask("POST", "/v1/explain", {"flows": [flow(1)], "steps": False}).json

    assert (told[0]["verdict"], told[0]["endpoint"], told[0]["steps"]) == (
        "PASS_NO_SERVICE",
        None,
        [],
    )


def test_wrong_flows_are_told_one_by_one(api: Api) -> None:
    bad = [flow(1), flow(70_000), flow(1) | {"protocol": "icmp"}, flow(1) | {"source": "::1"}]

    told = api.ask("POST", "/v1/explain", {"flows": bad})

    assert told.status == 422
    assert [each["path"] for each in told.json["problems"]] == [
        "flows[1].source_port",
        "flows[2].protocol",
        "flows[3]",
    ]


def test_flows_at_the_limit_are_explained_and_one_more_is_refused(
    api: Api,
) -> None:
    flows = [flow(port % 65_536) for port in range(schemas.LIMIT_FLOWS + 1)]

    within = api.ask("POST", "/v1/explain", {"flows": flows[:-1], "steps": False})
    beyond = api.ask("POST", "/v1/explain", {"flows": flows, "steps": False})

    assert (within.status, len(within.json)) == (200, schemas.LIMIT_FLOWS)
    assert beyond.status == 422
    assert "over the limit of 20000" in beyond.json["detail"]


@pytest.mark.parametrize("body", ["flows: []", "", "[" * 90_000 + "]" * 90_000])
def test_flows_are_json_since_who_may_read_must_not_hold_up_the_node(api: Api, body: str) -> None:
    answer = api.ask("POST", "/v1/explain", body)

    assert answer.status == 422
    assert answer.json["problems"]


def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    put = api.ask("PUT", "/v1/document", b" " * (limits.LIMIT_DOCUMENT_BYTES + 1))

    assert put.status == 413
    assert put.json["detail"] == "the body is over 16777216 bytes; send less at once"


def test_a_body_that_is_not_utf_8_is_refused(api: Api) -> None:
    put = api.ask("PUT", "/v1/document", b"\xff")

    assert put.status == 422
    assert put.json["detail"].startswith("the body is not UTF-8")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ConflictError("it is so already"), 409),
        (UnavailableError("revisions.sqlite: the disk is full; free some space"), 503),
        (KernelError("map update", 7), 500),
    ],
)
def test_what_the_node_cannot_do_is_told_by_its_kind(
    api: Api, operator: FakeOperator, failure: Exception, status: int
) -> None:
    operator.failure = failure

    put = api.ask("PUT", "/v1/document", {"services": [WEB]})

    assert (put.status, put.json["detail"]) == (status, str(failure))


def test_a_bug_is_told_as_one_without_its_details(
    api: Api, operator: FakeOperator, caplog: pytest.LogCaptureFixture
) -> None:
    operator.failure = RuntimeError("a secret detail")

    put = api.ask("PUT", "/v1/document", {"services": [WEB]})

    assert (put.status, put.json["detail"]) == (500, "a bug in headrace; its log has the details")
    assert "a secret detail" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/", 404), ("POST", "/v1/document", 405), ("GET", "/docs", 404)],
)
def test_an_unknown_path_or_method_is_a_problem_too(
    api: Api, method: str, path: str, status: int
) -> None:
    answer = api.ask(method, path)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"].endswith("see /v1/openapi.json for what there is")


def test_the_program_tells_its_version_and_that_it_lives(api: Api) -> None:
    assert api.ask("GET", "/v1/version").json["name"] == "headrace"
    assert api.ask("GET", "/v1/healthz").json == {"alive": True, "revision": 0}


def test_the_author_is_kept_with_the_revision(api: Api, operator: FakeOperator) -> None:
    api.ask("PUT", "/v1/document", {"services": [WEB]})

    assert operator.authors == [f"{OWN_USER} by rest"]


def test_the_description_is_openapi_and_complete(api: Api) -> None:
    described = api.ask("GET", "/v1/openapi.json").json
    text = json.dumps(described)
    operations = [
        operation
        for path, methods in described["paths"].items()
        for operation in methods.values()
        if path.startswith("/v1")
    ]

    assert described["openapi"].startswith("3.1")
    assert all(path.startswith("/v1/") for path in described["paths"])
    assert all(operation["description"] for operation in operations)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(described["components"]["schemas"])
    assert {"Document", "Service", "ExplainBody", "ProblemBody"} <= names


PAIRS: list[tuple[type[BaseModel], type[Any]]] = [
    (schemas.CountBody, Count),
    (schemas.EndpointBody, views.EndpointView),
    (schemas.WholeServiceBody, views.ServiceView),
    (schemas.PoolStateBody, views.PoolView),
    (schemas.PortBody, views.PortView),
    (schemas.PeerBody, views.PeerView),
    (schemas.VerdictBody, VerdictCount),
    (schemas.StatusBody, views.Status),
    (schemas.RevisionBody, views.RevisionView),
    (schemas.RevisionDocumentBody, views.RevisionDocument),
]


@pytest.mark.parametrize(("model", "value"), PAIRS)
def test_the_description_has_the_fields_of_the_values(
    model: type[BaseModel], value: type[Any]
) -> None:
    assert set(model.model_fields) == {each.name for each in dataclasses.fields(value)}
