"""Since when endpoints drain, and whose time for it is over."""

from collections.abc import Iterator
from math import inf

from headrace.control.beliefs import DownSets
from headrace.model import Document, IPAddress

_Place = tuple[str, IPAddress]  # an endpoint of a pool


class Drains:
    """The endpoints that drain for a limited time."""

    def __init__(self, down: frozenset[IPAddress]) -> None:
        """`down` is whom the kernel sent nothing to before this daemon began: theirs is over."""
        self._before: frozenset[IPAddress] | None = down
        self._end_s: dict[_Place, float] = {}
        self._begin_s: dict[_Place, float] = {}

    def follow(self, document: Document, now: float) -> None:
        """Have those drain that this document says; the clock of those that stay goes on."""
        before, self._before = self._before or frozenset(), None
        begin, end = {}, {}
        for place, timeout_s in _drains(document):
            start = -inf if place[1] in before else now
            begin[place] = self._begin_s.get(place, start)
            end[place] = begin[place] + timeout_s
        self._begin_s, self._end_s = begin, end

    def over(self, now: float) -> DownSets:
        """By pool: who gets nothing any more."""
        found: dict[str, set[IPAddress]] = {}
        for (pool, address), end_s in self._end_s.items():
            if end_s <= now:
                found.setdefault(pool, set()).add(address)
        return {pool: frozenset(addresses) for pool, addresses in found.items()}

    def left_s(self, pool: str, address: IPAddress, now: float) -> float | None:
        """For how long an endpoint still gets its old flows; None where no end is set."""
        end_s = self._end_s.get((pool, address))
        return None if end_s is None else max(end_s - now, 0.0)

    def next_deadline(self, now: float) -> float | None:
        """When the next one's time is over, if any is to be."""
        return min((end_s for end_s in self._end_s.values() if end_s > now), default=None)


def _drains(document: Document) -> Iterator[tuple[_Place, float]]:
    for name, each in document.all_pools().draining:
        if each.drain_timeout_s is not None:
            yield (name, each.address), each.drain_timeout_s
