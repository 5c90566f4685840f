"""Maps as typed values: a hash by key, an array in shared memory, counters summed over CPUs."""

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterator
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from headrace.dataplane import layout, libbpf
from headrace.model import Count

Key = TypeVar("Key", bound=ctypes.Structure)
Value = TypeVar("Value", bound=ctypes.Structure)


_FIRST = itemgetter(0)


class Snapshot(NamedTuple):
    """A hash map as it lies in the kernel: its keys in a row, and their values."""

    keys: bytes = b""
    values: bytes = b""


class HashMap(Generic[Key, Value]):
    """A hash map in the kernel; every call asks the kernel."""

    def __init__(self, fd: int, key: type[Key], value: type[Value]) -> None:
        self._fd, self._key, self._value = fd, key, value

    def get(self, key: Key) -> Value | None:
        """The value at `key`."""
        buffer = ctypes.create_string_buffer(ctypes.sizeof(self._value))
        if not libbpf.lookup(self._fd, bytes(key), buffer):
            return None
        return self._value.from_buffer_copy(buffer)

    def put(self, key: Key, value: Value) -> None:
        """Set the value at `key`; a packet sees the old one or the new one."""
        libbpf.update(self._fd, bytes(key), bytes(value))

    def remove(self, key: Key) -> None:
        """Remove `key` if it is there."""
        libbpf.delete(self._fd, bytes(key))

    def clear(self) -> None:
        """Remove every entry."""
        for key in list(self):
            self.remove(key)

    def __iter__(self) -> Iterator[Key]:
        """Every key; those changed meanwhile may be missed."""
        current: bytes | None = None
        following = ctypes.create_string_buffer(ctypes.sizeof(self._key))
        while libbpf.next_key(self._fd, current, following):
            current = following.raw
            yield self._key.from_buffer_copy(current)

    def snapshot(self) -> Snapshot:
        """Every entry, read at once; equal ones mean that nothing has changed."""
        return Snapshot(*libbpf.lookup_all(self._fd))

    def entries_of(self, snapshot: Snapshot) -> Iterator[tuple[bytes, bytes]]:
        """The entries, still as they lie in the kernel."""
        keys = struct.iter_unpack(f"{ctypes.sizeof(self._key)}s", snapshot.keys)
        values = struct.iter_unpack(f"{ctypes.sizeof(self._value)}s", snapshot.values)
        return zip(map(_FIRST, keys), map(_FIRST, values), strict=True)

    def key_of(self, raw: bytes) -> Key:
        """A key as it lay in the kernel."""
        return self._key.from_buffer_copy(raw)

    def value_of(self, raw: bytes) -> Value:
        """A value as it lay in the kernel."""
        return self._value.from_buffer_copy(raw)

    def items(self) -> Iterator[tuple[Key, Value]]:
        """Every entry; those changed meanwhile may be missed."""
        for key in self:
            value = self.get(key)
            if value is not None:
                yield key, value


class NotingMap(HashMap[Key, Value]):
    """A hash map that notes what is written, so that only that need be read back."""

    def __init__(self, fd: int, key: type[Key], value: type[Value]) -> None:
        super().__init__(fd, key, value)
        self.written: set[bytes] = set()
        """Keys that were put or removed, until whoever reads them back takes them out."""

    def put(self, key: Key, value: Value) -> None:
        """Set the value at `key`; a packet sees the old one or the new one."""
        self.written.add(bytes(key))
        super().put(key, value)

    def remove(self, key: Key) -> None:
        """Remove `key` if it is there."""
        self.written.add(bytes(key))
        super().remove(key)


class SharedArray(Generic[Value]):
    """An array map's memory, shared with the data plane: reads and stores need no system call.

    A store of one aligned word is seen whole; anything longer may be seen half done.
    """

    def __init__(self, fd: int, value: type[Value]) -> None:
        self._entries = int(libbpf.map_info(fd).max_entries)
        size = -(-self._entries * ctypes.sizeof(value) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(fd, size)
        self.values = (value * self._entries).from_buffer(self._memory)

    def __len__(self) -> int:
        return self._entries

    def raw(self, count: int) -> bytes:
        """The first entries as they lie in the kernel, read at once: to see what has changed."""
        return self._memory[: count * ctypes.sizeof(self.values._type_)]

    @property
    def words(self) -> memoryview:
        """The same memory as 32-bit words."""
        return memoryview(self._memory).cast("I")


class Counters:
    """A per-CPU counter map."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._cpus = libbpf.possible_cpus()
        self._raw = b""  # all of them, as they were read last
        self._all: list[Count] = []
        self._buffer = ctypes.create_string_buffer(self._cpus * ctypes.sizeof(layout.Count))
        self._words = memoryview(self._buffer).cast("B").cast("Q")  # packets, bytes, packets, ...

    def read(self, index: int) -> Count:
        """Packets and bytes of all CPUs together."""
        libbpf.lookup(self._fd, index.to_bytes(4, sys.byteorder), self._buffer)
        words = self._words.tolist()
        return Count(sum(words[::2]), sum(words[1::2]))

    def read_all(self) -> list[Count]:
        """Those of every index, by one call: for many it takes a tenth of the time.

        The same list while they are the same.
        """
        _, values = libbpf.lookup_all(self._fd, copies=self._cpus)
        if values != self._raw:
            self._raw, self._all = values, self._sums(values)
        return self._all

    def _sums(self, values: bytes) -> list[Count]:
        words, stride = memoryview(values).cast("Q").tolist(), 2 * self._cpus
        packets = zip(*(words[at::stride] for at in range(0, stride, 2)), strict=True)
        sizes = zip(*(words[at::stride] for at in range(1, stride, 2)), strict=True)
        return list(map(Count, map(sum, packets), map(sum, sizes)))

    def clear(self, index: int) -> None:
        """Start again from zero."""
        libbpf.update(self._fd, index.to_bytes(4, sys.byteorder), bytes(len(self._buffer)))
