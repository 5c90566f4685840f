"""Revisions over the native API."""

from typing import Any

import pytest

from headrace.api.redaction import MARK
from headrace.model import parse_document
from tests.api.fakes import OWN_USER, Api, FakeOperator

SECRET = "correct horse"  # noqa: S105
PEER: dict[str, Any] = {"address": "11.11.11.254", "as": 65001, "password": SECRET}
ONE: dict[str, Any] = {"bgp": {"as": 64512, "router_id": "11.11.11.11", "peers": [PEER]}}
TWO: dict[str, Any] = {"node": {"name": "a"}}


@pytest.fixture
def _two(api: Api) -> None:
    for document in (ONE, TWO):
        assert api.ask("PUT", "/v1/document", document).status == 200


@pytest.mark.usefixtures("_two")
def test_revisions_are_told_newest_first(api: Api) -> None:
    answer = api.ask("GET", "/v1/revisions")

    assert answer.status == 200
    newest, first = answer.json
    assert newest == {
        "number": 2,
        "time": "2026-01-02T03:04:05Z",
        "author": f"{OWN_USER} by rest",
        "change": "added node; removed bgp",
    }
    assert (first["number"], first["change"]) == (1, "added bgp")


@pytest.mark.usefixtures("_two")
def test_as_many_revisions_are_told_as_are_asked_for(api: Api) -> None:
    told = api.ask("GET", "/v1/revisions?limit=1").json

    assert [(each["number"], each["change"]) for each in told] == [(2, "added node; removed bgp")]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "9" * 5000])
def test_a_wrong_limit_is_refused(api: Api, limit: str) -> None:
    answer = api.ask("GET", f"/v1/revisions?limit={limit}")

    assert answer.status == 422
    assert answer.json["problems"][0]["path"] == "limit"


@pytest.mark.usefixtures("_two")
def test_a_revision_is_told_with_its_document_but_no_secret(api: Api) -> None:
    answer = api.ask("GET", "/v1/revisions/1")

    assert answer.json["number"] == 1
    assert answer.json["time"] == "2026-01-02T03:04:05Z"
    assert answer.json["document"]["bgp"]["peers"] == [PEER | {"password": MARK}]
    assert SECRET not in answer.text + api.ask("GET", "/v1/revisions").text


@pytest.mark.usefixtures("_two")
@pytest.mark.parametrize("number", ["0", "3", "x", "-1", "9" * 30, "%C2%B2"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/rollback")])
def test_a_revision_that_is_not_kept_is_not_found(
    api: Api, operator: FakeOperator, method: str, rest: str, number: str
) -> None:
    assert api.ask(method, f"/v1/revisions/{number}{rest}").status == 404
    assert operator.revision == 2


@pytest.mark.usefixtures("_two")
def test_a_rollback_is_a_new_revision_with_the_secrets_of_the_old(
    api: Api, operator: FakeOperator
) -> None:
    done = api.ask("POST", "/v1/revisions/1/rollback")
    again = api.ask("POST", "/v1/revisions/1/rollback")

    assert (done.json, done.headers["etag"]) == ({"revision": 3, "changed": True}, '"3"')
    assert again.json == {"revision": 3, "changed": False}
    assert operator.document.bgp is not None
    assert operator.document.bgp.peers[0].password == SECRET
    assert operator.authors[-1] == f"{OWN_USER} by rest"


@pytest.mark.usefixtures("_two")
def test_a_rollback_for_another_revision_is_refused(api: Api, operator: FakeOperator) -> None:
    stale = api.ask("POST", "/v1/revisions/1/rollback", if_match='"1"')

    assert stale.status == 412
    assert operator.revision == 2
    assert api.ask("POST", "/v1/revisions/1/rollback", if_match='"2"').status == 200


@pytest.mark.usefixtures("_two")
def test_a_stale_change_of_the_document_is_refused_with_what_to_do(
    api: Api, operator: FakeOperator
) -> None:
    stale = api.ask("PUT", "/v1/document", {}, if_match='"1"')

    assert stale.status == 412
    assert stale.json["detail"] == (
        'the document is at revision "2", not "1": somebody changed it since; read it again, '
        "make your change in that, and send its ETag as If-Match"
    )
    assert operator.document == parse_document("node: {name: a}")
