"""Where lookup tables lie in the one array of slot lines."""

from __future__ import annotations  # array[int] needs it before Python 3.12

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from headrace.dataplane.indexes import REST_S
from headrace.dataplane.layout import SLOTS_PER_LINE, LineAge, SlotLine
from headrace.dataplane.loader import Loader
from headrace.dataplane.maps import SharedArray
from headrace.dataplane.tables import LineAge as LineAgeRow
from headrace.model.limits import SLOT_COUNT_DEFAULT

AGE_WORDS = 4
"""32-bit words of a line's age: unstable since, changed, departed, zero."""


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


_SPARE_SHARE = 16
"""One in so many lines is for tables that are written while old ones rest, besides a few."""
_SPARE_TABLES = 4

_REST_AT_LEAST_S = 0.1
"""How long a region rests in any case; only a stopped virtual machine takes that for a packet."""

_LINES_AT_FIRST = 8 * lines_for(SLOT_COUNT_DEFAULT)


class SlotLines:
    """The array of slot lines in the kernel with the lines' ages, and what rests before reuse.

    Loads the program, which decides how large the two arrays are.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._resting: list[tuple[float, Region]] = []
        self._load(_LINES_AT_FIRST)
        larger = max(len(self._lines), len(self._line_ages))
        if larger > min(len(self._lines), len(self._line_ages)):
            self._load(larger)  # a daemon was killed while it replaced the two

    def find(self, taken: Iterable[Region], line_count: int, now: float) -> Region:
        """A region that no table and no packet uses."""
        self._resting = [(since, each) for since, each in self._resting if since > now - REST_S]
        resting = [each for _, each in self._resting]
        briefly = [each for since, each in self._resting if since > now - _REST_AT_LEAST_S]
        region = find_region([*taken, *resting], line_count, len(self._lines))
        if region is None:
            region = find_region([*taken, *briefly], line_count, len(self._lines))
        if region is None:
            self._grow(capacity_for(len(self._lines) + line_count))
            region = find_region([*taken, *resting], line_count, len(self._lines))
        if region is None:
            raise AssertionError("a grown array holds the table it was grown for")
        return region

    def retire(self, region: Region, now: float) -> None:
        """Let a region rest until no packet can be reading it any more."""
        self._resting.append((now, region))

    def reserve(self, slot_counts: Collection[int]) -> None:
        """Make room for tables of these sizes at once, rather than table by table."""
        lines = [lines_for(slot_count) for slot_count in slot_counts]
        needed = sum(lines) + sum(lines) // _SPARE_SHARE + _SPARE_TABLES * max(lines, default=0)
        if needed > len(self._lines):
            self._grow(needed)

    def write(self, region: Region, words: array[int], ages: array[int]) -> None:
        """Write a table, a word a slot, and the ages of its lines, `AGE_WORDS` a line."""
        self.words(region, len(words))[:] = memoryview(words)
        self.ages(region)[:] = memoryview(ages)

    def words(self, region: Region, slot_count: int) -> memoryview:
        """The words of a table in the kernel's memory."""
        first = region.first_line * SLOTS_PER_LINE
        return self._lines.words[first : first + slot_count]

    def ages(self, region: Region) -> memoryview:
        """The ages of a table's lines in the kernel's memory, `AGE_WORDS` words a line."""
        return self._line_ages.words[AGE_WORDS * region.first_line : AGE_WORDS * region.end]

    def age_rows(self, region: Region) -> Sequence[LineAgeRow]:
        """The same as values, each read when it is asked for."""
        return _Ages(self.ages(region))

    def _load(self, line_count: int) -> None:
        self._loader.load({"slot_lines": line_count, "line_ages": line_count})
        fds = self._loader.map_fds
        self._lines = SharedArray(fds["slot_lines"], SlotLine)
        self._line_ages = SharedArray(fds["line_ages"], LineAge)

    def _grow(self, capacity: int) -> None:
        """Load the program over larger arrays, with the same tables at the same places."""
        words, ages = self._lines.words, self._line_ages.words
        self._load(capacity)
        self._lines.words[: len(words)] = words
        self._line_ages.words[: len(ages)] = ages
        self._loader.commit()


@dataclass(frozen=True, slots=True)
class _Ages(Sequence[LineAgeRow]):
    """The ages of lines, read from the kernel's memory at each access."""

    words: memoryview

    def __len__(self) -> int:
        return len(self.words) // AGE_WORDS

    @overload
    def __getitem__(self, index: int) -> LineAgeRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LineAgeRow]: ...

    def __getitem__(self, index: int | slice) -> LineAgeRow | Sequence[LineAgeRow]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return LineAgeRow(*self.words[AGE_WORDS * index : AGE_WORDS * index + 3])
