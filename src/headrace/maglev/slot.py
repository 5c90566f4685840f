"""Slot words: who answers a slot, who did before, and whether that is lately.

docs/hash-v1.md section 8 says what the bits mean. A *label* is the data plane's number of an
endpoint, 14 bits; a table's indexes are other numbers.
"""

from __future__ import annotations  # array[int] needs it before Python 3.12

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from headrace.maglev import kernel

OWNER_MASK = 0x3FFF
ANCHOR_SHIFT = 14
UNSTABLE = 1 << 28
HAS_ANCHOR = 1 << 29
SLOTS_PER_LINE = 16

_LABELS = range(OWNER_MASK + 1)


@dataclass(frozen=True, slots=True)
class SlotWord:
    """One slot, taken apart."""

    owner: int  # label of the endpoint that new flows go to
    anchor: int | None = None  # label of the owner when the slot was last settled
    unstable: bool = False  # the owner has changed lately

    @classmethod
    def of_word(cls, word: int) -> Self:
        """The slot that a word of 32 bits stands for."""
        anchor = word >> ANCHOR_SHIFT & OWNER_MASK if word & HAS_ANCHOR else None
        return cls(word & OWNER_MASK, anchor, bool(word & UNSTABLE))

    @property
    def word(self) -> int:
        """The 32 bits that the data plane reads."""
        anchor = 0 if self.anchor is None else HAS_ANCHOR | self.anchor << ANCHOR_SHIFT
        return self.owner | anchor | (UNSTABLE if self.unstable else 0)


def label(owners: array[int], labels: Sequence[int]) -> array[int]:
    """The words of a first table, all of it stable: the label of each slot's owner.

    `owners` are a table's, `labels` those of its candidates. ValueError if one has none.
    """
    try:
        return kernel.label(owners, array("I", labels))
    except kernel.NoLabelError as error:
        raise ValueError(f"an owner has no label in 0..{OWNER_MASK}") from error


def transition(
    words: array[int] | memoryview, owners: Sequence[int], down: Collection[int]
) -> tuple[array[int], int]:
    """The words that follow when slots get these owners (labels), and how many get another one.

    A slot whose owner changes becomes unstable and keeps as anchor the owner it had when it was
    last settled. An anchor among the labels that are `down` is forgotten. Words are 32 bits; an
    array of them, type I, is the quickest form of `owners` too.
    """
    if len(words) != len(owners):
        raise ValueError(f"{len(owners)} owners are not one for each of {len(words)} slots")
    try:
        return kernel.transition(_native(words), _native(owners), _flags(down))
    except kernel.NoLabelError as error:
        raise ValueError(f"an owner's label is not in 0..{OWNER_MASK}") from error


def settle(words: array[int] | memoryview, lines: Iterable[int]) -> int:
    """Make whole lines of slots stable, in place; how many of their slots were not.

    Line n of a table has its slots 16 n to 16 n + 15.
    """
    asked = array("I", lines)
    line_count = -(-len(words) // SLOTS_PER_LINE)
    if asked and max(asked) >= line_count:
        raise ValueError(f"line {max(asked)} is not in 0..{line_count - 1}")
    return kernel.settle(words, asked)


def _native(values: array[int] | memoryview | Sequence[int]) -> array[int]:
    """The values as the kernel reads them; copied unless they are so already."""
    if isinstance(values, array) and values.typecode == "I":
        return values
    if isinstance(values, memoryview) and values.format == "I":
        copy = array("I")
        copy.frombytes(values.cast("B"))
        return copy
    return array("I", values)


def _flags(down: Collection[int]) -> bytearray:
    """A byte for each label: 1 if it is down."""
    flags = bytearray(len(_LABELS))
    for each in down:
        if each not in _LABELS:
            raise ValueError(f"label {each} is not in 0..{OWNER_MASK}")
        flags[each] = 1
    return flags
