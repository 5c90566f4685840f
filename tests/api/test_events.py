"""Events by SSE: whole, in order, resumed, and cut where they must be."""

import asyncio
import json
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPResponse
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from headrace.api import Role, TokenFile, events, schemas
from headrace.control.journal import (
    LIMIT_EVENTS,
    Announced,
    DocumentChanged,
    DrainChanged,
    Event,
    Happening,
    HealthChanged,
    Journal,
    SessionChanged,
    TroubleChanged,
)
from headrace.model import Health, SessionState
from tests.api.fakes import Api, FakeOperator, UnixHttp

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's thread notes events, which wakes nobody in the API's."""
    monkeypatch.setattr(events, "LOOK_S", 0.05)


HAPPENINGS: list[Happening] = [
    DocumentChanged(3, "root by rest"),
    HealthChanged("web", IPv4Address("56.56.56.1"), Health.DOWN, "timeout"),
    Announced((IPv4Network("20.20.20.1/32"),), ()),
    SessionChanged(IPv4Address("11.11.11.254"), SessionState.DOWN, "BFD"),
    DrainChanged(None, None, "draining"),
    TroubleChanged(("no interface is attached",)),
]


@pytest.mark.parametrize("what", HAPPENINGS, ids=lambda what: what.KIND)
def test_every_event_is_told_as_the_description_has_it(what: Happening) -> None:
    event = Event("a-1", NOW, what.KIND, what)

    told = json.loads(TypeAdapter(Event).dump_json(event))

    assert schemas.EventBody.model_validate(told, strict=False).model_dump(mode="json") == told


def test_the_kept_events_are_told_and_the_answer_ends(api: Api, operator: FakeOperator) -> None:
    for what in HAPPENINGS:
        operator.journal.note(what)

    answer = api.ask("GET", "/v1/events?follow=false")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [each["type"] for each in _data(answer.text)] == [what.KIND for what in HAPPENINGS]


def test_a_stream_tells_what_happens_after_it_began(api: Api, operator: FakeOperator) -> None:
    operator.journal.note(HAPPENINGS[0])
    with Stream(api) as stream:
        stream.begin()
        api.ask("PUT", "/v1/document", {"node": {"name": "llb9"}})

        event = stream.next()

    assert (event["type"], event["data"]["revision"]) == ("document_changed", 1)


def test_a_reader_that_comes_back_misses_nothing(api: Api, operator: FakeOperator) -> None:
    for what in HAPPENINGS[:3]:
        operator.journal.note(what)
    first = _data(api.ask("GET", "/v1/events?follow=false").text)[0]

    with Stream(api, Last_Event_ID=first["id"]) as stream:
        found = [stream.next()["type"] for _ in range(2)]

    assert found == ["health_changed", "announced"]


@pytest.mark.parametrize("last_id", ["of-another-run", "deadbeef-3", "-", "x-99999999999999999999"])
def test_a_reader_of_another_run_is_told_that_it_missed_some(
    api: Api, operator: FakeOperator, last_id: str
) -> None:
    operator.journal.note(HAPPENINGS[0])

    text = api.ask("GET", "/v1/events?follow=false", Last_Event_ID=last_id).text

    assert text.startswith("event: missed\n")
    assert [each["type"] for each in _data(text)] == ["document_changed"]


def test_a_stream_says_first_where_it_begins_and_what_was_missed(
    api: Api, operator: FakeOperator
) -> None:
    """So that who is cut off before the first event comes back to the right place."""
    operator.journal.note(HAPPENINGS[0])
    kept = operator.journal.last_id
    heads = []
    for headers in ({}, {"Last_Event_ID": kept}, {"Last_Event_ID": "of-another-run"}):
        with Stream(api, **headers) as stream:
            stream.begin()
            lines = stream._lines()
            heads.append([next(lines) for _ in range(3)])

    assert [head[:2] for head in heads] == [
        [f"id: {kept}", ""],
        [f"id: {kept}", ""],
        ["id: of-another-run", ""],
    ]
    assert [head[2] for head in heads] == [": nothing new", ": nothing new", "event: missed"]


async def test_a_reader_that_falls_behind_what_is_kept_is_cut() -> None:
    journal, sent = Journal(), bytearray()

    async def send(message: MutableMapping[str, Any]) -> None:
        if not sent:
            for _ in range(LIMIT_EVENTS + 1):
                journal.note(HAPPENINGS[0])
        sent.extend(message["body"])

    async with asyncio.timeout(10):
        await events.Streams(journal).run(None, {}, send)

    assert sent.endswith(b'event: end\ndata: {"reason": "too_slow"}\n\n')


def test_who_was_never_there_has_missed_nothing(api: Api, operator: FakeOperator) -> None:
    operator.journal.note(HAPPENINGS[0])

    assert api.ask("GET", "/v1/events?follow=false").text.startswith("id: ")


def test_an_id_that_no_event_can_have_is_refused(api: Api) -> None:
    answer = api.ask("GET", "/v1/events?follow=false", Last_Event_ID="a b")

    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "Last-Event-ID: 'a b' is no event's id; send one as it came" in answer.text


def test_the_journal_keeps_so_many_and_says_when_some_are_gone() -> None:
    journal = Journal()
    journal.note(DocumentChanged(0, "x"))
    first = journal.last_id
    for number in range(LIMIT_EVENTS + 1):
        journal.note(DocumentChanged(number, "x"))

    page = journal.after(first)

    assert (len(page.events), page.missed) == (LIMIT_EVENTS, True)
    assert journal.after(page.events[0].id).missed is False
    assert journal.after(journal.last_id).events == ()


def test_no_more_streams_are_open_than_the_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT_STREAMS", 1)
    with Stream(api) as stream:
        stream.begin()

        refused = api.ask("GET", "/v1/events")

    assert refused.status == 503
    assert "1 streams of events are open, the limit" in refused.json["detail"]


def test_a_stream_is_cut_when_its_token_is_revoked(api: Api, operator: FakeOperator) -> None:
    tokens = TokenFile(api.path.parent)
    secret = tokens.create("collector", Role.READ, NOW)
    with Stream(api, Authorization=f"Bearer {secret}") as stream:
        stream.begin()
        tokens.revoke("collector")
        operator.journal.note(HAPPENINGS[0])

        assert stream.rest() == ["access_ended"]


def test_a_stream_is_cut_when_its_token_expires(api: Api) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=3)
    secret = TokenFile(api.path.parent).create("once", Role.READ, NOW, expires=expires)
    with Stream(api, Authorization=f"Bearer {secret}") as stream:
        assert stream.rest() == ["access_ended"]

    assert api.ask("GET", "/v1/version", Authorization=f"Bearer {secret}").status == 401


def test_a_stream_ends_when_the_daemon_does(api: Api, operator: FakeOperator) -> None:
    with Stream(api) as stream:
        stream.begin()
        operator.journal.close()
        operator.journal.note(HAPPENINGS[0])

        assert stream.rest() == ["stopping"]


def test_a_reader_that_takes_nothing_is_cut(
    api: Api, operator: FakeOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LIMIT_SLOW_S", 0.3)
    monkeypatch.setattr(events, "LIMIT_STREAMS", 1)
    for _ in range(LIMIT_EVENTS):
        operator.journal.note(DocumentChanged(1, "x" * 2_000))  # more than sockets take

    with Stream(api, Last_Event_ID="of-old"):
        give_up_s = time.monotonic() + 60
        while not (is_free := _is_free(api)) and time.monotonic() < give_up_s:
            pass

    assert is_free


def _is_free(api: Api) -> bool:
    """Whether the only stream's place is free again."""
    with Stream(api) as stream:
        return stream.answer.status == 200


def _data(text: str) -> list[Any]:
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith('data: {"id"')
    ]


class Stream:
    """A stream of events, as its reader has it."""

    def __init__(self, api: Api, **headers: str) -> None:
        self._http = UnixHttp(Path(api.path))
        self._http.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._http.request("GET", "/v1/events", headers=named)
        self.answer: HTTPResponse = self._http.getresponse()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._http.close()

    def begin(self) -> None:
        """Return once the stream has begun."""
        assert self.answer.status == 200
        assert self.answer.readline().startswith(b"retry: ")

    def next(self) -> Any:
        """The next event."""
        for line in self._lines():
            if line.startswith('data: {"id"'):
                return json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream has ended")

    def rest(self) -> list[str]:
        """Why the stream ended; nothing if it did not say."""
        return [
            json.loads(line.removeprefix("data: "))["reason"]
            for line in self._lines()
            if line.startswith('data: {"reason"')
        ]

    def _lines(self) -> Iterator[str]:
        for line in self.answer:
            yield line.decode().rstrip("\n")


async def test_who_waits_is_woken_by_the_next_event_and_not_by_the_last() -> None:
    journal = Journal()
    journal.note(DocumentChanged(1, "x"))

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(journal.wait())
        await asyncio.sleep(0)

        assert not waiting.done()
        journal.note(DocumentChanged(2, "x"))
