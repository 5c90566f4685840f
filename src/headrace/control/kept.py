"""Keeps what is made of many small things, so that a look at a large node makes only the new."""

from collections.abc import Callable, Container, Hashable, Iterator, Mapping
from itertools import compress, repeat
from operator import is_, is_not
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
Value = TypeVar("Value")

_NOTHING = object()


class Kept(Generic[Value]):
    """Values by name, each made again only where an object that it is made of is another.

    Right only where a value follows from those objects alone, and they never change.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[tuple[object, ...], Value]] = {}

    def of(self, name: Hashable, basis: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """What has this name and is made of these objects."""
        known = self._known.get(name)
        if known is None or len(known[0]) != len(basis) or not all(map(is_, known[0], basis)):
            known = self._known[name] = basis, make()
        return known[1]

    def keep(self, names: Container[Hashable]) -> None:
        """Forget all others."""
        self._known = {name: known for name, known in self._known.items() if name in names}


def changed_keys(before: Mapping[_Key, Value], after: Mapping[_Key, Value]) -> Iterator[_Key]:
    """The keys that have another object, or came, or went."""
    if before is not after:
        others = map(is_not, map(before.get, after, repeat(_NOTHING)), after.values())
        changed = list(compress(after, others))
        yield from changed
        kept = len(after) - sum(key not in before for key in changed)
        if kept < len(before):
            yield from (key for key in before if key not in after)
