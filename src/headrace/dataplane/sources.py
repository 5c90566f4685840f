"""Lists of prefixes of clients that a service allows or denies; services with equal ones share one.

The longest prefix that holds a client counts. A list that allows some denies all others; one that
only denies some allows them, by a prefix that holds everybody.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from headrace.dataplane import encoding, layout
from headrace.dataplane.indexes import REST_S, Indexes
from headrace.dataplane.maps import HashMap, Snapshot
from headrace.model import IPNetwork, UnavailableError
from headrace.model.limits import LIMIT_SERVICES, LIMIT_SOURCES

_EVERYBODY = 0
_LISTS = 2 * LIMIT_SERVICES + 1
"""A list for each service, as many that rest, and the number that is no list's."""

_ALL = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


class Clients(NamedTuple):
    """Who is allowed to use a service, and who is not."""

    allowed: frozenset[IPNetwork] = frozenset()
    denied: frozenset[IPNetwork] = frozenset()


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
        self._raw = Snapshot()  # what was read last
        self._read: dict[int, Clients] = {}
        self._lists = dict(self.read())
        self._resting: deque[tuple[float, int]] = deque()
        self._now = now
        self._numbers = Indexes("sources", _LISTS, self._users, now, first=1)
        for number in self._lists.keys() - self._users.keys():
            self._remove(number)  # what a daemon wrote or removed when it was killed
        self._number = {clients: number for number, clients in self._lists.items()}

    def read(self) -> dict[int, Clients]:
        """The lists in the kernel, by number; the same object as long as they are the same."""
        raw = self._map.snapshot()
        if raw != self._raw:
            self._raw, self._read = raw, self._decode(raw)
        return self._read

    def _decode(self, raw: Snapshot) -> dict[int, Clients]:
        found: defaultdict[int, dict[int, set[IPNetwork]]] = defaultdict(lambda: defaultdict(set))
        for key, value in self._map.entries_of(raw):
            number, prefix = encoding.source_of(self._map.key_of(key))
            found[number][self._map.value_of(value).number].add(prefix)
        return {
            number: Clients(
                frozenset(said[layout.SOURCE_ALLOWED]), frozenset(said[layout.SOURCE_DENIED])
            )
            for number, said in found.items()
        }

    def use(self, clients: Clients) -> int:
        """The number of the list that says this for one user more; 0 for none: everybody."""
        if not any(clients):
            return _EVERYBODY
        self.sweep()
        number = self._number.get(clients)
        if number is None:
            number = self._write(clients)
        self._users[number] += 1
        return number

    def release(self, number: int) -> None:
        """Give back one use of a list."""
        if number == _EVERYBODY:
            return
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number]
            self._number.pop(self._lists.get(number, Clients()), None)
            self._resting.append((self._now() + REST_S, number))

    def sweep(self) -> None:
        """Remove the lists that have rested."""
        while self._resting and self._resting[0][0] <= self._now():
            number = self._resting.popleft()[1]
            self._remove(number)
            self._numbers.give_back(number)

    def _write(self, clients: Clients) -> int:
        count = sum(len(_entries(each)) for each in (*self._lists.values(), clients))
        if count > LIMIT_SOURCES:
            raise UnavailableError(
                f"{count} source prefixes are more than {LIMIT_SOURCES}; remove some first"
            )
        number = self._numbers.take()
        self._lists[number] = clients
        for prefix, said in _entries(clients).items():
            self._map.put(encoding.source_key(number, prefix), layout.Number(said))
        self._number[clients] = number
        return number

    def _remove(self, number: int) -> None:
        for prefix in _entries(self._lists.pop(number, Clients())):
            self._map.remove(encoding.source_key(number, prefix))


def _entries(clients: Clients) -> dict[IPNetwork, int]:
    """What the map says of each prefix of a list."""
    others = () if clients.allowed else _ALL
    return {
        **dict.fromkeys(others, layout.SOURCE_OTHER),
        **dict.fromkeys(clients.allowed, layout.SOURCE_ALLOWED),
        **dict.fromkeys(clients.denied, layout.SOURCE_DENIED),
    }
