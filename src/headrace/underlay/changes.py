"""Which of the kernel's events can change an answer. Pure.

A node with a full BGP table or a busy layer 2 hears of thousands of routes and neighbours that no
endpoint depends on, and of its own neighbours turning stale and reachable for ever.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from headrace.model import IPAddress
from headrace.underlay.snapshot import FdbKey, Link, NeighbourKey


class Destinations:
    """The addresses that routes were asked for."""

    def __init__(self, addresses: Iterable[IPAddress] = ()) -> None:
        self.addresses = frozenset(addresses)
        self._prefixes: dict[tuple[int, int], frozenset[int]] = {}

    def covered_by(self, network: IPAddress, prefix_length: int) -> bool:
        """Whether a prefix holds one of the addresses."""
        shift = network.max_prefixlen - prefix_length
        prefixes = self._prefixes.get((network.version, shift))
        if prefixes is None:
            prefixes = frozenset(
                int(address) >> shift
                for address in self.addresses
                if address.version == network.version
            )
            self._prefixes[network.version, shift] = prefixes
        return int(network) >> shift in prefixes


@dataclass(frozen=True, slots=True)
class Interest:
    """What the last answers depend on, with the values they were made from."""

    links: Mapping[int, Link] = field(default_factory=dict)
    neighbours: Mapping[NeighbourKey, bytes | None] = field(default_factory=dict)
    fdb: Mapping[FdbKey, int | None] = field(default_factory=dict)
    destinations: Destinations = field(default_factory=Destinations)


class Event(Protocol):
    """One thing that the kernel said."""

    @property
    def subject(self) -> Hashable:
        """What it is about: a later event of the same subject replaces it; None never."""
        ...

    def touches(self, interest: Interest) -> bool:
        """Whether an answer may be another now."""
        ...


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """A link is as told; None: it is gone."""

    index: int
    link: Link | None

    @property
    def subject(self) -> Hashable:
        """The interface."""
        return ("link", self.index)

    def touches(self, interest: Interest) -> bool:
        """Whether something that matters here is different: counters and flags come, too."""
        return interest.links.get(self.index) != self.link


@dataclass(frozen=True, slots=True)
class NeighbourEvent:
    """A neighbour has this MAC address; None: it has none at the moment."""

    key: NeighbourKey
    mac: bytes | None

    @property
    def subject(self) -> Hashable:
        """The neighbour."""
        return self.key

    def touches(self, interest: Interest) -> bool:
        """Whether a wanted neighbour's MAC address is another; its ageing is no news."""
        return self.key in interest.neighbours and interest.neighbours[self.key] != self.mac


@dataclass(frozen=True, slots=True)
class FdbEvent:
    """A bridge has a MAC address behind this port; None: it has forgotten it."""

    key: FdbKey
    port: int | None

    @property
    def subject(self) -> Hashable:
        """The MAC address on the bridge."""
        return self.key

    def touches(self, interest: Interest) -> bool:
        """Whether a next hop moved to another port."""
        return self.key in interest.fdb and interest.fdb[self.key] != self.port


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """A route to a prefix came, changed or went."""

    network: IPAddress
    prefix_length: int

    @property
    def subject(self) -> Hashable:
        """Nothing: each route counts, as prefixes overlap."""
        return None

    def touches(self, interest: Interest) -> bool:
        """Whether the prefix holds an address that a route was asked for."""
        return interest.destinations.covered_by(self.network, self.prefix_length)


@dataclass(frozen=True, slots=True)
class RulesEvent:
    """An address, a routing rule or a next-hop object changed: rare, and may change any route."""

    @property
    def subject(self) -> Hashable:
        """Nothing."""
        return None

    def touches(self, interest: Interest) -> bool:  # noqa: ARG002 - the shape of all events
        """Whether an answer may be another now: yes."""
        return True


def any_touches(events: Iterable[Event], interest: Interest) -> bool:
    """Whether the events together can change an answer: what came back to its old value cannot."""
    latest: dict[Hashable, Event] = {}
    for event in events:
        subject = event.subject
        if subject is not None:
            latest[subject] = event
        elif event.touches(interest):
            return True
    return any(event.touches(interest) for event in latest.values())
