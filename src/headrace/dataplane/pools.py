"""The pools' lookup tables in the kernel, and the slots whose owner has changed lately.

A table without a past is written beside all others, then the pool points to it. Other owners are
written where a table lies, slot by slot. A slot that gets another owner is unstable until its block
has settled (`maglev.transition`).
"""

from __future__ import annotations  # array[int] needs it before Python 3.12

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from headrace.dataplane import layout
from headrace.dataplane.indexes import Indexes
from headrace.dataplane.maps import SharedArray
from headrace.dataplane.slots import AGE_WORDS, Region, SlotLines, lines_for
from headrace.dataplane.tables import PoolTable
from headrace.maglev import label, settle, transition
from headrace.model.limits import LIMIT_POOLS

_UNWRITTEN = 0
"""Stamp of a pool whose table has to be written again."""
_WITHOUT_HISTORY = (1 << 64) - 1
"""Stamp of a pool whose old table says nothing about the flows that its slots get from now on."""

_TICK_S = 0.01
"""The data plane's clock lags behind ours by at most this, a timer tick at 100 Hz."""

_SLOTS_PER_BLOCK = layout.LINES_PER_BLOCK * layout.SLOTS_PER_LINE
_BLOCK_BYTES = 4 * _SLOTS_PER_BLOCK
_UNSTABLE, _CHANGED, _DEPARTED = range(3)  # words of an age


def _in_each_slot(word: int) -> int:
    return int.from_bytes(array("I", [word] * _SLOTS_PER_BLOCK).tobytes(), "little")


_OWNERS = _in_each_slot(layout.SLOT_OWNER_MASK)
_FLAGS = _in_each_slot(layout.SLOT_UNSTABLE)


class Pools:
    """Entries of `pools`, `pool_infos`, `slot_lines`, `block_ages`; only this class writes them."""

    def __init__(self, fds: Mapping[str, int], lines: SlotLines, now: Callable[[], float]) -> None:
        self._pools = SharedArray(fds["pools"], layout.Pool)
        self._infos = SharedArray(fds["pool_infos"], layout.PoolInfo)
        self._lines, self._now = lines, now
        infos = enumerate(self._infos.values)
        self._index = {info.name.decode(): index for index, info in infos if info.name}
        self._indexes = Indexes("pools", LIMIT_POOLS, self._index.values(), now)
        self._regions = {index: self._read_region(index) for index in self._index.values()}
        self._unstable: dict[int, set[int]] = {}
        """By index of a pool: its blocks with unstable slots; no pool without any."""
        self._named: dict[int, set[int]] = {}
        """By index of a pool, unless unknown: the endpoints that its flows may be at."""
        for index in self._index.values():
            if found := _unstable_blocks(self._words(index).tobytes()):
                self._unstable[index] = found

    # --- reading -----------------------------------------------------------------------------

    def stamps(self) -> dict[str, int]:
        """What each pool's table was built from, by name."""
        return {name: int(self._infos.values[i].stamp) for name, i in self._index.items()}

    def index_of(self, name: str) -> int:
        """The index of a pool that was put; KeyError if it was not."""
        return self._index[name]

    def names(self) -> dict[int, str]:
        """The pools' names by index."""
        return {index: name for name, index in self._index.items()}

    def tables(self) -> dict[int, PoolTable]:
        """The tables in the kernel's memory, by index of the pool."""
        return {
            index: PoolTable(
                name,
                self._words(index).toreadonly(),
                self._lines.age_rows(self._regions[index]),
            )
            for name, index in self._index.items()
        }

    def holds(self, endpoint: int) -> bool:
        """Whether flows of a slot with another owner now may be at an endpoint, by its index."""
        return any(
            index not in self._named or endpoint in self._named[index] for index in self._unstable
        )

    # --- changing ----------------------------------------------------------------------------

    def prepare(self, name: str, slot_count: int) -> float:
        """Have `put` need no sleep for a table of so many slots after so many seconds."""
        index = self._index.get(name)
        if index is not None and self._has_history(index, slot_count):
            return self._lines.wait_s(self._now())
        return self._lines.prepare(self._regions.values(), lines_for(slot_count), self._now())

    def put(
        self,
        name: str,
        labels: Sequence[int],
        owners: Sequence[int],
        stamp: int,
        down: Collection[int],
    ) -> None:
        """Write a pool's lookup table; sleeps until it may be, unless that was prepared.

        `owners` has an index into `labels` a slot, and those are indexes of endpoints, as are
        `down`.
        """
        words = label(_halfwords(owners), labels)
        index = self._index.get(name)
        unstable: set[int] = set()
        if index is not None and self._has_history(index, len(words)):
            self._lines.rest(self._now())
            unstable = self._change(index, words, stamp, down)
        else:
            index = self._place(name, words, stamp)
        self._note(index, unstable, labels)

    def reserve(self, slot_counts: Collection[int]) -> None:
        """Make room for pools of so many slots; those that are there are to be among them."""
        self._lines.reserve(slot_counts)

    def remove(self, name: str) -> int | None:
        """Forget a pool that no service names any more; the index that it had, if it was there."""
        index = self._index.pop(name, None)
        if index is None:
            return None
        self._lines.retire(self._regions.pop(index), self._now())
        self._infos.values[index] = layout.PoolInfo()
        self._unstable.pop(index, None)
        self._named.pop(index, None)
        self._indexes.give_back(index)
        return index

    def forget_history(self) -> None:
        """Have every table written again, with all its slots stable."""
        for index in self._index.values():
            self._infos.values[index].stamp = _WITHOUT_HISTORY

    def settle(self, idle_s: float) -> int:
        """Make the blocks stable that nothing happened to for so long; how many slots were not."""
        settled = 0
        oldest_s = self._now() - idle_s
        for index, blocks in list(self._unstable.items()):
            ages = self._lines.ages(self._regions[index])
            due = {block for block in blocks if _last_event_s(ages, block) < int(oldest_s)}
            words = self._words(index)
            settled += settle(words, _lines_of(due, len(words)))
            if left := blocks - due:
                self._unstable[index] = left
            else:
                del self._unstable[index]
                self._named[index] = self._owners(index)
        return settled

    # --- inside ------------------------------------------------------------------------------

    def _change(
        self, index: int, owners: array[int], stamp: int, down: Collection[int]
    ) -> set[int]:
        """Give the slots of a pool's table these owners; its blocks that are unstable then.

        A packet meets a slot as it was or as it will be: a copy of aligned words stores no less
        than one at once. A daemon killed meanwhile leaves a table to be written again.
        """
        self._remember_named(index)
        words, ages = self._words(index), self._lines.ages(self._regions[index])
        wanted, _ = transition(words, owners, down)
        view, before, after = memoryview(wanted), words.tobytes(), wanted.tobytes()
        unstable = set(self._unstable.get(index, ()))
        now_s = int(self._now() - _TICK_S)
        self._infos.values[index].stamp = _UNWRITTEN
        for block in _differing_blocks(before, after):
            if (_block(before, block) ^ _block(after, block)) & _OWNERS:
                age = AGE_WORDS * block
                if block not in unstable:
                    ages[age + _UNSTABLE] = now_s
                    unstable.add(block)
                ages[age + _CHANGED] = now_s  # before the words: an unstable slot has an age
            slots = slice(_SLOTS_PER_BLOCK * block, _SLOTS_PER_BLOCK * (block + 1))
            words[slots] = view[slots]
        self._infos.values[index].stamp = stamp
        return unstable

    def _place(self, name: str, words: array[int], stamp: int) -> int:
        """Write a table, all of it stable, and point its pool to it; the pool's index."""
        index = self._index.get(name)
        before = None if index is None else self._regions[index]
        line_count = lines_for(len(words))
        region = self._lines.find(self._regions.values(), line_count, self._now())
        self._lines.write(region, words)
        if index is None:
            index = self._indexes.take()
        self._point(index, name, layout.Table(region.first_line, len(words)), stamp)
        if before is not None:
            self._lines.retire(before, self._now())
        return index

    def _point(self, index: int, name: str, table: layout.Table, stamp: int) -> None:
        """Point a pool to its table; a daemon killed meanwhile leaves one to be written again."""
        info = self._infos.values[index]
        if name not in self._index:
            self._infos.values[index] = layout.PoolInfo(name.encode(), _WITHOUT_HISTORY)
        elif info.stamp != _WITHOUT_HISTORY:
            info.stamp = _UNWRITTEN
        self._pools.values[index].table = table
        info.stamp = stamp
        self._index[name] = index
        self._regions[index] = self._read_region(index)

    def _note(self, index: int, unstable: set[int], labels: Sequence[int]) -> None:
        """Keep which blocks of a pool's new table are unstable and whom its flows may be at."""
        if not unstable:
            self._unstable.pop(index, None)
            self._named[index] = set(labels)
        else:
            self._unstable[index] = unstable
            if index in self._named:
                self._named[index].update(labels)

    def _remember_named(self, index: int) -> None:
        """Before the first change of a stable table that an earlier daemon wrote."""
        if index not in self._named and index not in self._unstable:
            self._named[index] = self._owners(index)

    def _has_history(self, index: int, slot_count: int) -> bool:
        return (
            int(self._infos.values[index].stamp) != _WITHOUT_HISTORY
            and int(self._pools.values[index].table.slot_count) == slot_count
        )

    def _read_region(self, index: int) -> Region:
        table = self._pools.values[index].table
        return Region(table.first_line, lines_for(table.slot_count))

    def _words(self, index: int) -> memoryview:
        return self._lines.words(self._regions[index], self._pools.values[index].table.slot_count)

    def _owners(self, index: int) -> set[int]:
        return {word & layout.SLOT_OWNER_MASK for word in set(self._words(index))}


def _halfwords(owners: Sequence[int]) -> array[int]:
    if isinstance(owners, array) and owners.typecode == "H":
        return owners  # as `maglev` makes them
    return array("H", owners)


def _lines_of(blocks: Iterable[int], slot_count: int) -> Iterator[int]:
    """The lines of a table that lie in some of its blocks."""
    line_count = -(-slot_count // layout.SLOTS_PER_LINE)
    for block in blocks:
        first = layout.LINES_PER_BLOCK * block
        yield from range(first, min(first + layout.LINES_PER_BLOCK, line_count))


def _block(words: bytes, block: int) -> int:
    return int.from_bytes(words[_BLOCK_BYTES * block : _BLOCK_BYTES * (block + 1)], "little")


def _unstable_blocks(words: bytes) -> set[int]:
    everywhere = array("I", [layout.SLOT_UNSTABLE]).tobytes() * (len(words) // 4)
    if not int.from_bytes(words, "little") & int.from_bytes(everywhere, "little"):
        return set()  # nearly always, and a hundred times as quick
    return {
        block for block in range(-(-len(words) // _BLOCK_BYTES)) if _block(words, block) & _FLAGS
    }


def _differing_blocks(before: bytes, after: bytes) -> Iterator[int]:
    """The blocks of two tables of one size in which a slot has another word."""
    for at in range(0, len(before), _BLOCK_BYTES):
        if before[at : at + _BLOCK_BYTES] != after[at : at + _BLOCK_BYTES]:
            yield at // _BLOCK_BYTES


def _last_event_s(ages: memoryview, block: int) -> int:
    return max(ages[AGE_WORDS * block + _CHANGED], ages[AGE_WORDS * block + _DEPARTED])
