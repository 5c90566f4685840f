"""Where lookup tables lie in the one array of slot lines."""

from __future__ import annotations  # array[int] needs it before Python 3.12

import time
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, overload

from headrace.dataplane.indexes import REST_S
from headrace.dataplane.layout import LINES_PER_BLOCK, SLOTS_PER_LINE, BlockAge, SlotLine
from headrace.dataplane.loader import Loader
from headrace.dataplane.maps import SharedArray
from headrace.dataplane.tables import BlockAge as BlockAgeRow
from headrace.model.limits import SLOT_COUNT_DEFAULT

AGE_WORDS = 4
"""32-bit words of a block's age: unstable since, changed, departed, zero."""


class Region(NamedTuple):
    """A run of slot lines; whole blocks, where a table is in it. Ordered by place."""

    first_line: int
    line_count: int

    @property
    def end(self) -> int:
        """The line after the last."""
        return self.first_line + self.line_count

    def meets(self, other: Region) -> bool:
        """Whether some line is in both."""
        return self.first_line < other.end and other.first_line < self.end


def lines_for(slot_count: int) -> int:
    """How many lines a table of that many slots takes: those of whole blocks."""
    return _whole_blocks(-(-slot_count // SLOTS_PER_LINE))


def find_region(taken: Iterable[Region], line_count: int, capacity: int) -> Region | None:
    """The first gap that holds `line_count` lines from the start of a block; None if there is none.

    The array has room for `capacity` lines.
    """
    regions = sorted(taken)
    if sum(lines for _, lines in regions) + line_count > capacity:
        return None  # as often in a long row of changes: every gap was given away
    position = 0
    for first_line, lines in regions:
        if first_line - position >= line_count:
            break
        end = first_line + lines
        end += -end % LINES_PER_BLOCK
        position = max(position, end)
    if position + line_count > capacity:
        return None
    return Region(position, line_count)


def capacity_for(needed: int) -> int:
    """The array's next size, in lines: twice as much at first, so that growing is rare."""
    return _whole_blocks(needed + min(needed, _LINES_AHEAD))


def _whole_blocks(line_count: int) -> int:
    return -(-line_count // LINES_PER_BLOCK) * LINES_PER_BLOCK


_LINES_OF_TABLE = lines_for(SLOT_COUNT_DEFAULT)
_LINES_AT_FIRST = 8 * _LINES_OF_TABLE
_LINES_AHEAD = 16 * _LINES_OF_TABLE
"""How many lines an array grows by beyond the need at most: 4.5 MB with their ages."""

_SPARE_SHARE = 32
"""One in so many lines is for tables that are written while old ones rest, besides a few."""
_SPARE_TABLES = 4

_REST_AT_LEAST_S = 0.1
"""How long a region, or a program, rests in any case; only a stopped virtual machine takes that for
a packet.
"""

_LINES_TO_WAIT = 256 * _LINES_OF_TABLE
"""An array of so many lines never grows for tables that rest: to copy it takes longer than they do,
and twice the memory meanwhile.
"""


class SlotLines:
    """The array of slot lines in the kernel with the lines' ages, and what rests before reuse.

    Loads the program, which decides how large the two arrays are.
    """

    def __init__(self, loader: Loader, now: Callable[[], float]) -> None:
        self._loader, self._now = loader, now
        self._resting: list[tuple[float, Region]] = []
        self._grown_s = -inf
        self._load(_LINES_AT_FIRST)

    def wait_s(self, now: float) -> float:
        """How long it takes yet until no packet is in the program of before the array grew.

        No table is written meanwhile, as it would be where such packets cannot look.
        """
        return max(self._grown_s + _REST_AT_LEAST_S - now, 0.0)

    def rest(self, now: float) -> None:
        """Sleep as long as `wait_s` says."""
        time.sleep(self.wait_s(now))
        self._grown_s = -inf

    def prepare(self, taken: Collection[Region], line_count: int, now: float) -> float:
        """Have `find` need no sleep after so many seconds, in which others may work."""
        if self._find_free(taken, line_count, now) is None:
            rested = self._find_rested(taken, line_count, now)
            if rested is not None:
                return max(rested[0] - now, self.wait_s(now))
            self._grow(capacity_for(len(self._lines) + line_count))
        return self.wait_s(now)

    def find(self, taken: Collection[Region], line_count: int, now: float) -> Region:
        """A region that no table and no packet uses; sleeps until there is one."""
        time.sleep(self.prepare(taken, line_count, now))
        self._grown_s = -inf  # that was slept out
        region = self._find_free(taken, line_count, now)
        if region is None:
            rested = self._find_rested(taken, line_count, now)
            if rested is None:
                raise AssertionError("a grown array holds the table it was grown for")
            region = rested[1]
            self._resting = [each for each in self._resting if not region.meets(each[1])]
        return region

    def _find_free(self, taken: Iterable[Region], line_count: int, now: float) -> Region | None:
        """A region that nothing has used for long, if there is one."""
        rested = [each for since, each in self._resting if since <= now - REST_S]
        self._resting = [(since, each) for since, each in self._resting if since > now - REST_S]
        for each in rested:
            if each.line_count == line_count:  # nearly always, without a look at all the others
                return each
        resting = [each for _, each in self._resting]
        return find_region([*taken, *resting], line_count, len(self._lines))

    def retire(self, region: Region, now: float) -> None:
        """Let a region rest until no packet can be reading it any more."""
        self._resting.append((now, region))

    def reserve(self, slot_counts: Collection[int]) -> None:
        """Make room for tables of these sizes at once, rather than table by table."""
        lines = [lines_for(slot_count) for slot_count in slot_counts]
        needed = sum(lines) + sum(lines) // _SPARE_SHARE + _SPARE_TABLES * max(lines, default=0)
        if needed > len(self._lines):
            self._grow(capacity_for(needed))

    def write(self, region: Region, words: array[int]) -> None:
        """Write a table, a word a slot, whose blocks have no age."""
        self.words(region, len(words))[:] = memoryview(words)
        ages = self.ages(region)
        ages[:] = memoryview(array("I", bytes(ages.nbytes)))

    def words(self, region: Region, slot_count: int) -> memoryview:
        """The words of a table in the kernel's memory."""
        first = region.first_line * SLOTS_PER_LINE
        return self._lines.words[first : first + slot_count]

    def ages(self, region: Region) -> memoryview:
        """The ages of a table's blocks in the kernel's memory, `AGE_WORDS` words a block."""
        first, end = region.first_line // LINES_PER_BLOCK, region.end // LINES_PER_BLOCK
        return self._block_ages.words[AGE_WORDS * first : AGE_WORDS * end]

    def age_rows(self, region: Region) -> Sequence[BlockAgeRow]:
        """The same as values, each read when it is asked for."""
        return _Ages(self.ages(region))

    def _find_rested(
        self, taken: Collection[Region], line_count: int, now: float
    ) -> tuple[float, Region] | None:
        """A region of which a part rests yet, and when it may be used; None: better grow."""
        for count, (since, oldest) in enumerate(self._resting, 1):
            usable_s = since + _REST_AT_LEAST_S
            if usable_s > now and len(self._lines) < _LINES_TO_WAIT:
                break
            region: Region | None = oldest
            if oldest.line_count != line_count:
                resting = [each for _, each in self._resting[count:]]
                region = find_region([*taken, *resting], line_count, len(self._lines))
            if region is not None:
                return usable_s, region
        return None

    def _load(self, line_count: int) -> None:
        blocks = -(-line_count // LINES_PER_BLOCK)
        self._loader.load({"slot_lines": line_count, "block_ages": blocks})
        fds = self._loader.map_fds
        self._lines = SharedArray(fds["slot_lines"], SlotLine)
        self._block_ages = SharedArray(fds["block_ages"], BlockAge)

    def _grow(self, capacity: int) -> None:
        """Run the program over larger arrays; `wait_s` tells of packets in the one before."""
        self._enlarge(capacity)
        self._loader.commit()
        self._grown_s = self._now()

    def _enlarge(self, capacity: int) -> None:
        """Load the program over larger arrays, with the same tables at the same places."""
        words, ages = self._lines.words, self._block_ages.words
        self._load(capacity)
        self._lines.words[: len(words)] = words
        self._block_ages.words[: len(ages)] = ages


@dataclass(frozen=True, slots=True)
class _Ages(Sequence[BlockAgeRow]):
    """The ages of blocks, read from the kernel's memory at each access."""

    words: memoryview

    def __len__(self) -> int:
        return len(self.words) // AGE_WORDS

    @overload
    def __getitem__(self, index: int) -> BlockAgeRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[BlockAgeRow]: ...

    def __getitem__(self, index: int | slice) -> BlockAgeRow | Sequence[BlockAgeRow]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return BlockAgeRow(*self.words[AGE_WORDS * index : AGE_WORDS * index + 3])
