"""Where lookup tables lie in the one array of slot lines."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from headrace.dataplane.indexes import REST_S
from headrace.dataplane.layout import SLOT_OWNER_MASK, SLOTS_PER_LINE, SlotLine
from headrace.dataplane.maps import SharedArray


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A run of slot lines."""

    first_line: int
    line_count: int

    @property
    def end(self) -> int:
        """The line after the last."""
        return self.first_line + self.line_count


def lines_for(slot_count: int) -> int:
    """How many lines a table of that many slots takes."""
    return -(-slot_count // SLOTS_PER_LINE)


def find_region(taken: Iterable[Region], line_count: int, capacity: int) -> Region | None:
    """The first gap that holds `line_count` lines; None when the array is too small."""
    position = 0
    for region in sorted(taken):
        if region.first_line - position >= line_count:
            break
        position = max(position, region.end)
    if position + line_count > capacity:
        return None
    return Region(position, line_count)


def capacity_for(needed: int) -> int:
    """The array's next size: a power of two, so that growing is rare."""
    return 1 << (needed - 1).bit_length()


class SlotLines:
    """The array of slot lines in the kernel, and the regions that rest before they are reused."""

    def __init__(self, lines: SharedArray[SlotLine]) -> None:
        self._lines = lines
        self._words = lines.words
        self._resting: list[tuple[float, Region]] = []

    def find(self, taken: Iterable[Region], line_count: int, now: float) -> Region | None:
        """A region that no table and no packet uses; None when the array is too small."""
        self._resting = [(until, region) for until, region in self._resting if until > now]
        resting = (region for _, region in self._resting)
        return find_region([*taken, *resting], line_count, len(self._lines))

    def retire(self, region: Region, now: float) -> None:
        """Let a region rest until no packet can be reading it any more."""
        self._resting.append((now + REST_S, region))

    def write(self, region: Region, owners: Sequence[int], labels: Sequence[int]) -> None:
        """Write a table: each slot the label of its owner."""
        first = region.first_line * SLOTS_PER_LINE
        self._words[first : first + len(owners)] = array("I", [labels[owner] for owner in owners])

    def view(self, region: Region, slot_count: int) -> Sequence[int]:
        """The owners in a region, as an indexable."""
        return _Owners(self._words, region.first_line * SLOTS_PER_LINE, slot_count)

    def capacity_with(self, line_count: int) -> int:
        """The size to grow to so that a table of `line_count` lines surely fits."""
        return capacity_for(len(self._lines) + line_count)

    def grown_into(self, lines: SharedArray[SlotLine]) -> "SlotLines":
        """The same tables at the same places in a larger array."""
        grown = SlotLines(lines)
        lines.words[: len(self._words)] = self._words
        grown._resting = list(self._resting)
        return grown


@dataclass(frozen=True, slots=True)
class _Owners(Sequence[int]):
    """Slots as endpoint indexes, read from the kernel's memory at each access."""

    words: memoryview
    first: int
    slot_count: int

    def __len__(self) -> int:
        return self.slot_count

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self.slot_count))]
        if not 0 <= index < self.slot_count:
            raise IndexError(index)
        return self.words[self.first + index] & SLOT_OWNER_MASK
