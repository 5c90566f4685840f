"""When a prefix is announced, and what it is like. Pure.

A prefix is announced while one of its services works, and withdrawn at once when none does. It is
announced again no sooner than its hold-down after that, so that it changes at most twice in such a
time. What peers have to be told of it is `control.announcing`'s work.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from headrace.model import Announcement, Bgp, IPNetwork, Service


class Wish(StrEnum):
    """What a prefix's services say of it."""

    ANNOUNCE = "announce"
    WITHDRAW = "withdraw"
    LEAVE = "leave"
    """As it is: too little is known of the endpoints to begin or to end anything."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How many endpoints a service has, and how many of them serve."""

    healthy: int
    undecided: int
    total: int
    why: str = ""  # what is wrong with one that does not

    def wish(self, least: int | str) -> Wish:
        """Whether there are enough of them."""
        needed = needed_of(least, self.total)
        if self.healthy >= needed:
            return Wish.ANNOUNCE
        return Wish.LEAVE if self.healthy + self.undecided >= needed else Wish.WITHDRAW


def needed_of(least: int | str, total: int) -> int:
    """How many endpoints must be healthy, of so many, for `2` or `50%`; always one or more."""
    if isinstance(least, int):
        return least
    return max(ceil(int(least.removesuffix("%")) * total / 100), 1)


def wish_of(wishes: Iterable[Wish]) -> Wish:
    """The wish of a prefix, from those of its services: one that works is enough."""
    found = set(wishes)
    return next((wish for wish in (Wish.ANNOUNCE, Wish.LEAVE) if wish in found), Wish.WITHDRAW)


@dataclass(frozen=True, slots=True)
class Route:
    """Whether one prefix is announced, and when it was withdrawn last."""

    announced: bool = False
    withdrawn_s: float | None = None  # monotonic; None: never since the operator asked for it

    def after(self, wish: Wish, hold_down_s: float, now: float) -> "Route":
        """The route once this is wished."""
        if self.announced:
            return Route(announced=False, withdrawn_s=now) if wish is Wish.WITHDRAW else self
        if wish is Wish.ANNOUNCE and self.held_s(hold_down_s, now) == 0:
            return replace(self, announced=True)
        return self

    def held_s(self, hold_down_s: float, now: float) -> float:
        """How long it must stay withdrawn, whatever is wished; 0 when it need not."""
        if self.announced or self.withdrawn_s is None:
            return 0.0
        return max(self.withdrawn_s + hold_down_s - now, 0.0)


def announcement_of(bgp: Bgp, service: Service | None, prefix: IPNetwork) -> Announcement:
    """A prefix as peers hear it while nothing is wrong; an aggregate has no service."""
    hop = bgp.given_next_hop
    next_hop = hop if hop is not None and hop.version == prefix.version else None
    if service is None:
        return Announcement(prefix, bgp.med, bgp.communities, bgp.prepend, bgp.local_pref, next_hop)
    return Announcement(
        prefix,
        med=bgp.med if service.med is None else service.med,
        communities=bgp.communities if service.communities is None else service.communities,
        prepend=bgp.prepend if service.prepend is None else service.prepend,
        local_pref=bgp.local_pref if service.local_pref is None else service.local_pref,
        next_hop=next_hop,
    )


def covering(
    aggregates: Iterable[IPNetwork], prefixes: Collection[IPNetwork]
) -> Iterator[IPNetwork]:
    """The aggregates that one of these prefixes lies in."""
    for aggregate in aggregates:
        if any(_lies_in(prefix, aggregate) for prefix in prefixes):
            yield aggregate


def _lies_in(prefix: IPNetwork, aggregate: IPNetwork) -> bool:
    return prefix.version == aggregate.version and prefix.subnet_of(aggregate)  # type: ignore[arg-type]  # one family
