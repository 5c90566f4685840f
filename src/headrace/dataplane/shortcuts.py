"""Copies of services where a packet finds them without calling a function.

The hash maps have every service; a shortcut saves a third of a packet's cost. One that finds no
room is done without. A packet may be reading an entry that has just been cleared, so it rests
before it is written again: until then the hash map answers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from headrace.dataplane import encoding, layout
from headrace.dataplane.indexes import REST_S
from headrace.dataplane.maps import SharedArray
from headrace.model import IPNetwork, ServiceKey

_Way = layout.Shortcut4 | layout.Shortcut6


class Shortcuts:
    """Entries of `shortcuts4` and `shortcuts6`; only this class writes them."""

    def __init__(
        self,
        fds: Mapping[str, int],
        services: Iterable[tuple[ServiceKey, layout.Service]],
        now: Callable[[], float],
    ) -> None:
        self._buckets4 = SharedArray(fds["shortcuts4"], layout.Bucket4)
        self._buckets6 = SharedArray(fds["shortcuts6"], layout.Bucket6)
        self._now = now
        self._ways: dict[ServiceKey, _Way] = {}
        self._wanted: dict[ServiceKey, layout.Service] = {}
        self._resting: dict[int, float] = {}  # address of a way -> until when
        self._adopt(dict(services))

    def put(self, key: ServiceKey, service: layout.Service) -> None:
        """Have packets find a service sooner, at once or after a while."""
        self.remove(key)
        if key.port and not isinstance(key.vip, IPNetwork):
            self._wanted[key] = service
            self._find_place(key)

    def remove(self, key: ServiceKey) -> None:
        """Have packets look a service up, before its entry changes or goes."""
        self._wanted.pop(key, None)
        way = self._ways.pop(key, None)
        if way is not None:
            self._clear(way)

    def sweep(self) -> None:
        """Write what could not be written while its place rested."""
        for key in list(self._wanted):
            self._find_place(key)

    def _find_place(self, key: ServiceKey) -> None:
        way = next((way for way in self._ways_of(key) if self._is_free(way)), None)
        if way is not None:
            self._write(key, self._wanted.pop(key), way)

    def _adopt(self, services: Mapping[ServiceKey, layout.Service]) -> None:
        """Keep what an earlier daemon wrote if it is still so, clear the rest, want all others."""
        for key, way in self._used():
            service = services.get(key)
            if service is not None and bytes(service) == bytes(way.service):
                self._ways[key] = way
            else:
                self._clear(way)
        for key, service in services.items():
            if key not in self._ways:
                self.put(key, service)

    def _used(self) -> Iterator[tuple[ServiceKey, _Way]]:
        for bucket4 in self._buckets4.values:
            for way4 in bucket4.ways:
                if way4.key:
                    yield encoding.key_of_shortcut4(way4), way4
        for bucket6 in self._buckets6.values:
            for way6 in bucket6.ways:
                if way6.rest:
                    yield encoding.key_of_shortcut6(way6), way6

    def _ways_of(self, key: ServiceKey) -> Iterator[_Way]:
        """The places where a packet looks for a service."""
        words = encoding.shortcut_words(key)
        index = encoding.shortcut_bucket(words)
        bucket = (self._buckets4 if len(words) == 1 else self._buckets6).values[index]
        yield from bucket.ways

    def _is_free(self, way: _Way) -> bool:
        is_used = way.key if isinstance(way, layout.Shortcut4) else way.rest
        until = self._resting.get(layout.place_of(way), 0.0)
        return not is_used and until <= self._now()

    def _write(self, key: ServiceKey, service: layout.Service, way: _Way) -> None:
        words = encoding.shortcut_words(key)
        self._resting.pop(layout.place_of(way), None)
        way.service = service
        if isinstance(way, layout.Shortcut4):
            way.key = words[0]
        else:
            way.vip[:] = words[:2]
            way.rest = words[2]
        self._ways[key] = way

    def _clear(self, way: _Way) -> None:
        if isinstance(way, layout.Shortcut4):
            way.key = 0
        else:
            way.rest = 0
        self._resting[layout.place_of(way)] = self._now() + REST_S
