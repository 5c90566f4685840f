"""What is told of revisions, and what a rollback does to a world in memory."""

import sqlite3
from pathlib import Path

import pytest

from headrace.control.history import view_history
from headrace.model import ConfigError, ConflictError, NotFoundError, dump_document
from headrace.store import Revision, Store

from .fakes import TIME
from .test_controller import NOTHING, THREE, TWO, Node


def nothing_against_it() -> None:
    """Lets every rollback through."""


async def test_history_names_what_each_revision_changed() -> None:
    node = Node()
    for document in (THREE, TWO, NOTHING):
        await node.edit(document)

    told = await node.controller.history(2)

    assert [(each.number, each.author, each.change) for each in told] == [
        (3, "test", "removed bgp, services"),
        (2, "test", "removed services[20.20.20.1:8080/tcp].endpoints[57.0.0.1]"),
    ]
    assert (await node.controller.history(9))[-1].change == "added bgp, services"


async def test_there_is_no_history_before_the_first_revision() -> None:
    assert await Node().controller.history(5) == ()


def test_what_the_oldest_revision_changed_is_not_known_once_others_made_room() -> None:
    kept = [Revision(number, TIME, "test", dump_document(THREE)) for number in (9, 8)]

    assert [each.change for each in view_history(kept, 5)] == [
        "nothing",
        "not known, the revision before is not kept any more",
    ]


def test_a_revision_that_is_damaged_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for document in (NOTHING, TWO, THREE, TWO):
        store.append(dump_document(document), author="test")
    connection = sqlite3.connect(tmp_path / "revisions.sqlite")
    with connection:
        connection.execute("UPDATE revisions SET text = x'00' WHERE number = 2")
    connection.close()

    told = view_history(store.history(), 9)
    store.close()

    assert [(each.number, each.change) for each in told] == [
        (4, "removed services[20.20.20.1:8080/tcp].endpoints[57.0.0.1]"),
        (3, "not known, the revision before has changed on disk"),
        (2, "not known, it has changed on disk"),
        (1, "nothing"),
    ]


async def test_a_rollback_is_in_force_as_a_new_revision() -> None:
    node = Node()
    for document in (THREE, TWO):
        await node.edit(document)
    node.take_entries()

    revision = await node.controller.rollback(1, author="test", check=nothing_against_it)

    assert revision == 3
    assert node.controller.document == THREE
    assert node.store.texts[2] == node.store.texts[0]
    assert node.take_entries() == [
        "+endpoint 57.0.0.1",
        "down nobody",
        "+pool 20.20.20.1:8080/tcp",
    ]


async def test_a_rollback_can_be_refused_by_who_asks() -> None:
    node = Node()
    for document in (THREE, TWO):
        await node.edit(document)

    def check() -> None:
        raise ConflictError(f"at {node.controller.revision}")

    with pytest.raises(ConflictError, match="at 2"):
        await node.controller.rollback(1, author="test", check=check)
    assert node.controller.document == TWO


async def test_a_revision_that_is_not_kept_changes_nothing() -> None:
    node = Node()
    await node.edit(THREE)

    with pytest.raises(NotFoundError):
        await node.controller.rollback(2, author="test", check=nothing_against_it)
    assert node.controller.revision == 1


async def test_a_revision_that_this_version_does_not_take_is_refused_with_its_problems() -> None:
    node = Node()
    await node.edit(THREE)
    node.store.append('{"of": "another version"}', author="test")

    with pytest.raises(ConfigError, match="of: no such key here"):
        await node.controller.rollback(2, author="test", check=nothing_against_it)
    assert (await node.controller.history(1))[0].change == "added of; removed bgp, services"
