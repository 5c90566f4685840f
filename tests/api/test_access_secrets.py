"""Secrets go in and never come out."""

import json
from typing import Any

import pytest
import structlog

from headrace.api.redaction import MARK, hide_secrets, keep_secrets
from headrace.model import ConfigError, Document, parse_document
from tests.api.fakes import Api, FakeOperator

SECRET = "correct horse"  # noqa: S105
PEERS: list[dict[str, Any]] = [
    {"address": "11.11.11.254", "as": 65001, "password": SECRET},
    {"address": "11.11.11.253", "as": 65001},
]


def document(peers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bgp": {"as": 64512, "router_id": "11.11.11.11", "peers": peers}}


def parsed(peers: list[dict[str, Any]]) -> Document:
    return parse_document(json.dumps(document(peers)))


def passwords(operator: FakeOperator) -> list[str | None]:
    assert operator.document.bgp is not None
    return [peer.password for peer in operator.document.bgp.peers]


@pytest.fixture
def told(api: Api) -> str:
    """The document as it is answered."""
    assert api.ask("PUT", "/v1/document", document(PEERS)).status == 200
    return api.ask("GET", "/v1/document").text


def test_a_password_is_not_answered(told: str) -> None:
    peers = json.loads(told)["bgp"]["peers"]

    assert [peer.get("password") for peer in peers] == [MARK, None]
    assert SECRET not in told


@pytest.mark.parametrize(
    "path", ["/v1/status", "/netlox/v1/config/bgp/neigh/all", "/v1/openapi.json"]
)
def test_no_other_answer_has_it(api: Api, told: str, path: str) -> None:
    assert told
    assert SECRET not in api.ask("GET", path).text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/peers",
        "/v1/peers/11.11.11.254",
        "/v1/revisions",
        "/v1/revisions/1",
        "/v1/events?follow=false",
    ],
)
def test_neither_a_part_nor_an_earlier_revision_has_it(api: Api, told: str, path: str) -> None:
    answer = api.ask("GET", path)

    assert told
    assert answer.status == 200
    assert SECRET not in answer.text


def test_what_was_answered_can_be_sent_back(api: Api, operator: FakeOperator, told: str) -> None:
    again = api.ask("PUT", "/v1/document", told)

    assert (again.status, again.json["changed"]) == (200, False)
    assert passwords(operator) == [SECRET, None]


def test_a_document_is_edited_around_its_secrets(
    api: Api, operator: FakeOperator, told: str
) -> None:
    api.ask("PUT", "/v1/document", told.replace("65001", "65002"))
    drained = api.ask("POST", "/v1/node/drain")

    assert drained.status == 200
    assert operator.document.bgp is not None
    assert operator.document.bgp.peers[0].as_number == 65002
    assert passwords(operator) == [SECRET, None]


def test_a_new_password_replaces_the_old_one(api: Api, operator: FakeOperator, told: str) -> None:
    api.ask("PUT", "/v1/document", told.replace(MARK, "battery staple"))

    assert passwords(operator) == ["battery staple", None]


def test_a_mark_for_nothing_is_refused(api: Api, operator: FakeOperator, told: str) -> None:
    moved = told.replace("11.11.11.254", "11.11.11.252")

    answer = api.ask("PUT", "/v1/document", moved)

    assert answer.status == 422
    (problem,) = answer.json["problems"]
    assert problem["path"].endswith(".password")
    assert "there is none for 11.11.11.252; write the password" in problem["message"]
    assert passwords(operator) == [SECRET, None]


def test_a_password_that_is_refused_is_not_repeated(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        peers = [PEERS[0] | {"password": SECRET * 20}, PEERS[1] | {"password": [SECRET]}]
        answer = api.ask("PUT", "/v1/document", document(peers))

    assert answer.status == 422
    assert SECRET not in answer.text + str(logs)


def test_hiding_and_keeping_are_inverse() -> None:
    whole = parsed(PEERS)

    assert keep_secrets(hide_secrets(whole), whole) == whole


def test_a_document_from_a_file_cannot_have_marks() -> None:
    with pytest.raises(ConfigError, match="there is none for"):
        keep_secrets(hide_secrets(parsed(PEERS)), Document())
