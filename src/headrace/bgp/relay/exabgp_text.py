"""ExaBGP's API in text: announcements as commands."""

from collections.abc import Iterator
from typing import NamedTuple

from .messages import Route, Terms, version_of

LIMIT_COMMAND_PREFIXES = 500
"""Of one command: 25 kB, where ExaBGP refuses a line of 1 MB."""


class Ears(NamedTuple):
    """How one session hears: the peer's terms, our AS, our end of it and the address beside it."""

    terms: Terms
    own_as: int
    local: str
    beside: str | None  # of the other family, on the same interface

    @property
    def is_internal(self) -> bool:
        """Whether the peer is of our own AS."""
        return self.terms.as_number == self.own_as

    def carries(self, prefix: str) -> bool:
        """Whether the peer hears prefixes of this one's family."""
        return version_of(prefix) in self.terms.families

    def next_hop_of(self, prefix: str, given: str | None) -> str | None:
        """The next hop: that given if the session can say it, else this node; None without."""
        own = {version_of(self.local): self.local, 10 - version_of(self.local): self.beside}
        wanted = 6 if self.terms.extended else version_of(prefix)
        return given if given is not None and version_of(given) == wanted else own[wanted]


def attributes_of(prefix: str, route: Route, ears: Ears) -> str | None:
    """A route's attributes as a peer is to hear them; None where there is no next hop."""
    next_hop = ears.next_hop_of(prefix, route.next_hop)
    if next_hop is None:
        return None
    text = f"next-hop {next_hop}"
    if route.prepend and not ears.is_internal:  # in its own AS it would be a loop
        text += f" as-path [ {' '.join([str(ears.own_as)] * (1 + route.prepend))} ]"
    if route.med is not None:
        text += f" med {route.med}"
    if route.local_pref is not None and ears.is_internal:
        text += f" local-preference {route.local_pref}"
    large = [community for community in route.communities if community.count(":") == 2]
    standard = [community for community in route.communities if community not in large]
    if standard:
        text += f" community [ {' '.join(standard)} ]"
    if large:
        text += f" large-community [ {' '.join(large)} ]"
    return text


def commands(peer: str, action: str, prefixes: list[str]) -> Iterator[tuple[str, list[str]]]:
    """One action on many prefixes at once, which ExaBGP takes faster than one by one."""
    for start in range(0, len(prefixes), LIMIT_COMMAND_PREFIXES):
        some = prefixes[start : start + LIMIT_COMMAND_PREFIXES]
        yield f"neighbor {peer} {action} nlri {' '.join(some)}", some
