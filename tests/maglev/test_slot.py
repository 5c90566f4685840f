"""Slot words: what a change of table makes of them, rule by rule, and when they forget."""

import re
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.maglev import (
    SLOTS_PER_LINE,
    Candidate,
    SlotWord,
    build_table,
    change_down,
    label,
    oracle,
    settle,
    transition,
)
from headrace.maglev import slot as slot_module
from tests.house.source import ROOT
from tests.maglev.evenness import equal_pool

A, B, C, D = 1, 2, 3, 0x3FFF

labels = st.one_of(st.integers(0, 3), st.integers(0, 0x3FFF))
slots = st.builds(
    SlotWord, owner=labels, anchor=st.one_of(st.none(), labels), unstable=st.booleans()
)
changes = st.lists(st.tuples(slots, labels), max_size=70)


def words_of(*given: SlotWord) -> "array[int]":
    return array("I", [slot.word for slot in given])


def after(slot: SlotWord, *owners: int, down: frozenset[int] = frozenset()) -> SlotWord:
    """One slot after it had these owners, one after the other."""
    words = words_of(slot)
    for owner in owners:
        words, _ = transition(words, [owner], down)
    return SlotWord.of_word(words[0])


# --- SECOND_CHANCE, section 3: "on table change" --------------------------------------------------


def test_a_slot_whose_owner_stays_keeps_its_word() -> None:
    for slot in (SlotWord(A), SlotWord(A, B, unstable=True), SlotWord(A, None, unstable=True)):
        assert after(slot, A) == slot


def test_a_stable_slot_with_another_owner_becomes_unstable_and_anchored_to_the_old_one() -> None:
    assert after(SlotWord(A), B) == SlotWord(B, A, unstable=True)


def test_further_changes_keep_the_anchor() -> None:
    assert after(SlotWord(A), B, C, D) == SlotWord(D, A, unstable=True)


def test_an_owner_that_goes_and_returns_leaves_the_slot_unstable_and_anchored_to_it() -> None:
    assert after(SlotWord(A), B, A) == SlotWord(A, A, unstable=True)


def test_an_owner_that_goes_down_is_no_anchor() -> None:
    assert after(SlotWord(A), B, down=frozenset({A})) == SlotWord(B, None, unstable=True)


def test_an_unstable_slot_without_an_anchor_gets_none_by_another_change() -> None:
    assert after(SlotWord(B, None, unstable=True), C) == SlotWord(C, None, unstable=True)


def test_an_anchor_that_goes_down_is_forgotten_although_the_owner_stays() -> None:
    slot = SlotWord(B, A, unstable=True)

    assert after(slot, B, down=frozenset({A})) == SlotWord(B, None, unstable=True)


def test_an_owner_that_is_down_as_well_stays_the_owner() -> None:
    assert after(SlotWord(A), A, down=frozenset({A})) == SlotWord(A)


def test_label_0_is_an_anchor_like_any_other() -> None:
    assert after(SlotWord(0), B) == SlotWord(B, 0, unstable=True)
    assert after(SlotWord(0), B, down=frozenset({0})) == SlotWord(B, None, unstable=True)


# --- settling -------------------------------------------------------------------------------------


def test_a_line_settles_as_a_whole_and_no_other_does() -> None:
    unstable = SlotWord(B, A, unstable=True)
    words = words_of(*[unstable] * 3 * SLOTS_PER_LINE)

    settled = settle(words, [1])

    slots = [SlotWord.of_word(word) for word in words]
    assert settled == SLOTS_PER_LINE
    assert slots[16:32] == [SlotWord(B)] * SLOTS_PER_LINE
    assert slots[:16] == slots[32:] == [unstable] * SLOTS_PER_LINE


def test_the_last_line_may_be_short() -> None:
    words = words_of(*[SlotWord(B, None, unstable=True)] * 17)

    assert settle(words, [1]) == 1
    assert words[16] == B


def test_after_settling_the_owner_is_the_next_anchor() -> None:
    words, _ = transition(words_of(SlotWord(A)), [B], ())
    settle(words, [0])

    again, _ = transition(words, [C], ())

    assert SlotWord.of_word(again[0]) == SlotWord(C, B, unstable=True)


def test_memory_that_is_not_ours_settles_in_place() -> None:
    memory = bytearray(words_of(SlotWord(B, A, unstable=True), SlotWord(C, A, unstable=True)))

    assert settle(memoryview(memory).cast("I"), [0]) == 2
    assert memoryview(memory).cast("I").tolist() == [B, C]


# --- C and Python ---------------------------------------------------------------------------------


@given(changes, st.sets(labels))
def test_the_kernel_and_the_oracle_agree_on_a_change(
    change: list[tuple[SlotWord, int]], down: set[int]
) -> None:
    words = words_of(*(slot for slot, _ in change))
    owners = [owner for _, owner in change]
    expected = oracle.transition(words, owners, down)

    for given_words in (words, memoryview(words)):
        for given_owners in (owners, array("I", owners), array("H", owners)):
            assert transition(given_words, given_owners, down) == expected


@given(st.lists(slots, min_size=1, max_size=70), st.data())
def test_the_kernel_and_the_oracle_agree_on_settling(
    drawn: list[SlotWord], data: st.DataObject
) -> None:
    words = words_of(*drawn)
    lines = data.draw(st.sets(st.integers(0, (len(drawn) - 1) // SLOTS_PER_LINE)))
    expected, count = oracle.settle(words, lines)

    assert settle(words, lines) == count
    assert words == expected


@given(slots)
def test_a_word_holds_a_slot_without_loss(slot: SlotWord) -> None:
    assert slot.word < 2**32
    assert SlotWord.of_word(slot.word) == slot


def test_the_bits_are_those_that_packets_are_read_by() -> None:
    headers = "".join(
        path.read_text()
        for path in (
            Path(slot_module.__file__).with_name("slot.h"),
            ROOT / "src/headrace/dataplane/bpf/layout.h",
        )
    )

    for name, value in (
        ("OWNER_MASK", slot_module.OWNER_MASK),
        ("ANCHOR_SHIFT", slot_module.ANCHOR_SHIFT),
        ("UNSTABLE", slot_module.UNSTABLE),
        ("HAS_ANCHOR", slot_module.HAS_ANCHOR),
        ("SLOTS_PER_LINE", SLOTS_PER_LINE),
    ):
        texts = re.findall(rf"^#define (?:SLOT_)?{name} (\(1u << \d+\)|\w+)", headers, re.MULTILINE)
        assert [number_of(text) for text in texts] == [value, value], name


def number_of(text: str) -> int:
    """A C constant of one of the two forms that the headers have."""
    if text.startswith("(1u << "):
        return 1 << int(text.removeprefix("(1u << ").removesuffix(")"))
    return int(text.removesuffix("u"), 0)


# --- with tables ----------------------------------------------------------------------------------


def test_a_failure_makes_the_failed_endpoints_slots_unstable_and_no_other() -> None:
    table = build_table(0, equal_pool(10), 251)
    of_candidate = [100 + index for index in range(10)]
    words = label(table.owners, of_candidate)
    failed = change_down(table, [table.candidates[3].address])

    after_failure, changed = transition(words, label(failed.owners, of_candidate), {103})

    assert changed == table.owners.count(3)
    for before, now in zip(words, after_failure, strict=True):
        slot = SlotWord.of_word(now)
        assert slot.unstable == (before == 103)
        assert slot.anchor is None
        assert slot.owner == before if before != 103 else slot.owner != 103


def test_a_first_table_is_all_stable() -> None:
    table = build_table(0, [Candidate(each.address, 3) for each in equal_pool(5)], 251)
    of_candidate = [9, 0, 7, 0x3FFF, 5]

    words = label(table.owners, of_candidate)

    assert words == array("I", [of_candidate[owner] for owner in table.owners])


# --- what is refused ------------------------------------------------------------------------------


def test_a_change_is_told_for_every_slot() -> None:
    with pytest.raises(ValueError, match="1 owners are not one for each of 2 slots"):
        transition(array("I", [A, B]), [A], ())


@pytest.mark.parametrize("too_large", [0x4000, 2**31])
def test_a_label_has_14_bits(too_large: int) -> None:
    words = array("I", [A])

    with pytest.raises(ValueError, match=r"owner's label is not in 0\.\.16383"):
        transition(words, [too_large], ())
    with pytest.raises(ValueError, match=rf"label {too_large} is not in 0\.\.16383"):
        transition(words, [A], {too_large})
    with pytest.raises(ValueError, match=r"no label in 0\.\.16383"):
        label(array("H", [0]), [too_large])


def test_an_owner_beyond_the_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="an owner has no label"):
        label(array("H", [0, 2]), [A, B])


def test_a_line_beyond_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line 1 is not in 0\.\.0"):
        settle(array("I", [A]), [1])
