"""Hands out the indexes of an array, and lets a freed one rest before it is used again. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from headrace.model import UnavailableError

REST_S = 1.0
"""How long a freed index rests: a packet that read it is out of the pipeline in microseconds."""


class Indexes:
    """The free indexes of one array of `size` entries."""

    def __init__(
        self, name: str, size: int, used: Iterable[int], now: Callable[[], float], *, first: int = 0
    ) -> None:
        taken = set(used)
        self._name, self._size, self._now = name, size, now
        self._fresh: Iterator[int] = (index for index in range(first, size) if index not in taken)
        self._freed = deque[int]()
        self._resting: deque[tuple[float, int]] = deque()

    def take(self) -> int:
        """A free index. Raises UnavailableError when all are in use."""
        fresh = next(self._fresh, None)
        if fresh is not None:
            return fresh
        while self._resting and self._resting[0][0] <= self._now():
            self._freed.append(self._resting.popleft()[1])
        if not self._freed:
            raise UnavailableError(
                f"all {self._size} entries of {self._name} are in use; remove some first"
            )
        return self._freed.popleft()

    def give_back(self, index: int) -> None:
        """Free an index; it is not handed out again for a while."""
        self._resting.append((self._now() + REST_S, index))
