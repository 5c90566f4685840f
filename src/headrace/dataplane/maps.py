"""Maps as typed values: a hash by key, an array in shared memory, counters summed over CPUs."""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from typing import Generic, TypeVar

from headrace.dataplane import layout, libbpf
from headrace.model import Count

Key = TypeVar("Key", bound=ctypes.Structure)
Value = TypeVar("Value", bound=ctypes.Structure)


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

    def items(self) -> Iterator[tuple[Key, Value]]:
        """Every entry; those changed meanwhile may be missed."""
        for key in self:
            value = self.get(key)
            if value is not None:
                yield key, value


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

    @property
    def words(self) -> memoryview:
        """The same memory as 32-bit words."""
        return memoryview(self._memory).cast("I")


class Counters:
    """A per-CPU counter map."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._cpus = libbpf.possible_cpus()
        self._buffer = ctypes.create_string_buffer(self._cpus * ctypes.sizeof(layout.Count))
        self._values = (layout.Count * self._cpus).from_buffer(self._buffer)

    def read(self, index: int) -> Count:
        """Packets and bytes of all CPUs together."""
        libbpf.lookup(self._fd, index.to_bytes(4, sys.byteorder), self._buffer)
        values = self._values
        return Count(sum(v.packets for v in values), sum(v.bytes for v in values))

    def clear(self, index: int) -> None:
        """Start again from zero."""
        libbpf.update(self._fd, index.to_bytes(4, sys.byteorder), bytes(len(self._buffer)))
