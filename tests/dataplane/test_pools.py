"""Lookup tables that change, endpoints that go, and what is remembered of both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.dataplane import BlockAge, Dataplane
from headrace.maglev import SlotWord
from headrace.model import NextHop, Reach, ServiceEntry, ServiceKey, Tuning
from headrace.model import Path as Way

from .rig import path, reach

pytestmark = pytest.mark.bpf

A, B, C, D = (reach(number) for number in (1, 2, 3, 4))
SLOTS = 251
BLOCKS = 4
IDLE_S = 60


class Clock:
    """Time as a test wants it."""

    now = 1000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plane(pins: Path, clock: Clock) -> Iterator[Dataplane]:
    plane = Dataplane(pins, now=clock)
    plane.set_hash_keys(range(1, 7))
    for each in (A, B, C, D):
        plane.put_endpoint(each, path(each))
    yield plane
    plane.close()


def put(plane: Dataplane, *owners: Reach, stamp: int = 1, slots: int = SLOTS) -> None:
    """The pool's table: these owners slot by slot, the last of them to the end."""
    reaches = sorted(set(owners), key=lambda each: int(each.endpoint))
    indexes = [reaches.index(each) for each in owners]
    plane.put_pool("web", reaches, indexes + [indexes[-1]] * (slots - len(indexes)), stamp)


def slot(plane: Dataplane, number: int) -> tuple[Reach, Reach | None, bool]:
    """Owner, anchor and whether it is unstable."""
    word = SlotWord.of_word(plane._pools.tables()[0].words[number])
    reaches = {index: each for each, index in plane._endpoints._index.items()}
    reaches |= {index: each for each, index in plane._endpoints._lingering.items()}
    anchor = None if word.anchor is None else reaches[word.anchor]
    return reaches[word.owner], anchor, word.unstable


def age(plane: Dataplane, block: int) -> BlockAge:
    return plane._pools.tables()[0].ages[block]


def depart(plane: Dataplane, block: int, at_s: int) -> None:
    """What a packet leaves that goes elsewhere than to its slot's owner."""
    first = plane._pools._regions[0].first_line // 4
    plane._pools._lines._block_ages.values[first + block].departed_s = at_s


def test_first_table_is_stable(plane: Dataplane) -> None:
    put(plane, A, B)

    assert [slot(plane, number) for number in (0, 1)] == [(A, None, False), (B, None, False)]
    assert set(plane._pools.tables()[0].ages) == {BlockAge()}


def test_slot_with_another_owner_is_unstable_and_its_block_has_an_age(plane: Dataplane) -> None:
    put(plane, *[A] * 80, B)
    put(plane, *[A] * 80, A, B)

    assert slot(plane, 80) == (A, B, True)
    assert [slot(plane, number) for number in (79, 81)] == [(A, None, False), (B, None, False)]
    assert len(plane._pools.tables()[0].ages) == BLOCKS
    ages = [age(plane, block) for block in range(BLOCKS)]
    assert ages[1] == BlockAge(unstable_since_s=1000, changed_s=1000)
    assert {*ages[:1], *ages[2:]} == {BlockAge()}


def test_block_stays_unstable_since_its_first_change(plane: Dataplane, clock: Clock) -> None:
    put(plane, A, B)
    put(plane, B, B)
    clock.now += 50

    put(plane, B, *[B] * 62, A)

    assert slot(plane, 0) == (B, A, True)
    assert slot(plane, 63) == (A, B, True)
    assert age(plane, 0) == BlockAge(unstable_since_s=1000, changed_s=1050)


def test_block_settles_when_it_was_idle_for_long_enough(plane: Dataplane, clock: Clock) -> None:
    put(plane, A)
    put(plane, *[B] * 70, *[A] * 180, B)
    clock.now += 50
    put(plane, *[B] * 70, C, *[A] * 179, B)

    clock.now = 1000.5 + IDLE_S
    assert plane.settle(IDLE_S) == 0
    clock.now += 1
    assert plane.settle(IDLE_S) == 64 + 1

    assert slot(plane, 63) == slot(plane, SLOTS - 1) == (B, None, False)
    assert [slot(plane, number) for number in (64, 70)] == [(B, A, True), (C, A, True)]
    clock.now += 50
    assert plane.settle(IDLE_S) == 7
    assert plane.settle(IDLE_S) == 0


def test_block_does_not_settle_while_flows_are_elsewhere(plane: Dataplane, clock: Clock) -> None:
    put(plane, A)
    put(plane, B, A)
    clock.now += 100
    depart(plane, 0, 1090)

    assert plane.settle(IDLE_S) == 0
    clock.now += 100
    assert plane.settle(IDLE_S) == 1


def test_next_daemon_settles_what_the_last_one_changed(
    plane: Dataplane, pins: Path, clock: Clock
) -> None:
    put(plane, A)
    put(plane, B, A)
    plane.close()

    successor = Dataplane(pins, now=clock)

    assert slot(successor, 0) == (B, A, True)
    clock.now += IDLE_S + 1
    assert successor.settle(IDLE_S) == 1
    successor.close()


def test_departures_are_kept_when_another_block_changes(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, *[A] * 64, B, A)
    depart(plane, 1, 1001)

    put(plane, B, *[A] * 63, B, A)

    assert age(plane, 1).departed_s == 1001


@pytest.mark.parametrize("change", ["keys", "slots"])
def test_change_of_keys_or_of_the_number_of_slots_makes_all_stable(
    plane: Dataplane, change: str
) -> None:
    put(plane, A)
    put(plane, B, A)

    if change == "keys":
        plane.set_hash_keys(range(11, 17))
    put(plane, C, A, slots=257 if change == "slots" else SLOTS)

    assert slot(plane, 0) == (C, None, False)
    assert plane.settle(0) == 0


def test_setting_the_same_keys_again_changes_nothing(plane: Dataplane) -> None:
    put(plane, A)

    plane.set_hash_keys(range(1, 7))

    assert plane.read().pools == {"web": 1}


def test_pool_that_a_daemon_was_killed_over_is_written_again_with_its_history(
    plane: Dataplane, pins: Path, clock: Clock
) -> None:
    put(plane, A)
    plane._pools._infos.values[0].stamp = 0  # what `put` leaves until it is done
    plane.close()

    successor = Dataplane(pins, now=clock)

    assert successor.read().pools == {"web": 0}
    put(successor, B, A)
    assert slot(successor, 0) == (B, A, True)
    successor.close()


def test_next_daemon_knows_that_keys_changed(plane: Dataplane, pins: Path, clock: Clock) -> None:
    put(plane, A)
    plane.set_hash_keys(range(11, 17))
    plane.close()

    successor = Dataplane(pins, now=clock)

    assert successor.read().pools != {"web": 1}
    put(successor, B, A)
    assert slot(successor, 0) == (B, None, False)
    successor.close()


def test_anchor_that_is_down_is_forgotten(plane: Dataplane) -> None:
    put(plane, A)
    plane.set_down(frozenset({A.endpoint}))

    put(plane, B)

    assert slot(plane, 0) == (B, None, True)


def test_table_is_kept_as_it_was_while_the_array_grows(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B, A)
    before = list(plane._pools.tables()[0].words), list(plane._pools.tables()[0].ages)

    plane.put_pool("large", [A], [0] * 1_048_573, stamp=1)
    plane.put_pool("larger", [A], [0] * 1_048_573, stamp=1)

    assert before == (list(plane._pools.tables()[0].words), list(plane._pools.tables()[0].ages))


def test_room_for_many_pools_is_made_at_once(plane: Dataplane) -> None:
    plane.reserve([65_537] * 40)
    size = len(plane._pools._lines._lines)

    for number in range(40):
        plane.put_pool(f"pool{number}", [A], [0] * 65_537, stamp=1)

    assert len(plane._pools._lines._lines) == size


def test_tables_put_in_a_row_reuse_what_rested_a_little(plane: Dataplane, clock: Clock) -> None:
    size = len(plane._pools._lines._lines)
    for number in range(100):
        clock.now += 0.06
        slots = 65_537 + number // 5 % 2  # of another size a table has no past
        plane.put_pool(f"pool{number % 5}", [A], [0] * slots, stamp=1)

    assert len(plane._pools._lines._lines) == size


def test_owners_change_where_the_table_lies(plane: Dataplane) -> None:
    put(plane, A)
    place = plane._pools._regions[0]
    table = plane._pools.tables()[0]
    first = list(table.words)

    for owners in ((B, A), (B, C, A), (C, *[A] * 70, B)):
        put(plane, *owners)

    assert plane._pools._regions[0] == place
    assert list(table.words) != first
    assert slot(plane, 0) == (C, A, True)


def test_array_without_room_takes_any_number_of_changes_at_once(plane: Dataplane) -> None:
    size = len(plane._pools._lines._lines)
    names = [f"pool{number}" for number in range(8)]
    for stamp in range(1, 4):
        owner = stamp % 2
        for name in names:
            plane.put_pool(name, [A, B], [owner] * 65_537, stamp)

    assert len(plane._pools._lines._lines) == size == 8 * 4100
    assert set(plane.read().pools.values()) == {3}


def test_slot_loses_a_dead_anchor_though_no_owner_in_its_block_changes(
    plane: Dataplane, clock: Clock
) -> None:
    put(plane, A)
    put(plane, B, A)
    plane.set_down(frozenset({A.endpoint}))
    clock.now += 5

    put(plane, B, *[A] * 63, C)

    assert slot(plane, 0) == (B, None, True)
    assert [age(plane, block).changed_s for block in (0, 1)] == [1000, 1005]


# --- endpoints -----------------------------------------------------------------------------------


def test_removed_endpoint_lingers_while_flows_may_be_at_it(plane: Dataplane, clock: Clock) -> None:
    put(plane, A)
    put(plane, B)
    index = plane._endpoints._index[A]

    plane.remove_endpoint(A)

    assert A not in plane.read().endpoints
    row = plane.tables().endpoints[index]
    assert (row.address, row.path) == (A.endpoint, path(A))
    clock.now += IDLE_S + 1
    plane.settle(IDLE_S)
    assert index not in plane.tables().endpoints


def test_endpoint_between_two_tables_lingers_though_no_slot_names_it(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B)
    put(plane, C)
    index = plane._endpoints._index[B]

    plane.remove_endpoint(B)

    assert index in plane.tables().endpoints, "notes may name it"


def test_endpoint_that_no_unstable_pool_had_does_not_linger(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B)
    index = plane._endpoints._index[D]

    plane.remove_endpoint(D)

    assert index not in plane.tables().endpoints


def test_endpoint_that_comes_back_while_it_lingers_is_the_same_one(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B)
    index = plane._endpoints._index[A]
    before = plane.tables().endpoints[index]
    plane.remove_endpoint(A)

    plane.put_endpoint(A, path(A))

    assert plane._endpoints._index[A] == index
    assert plane.tables().endpoints[index] == before


def test_next_daemon_is_told_to_remove_what_lingered(
    plane: Dataplane, pins: Path, clock: Clock
) -> None:
    put(plane, A)
    put(plane, B)
    plane.remove_endpoint(A)
    plane.close()

    successor = Dataplane(pins, now=clock)

    assert A in successor.read().endpoints
    successor.remove_endpoint(A)
    successor.remove_endpoint(D)
    assert {A.endpoint, D.endpoint} <= {
        row.address for row in successor.tables().endpoints.values()
    }
    clock.now += IDLE_S + 1
    successor.settle(IDLE_S)
    assert len(successor.tables().endpoints) == 2
    successor.close()


def test_index_given_to_another_endpoint_is_of_another_generation(
    plane: Dataplane, pins: Path, clock: Clock
) -> None:
    index = plane._endpoints._index[D]
    generations = {plane.tables().endpoints[index].generation}
    current = D
    for number in range(3):
        plane.remove_endpoint(current)
        plane.close()
        clock.now += 5
        plane = Dataplane(pins, now=clock)
        current = reach(20 + number)
        plane._endpoints._indexes._fresh = iter((index,))

        plane.put_endpoint(current, path(current))

        generations.add(plane.tables().endpoints[index].generation)
    assert len(generations) == 4
    plane.close()


def test_down_endpoints_are_read_back_whatever_entries_an_address_has(
    plane: Dataplane, pins: Path
) -> None:
    other = reach(1, outer="32.32.32")
    plane.put_endpoint(other, path(other))

    plane.set_down(frozenset({A.endpoint, B.endpoint}))
    plane.set_down(frozenset({A.endpoint}))

    assert plane.read().down == {A.endpoint}
    down = {i for i, row in plane.tables().endpoints.items() if row.down}
    assert down == {plane._endpoints._index[each] for each in (A, other)}
    plane._endpoints._entries.values[plane._endpoints._index[other]].down = 0
    plane.close()
    successor = Dataplane(pins)
    assert {i for i, row in successor.tables().endpoints.items() if row.down} == down
    successor.close()


def test_endpoint_put_while_its_address_is_down_is_down(plane: Dataplane) -> None:
    plane.set_down(frozenset({A.endpoint}))
    other = reach(1, outer="32.32.32")

    plane.put_endpoint(other, path(other))

    assert plane.tables().endpoints[plane._endpoints._index[other]].down


def test_lingering_endpoint_that_was_down_stays_down(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B)
    plane.set_down(frozenset({A.endpoint}))
    index = plane._endpoints._index[A]
    plane.remove_endpoint(A)

    plane.set_down(frozenset())

    assert plane.tables().endpoints[index].down


def test_lingering_endpoint_goes_down_when_told(plane: Dataplane) -> None:
    put(plane, A)
    put(plane, B)
    index = plane._endpoints._index[A]
    plane.remove_endpoint(A)

    plane.set_down(frozenset({A.endpoint}))

    assert plane.tables().endpoints[index].down


def test_path_that_is_tagged_and_transmits_is_read_back(plane: Dataplane) -> None:
    assert A.outer_source
    hop = NextHop(7, b"\1" * 6, b"\2" * 6, tag=100, transmit=True)
    way = Way(A.outer_source, A.outer_destination, hop, 1500)

    plane.put_endpoint(A, way)

    assert plane.read().endpoints[A] == way


# --- server ids and tuning -----------------------------------------------------------------------


def test_server_ids_are_read_back_and_go_with_their_pool(plane: Dataplane, pins: Path) -> None:
    put(plane, A, B)

    plane.set_server_ids("web", {7: A, 8: A})
    plane.set_server_ids("web", {7: B, 9: A})

    ids = {"web": {7: B.endpoint, 9: A.endpoint}}
    assert plane.read().server_ids == ids
    indexes = plane._endpoints._index
    assert plane.tables().server_ids == {("web", 7): indexes[B], ("web", 9): indexes[A]}
    plane.close()
    successor = Dataplane(pins)
    assert successor.read().server_ids == ids
    successor.remove_pool("web")
    assert successor.read().server_ids == {}
    assert list(successor._server_ids._map) == []
    successor.close()


def test_endpoint_lingers_while_a_server_id_names_it(plane: Dataplane) -> None:
    put(plane, A, B)
    plane.set_server_ids("web", {7: D})
    index = plane._endpoints._index[D]

    plane.remove_endpoint(D)

    assert plane.read().server_ids == {}, "control sees that the id has to be set again"
    assert index in plane.tables().endpoints
    plane.set_server_ids("web", {})
    plane.settle(IDLE_S)
    assert index not in plane.tables().endpoints


def test_tuning_is_read_back(plane: Dataplane) -> None:
    tuning = Tuning(answers_per_s=5, udp_idle_s=6, gue_port=0x1234, sample_one_in=7)

    plane.set_tuning(tuning)

    assert plane.read().tuning == plane.tables().tuning == tuning


def test_tables_show_each_service_with_the_table_of_its_pool(plane: Dataplane) -> None:
    put(plane, A, B)
    key = ServiceKey.of_text("20.20.20.1:80/tcp")

    plane.put_service(key, ServiceEntry("web"))

    row = plane.tables().services[key]
    assert (row.entry, row.pool.name, len(row.pool.words)) == (ServiceEntry("web"), "web", SLOTS)
