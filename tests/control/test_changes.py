"""What is told of two states of the node, and what the journal keeps of it."""

import asyncio
from ipaddress import ip_address

from headrace.control.beliefs import PoolHealth
from headrace.control.changes import drain_changes, ended_drains, health_changes
from headrace.control.journal import (
    LIMIT_EVENTS,
    DocumentChanged,
    DrainChanged,
    HealthChanged,
    Journal,
)
from headrace.model import Belief, Document, Health, parse_document

ONE, TWO = ip_address("56.0.0.1"), ip_address("56.0.0.2")


def pool(**healths: Health) -> PoolHealth:
    beliefs = {
        address: Belief(healths[name], 0.0, "timeout" if healths[name] is Health.DOWN else "")
        for name, address in (("one", ONE), ("two", TWO))
        if name in healths
    }
    return PoolHealth(beliefs)


def document(one: str = "active", two: str = "active", *, node: bool = False) -> Document:
    return parse_document(
        f"node: {{drain: {str(node).lower()}}}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: web}]\n"
        f"pools: {{web: {{endpoints: [{{address: {ONE}, state: {one}}},"
        f" {{address: {TWO}, state: {two}}}]}}}}"
    )


def test_only_endpoints_of_which_something_else_is_believed_are_told() -> None:
    before = {"web": pool(one=Health.UP, two=Health.UP)}
    after = {"web": pool(one=Health.DOWN, two=Health.UP)}

    assert list(health_changes(before, after)) == [
        HealthChanged("web", ONE, Health.DOWN, "timeout")
    ]
    assert list(health_changes(after, after)) == []


def test_an_endpoint_that_is_new_is_told_once_it_is_known() -> None:
    assert list(health_changes({}, {"web": pool(one=Health.UNKNOWN)})) == []
    assert [each.health for each in health_changes({}, {"web": pool(one=Health.UP)})] == [Health.UP]


def test_a_drain_is_told_when_it_begins_and_when_it_is_taken_back() -> None:
    draining = document(one="draining", node=True)

    begun = list(drain_changes(document(), draining))
    ended = list(drain_changes(draining, document()))

    assert begun == [
        DrainChanged(None, None, "draining"),
        DrainChanged("web", ONE, "draining"),
    ]
    assert ended == [DrainChanged(None, None, "active"), DrainChanged("web", ONE, "active")]


def test_an_endpoint_that_is_gone_does_not_serve_again() -> None:
    assert list(drain_changes(document(one="draining"), Document())) == []


def test_a_drain_whose_time_is_over_is_told_once() -> None:
    over = {"web": frozenset({ONE})}

    assert list(ended_drains({}, over)) == [DrainChanged("web", ONE, "drained")]
    assert list(ended_drains(over, over)) == []


def test_a_reader_of_the_journal_gets_what_follows() -> None:
    journal = Journal()
    start = journal.last_id
    journal.note(DocumentChanged(1, "ann"))
    between = journal.last_id
    journal.note(DocumentChanged(2, "bob"))

    assert [event.data for event in journal.after(start).events] == [
        DocumentChanged(1, "ann"),
        DocumentChanged(2, "bob"),
    ]
    assert [event.data for event in journal.after(between).events] == [DocumentChanged(2, "bob")]
    assert journal.after(journal.last_id).events == ()
    assert not journal.after(between).missed


def test_a_reader_is_told_that_events_are_no_longer_kept() -> None:
    journal = Journal()
    start = journal.last_id
    for number in range(LIMIT_EVENTS + 1):
        journal.note(DocumentChanged(number, "ann"))

    page = journal.after(start)

    assert page.missed
    assert len(page.events) == LIMIT_EVENTS
    assert journal.after("another run-3").missed


def test_whoever_waits_is_woken_by_the_next_event_and_by_the_end() -> None:
    async def wait_twice() -> list[int]:
        journal, seen = Journal(), []

        async def follow() -> None:
            await journal.wait()
            seen.append(len(journal.after("").events))
            await journal.wait()
            seen.append(-1)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(follow())
            await asyncio.sleep(0)
            journal.note(DocumentChanged(1, "ann"))
            while not seen:
                await asyncio.sleep(0)
            journal.close()
        return seen

    assert asyncio.run(wait_twice()) == [1, -1]
