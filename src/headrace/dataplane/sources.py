"""Lists of prefixes that clients of a service must be in; services with equal lists share one."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

from headrace.dataplane import encoding, layout
from headrace.dataplane.indexes import REST_S, Indexes
from headrace.dataplane.maps import HashMap
from headrace.model import IPNetwork, UnavailableError
from headrace.model.limits import LIMIT_SERVICES, LIMIT_SOURCES

_EVERYBODY = 0
_LISTS = 2 * LIMIT_SERVICES + 1
"""A list for each service, as many that rest, and the number that is no list's."""


class Sources:
    """Entries of `sources`; only this class writes them.

    A list is whole before a service names it, and rests before it is removed: a packet may still
    be reading it.
    """

    def __init__(
        self, fds: Mapping[str, int], used: Iterable[int], now: Callable[[], float]
    ) -> None:
        self._map = HashMap(fds["sources"], layout.PrefixKey, layout.Number)
        self._users = Counter(number for number in used if number != _EVERYBODY)
        self._lists = self.read()
        self._resting: deque[tuple[float, int]] = deque()
        self._now = now
        self._numbers = Indexes("sources", _LISTS, self._users, now, first=1)
        for number in self._lists.keys() - self._users.keys():
            self._remove(number)  # what a daemon wrote or removed when it was killed
        self._number = {prefixes: number for number, prefixes in self._lists.items()}

    def read(self) -> dict[int, frozenset[IPNetwork]]:
        """The lists in the kernel, by number."""
        found: defaultdict[int, set[IPNetwork]] = defaultdict(set)
        for key in self._map:
            number, prefix = encoding.source_of(key)
            found[number].add(prefix)
        return {number: frozenset(prefixes) for number, prefixes in found.items()}

    def use(self, prefixes: frozenset[IPNetwork]) -> int:
        """The number of the list of these prefixes for one user more; 0 for none: everybody."""
        if not prefixes:
            return _EVERYBODY
        self.sweep()
        number = self._number.get(prefixes)
        if number is None:
            number = self._write(prefixes)
        self._users[number] += 1
        return number

    def release(self, number: int) -> None:
        """Give back one use of a list."""
        if number == _EVERYBODY:
            return
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number]
            self._number.pop(self._lists.get(number, frozenset()), None)
            self._resting.append((self._now() + REST_S, number))

    def sweep(self) -> None:
        """Remove the lists that have rested."""
        while self._resting and self._resting[0][0] <= self._now():
            number = self._resting.popleft()[1]
            self._remove(number)
            self._numbers.give_back(number)

    def _write(self, prefixes: frozenset[IPNetwork]) -> int:
        count = sum(len(each) for each in self._lists.values()) + len(prefixes)
        if count > LIMIT_SOURCES:
            raise UnavailableError(
                f"{count} source prefixes are more than {LIMIT_SOURCES}; remove some first"
            )
        number = self._numbers.take()
        self._lists[number] = prefixes
        for prefix in prefixes:
            self._map.put(encoding.source_key(number, prefix), layout.Number(1))
        self._number[prefixes] = number
        return number

    def _remove(self, number: int) -> None:
        for prefix in self._lists.pop(number, ()):
            self._map.remove(encoding.source_key(number, prefix))
