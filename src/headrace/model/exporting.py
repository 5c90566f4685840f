"""What a peer hears of an announcement once its export policies have decided. Pure.

Statements are asked in their order, one policy after the other. One whose conditions all hold does
what its actions say, and what it has done is what the next one sees; the first that accepts or
rejects is the last. A peer's default decides where none does.

Policies say what a route is like while nothing is wrong. What a standby node or one that drains is
worse by is kept on top of what they set, so that no policy undoes a role or a drain.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from headrace.model.bgp import Bgp, Peer, Role
from headrace.model.exports import (
    Actions,
    CommunityActions,
    Conditions,
    Matching,
    PrefixRange,
    RouteResult,
    SetMatch,
    Way,
    way_of,
)
from headrace.model.preference import (
    GRACEFUL_SHUTDOWN,
    LIMIT_MED,
    better_med,
    times_worse,
    worse_local_pref,
    worse_med,
)
from headrace.model.values import Announcement, Family, IPAddress, IPNetwork


class Attributes(NamedTuple):
    """Of an announcement, all but the prefix, in their order there."""

    med: int | None
    communities: tuple[str, ...]
    prepend: int
    local_pref: int | None
    next_hop: IPAddress | None


class Kind(NamedTuple):
    """All of an announcement that a policy can see: most are of few kinds."""

    family: Family
    sets: frozenset[str]  # of prefixes, that hold its own
    attributes: Attributes


class Exporting:
    """The export policies of a section, made ready for many announcements."""

    def __init__(self, bgp: Bgp) -> None:
        self._bgp = bgp
        self._prefixes = {name: _Ranges(each) for name, each in bgp.prefix_sets.items()}
        self._communities = {
            name: tuple(map(_Pattern.of, each)) for name, each in bgp.community_sets.items()
        }

    def way(self, peer: Peer) -> Way | None:
        """How a peer hears routes; None where it hears each as it is."""
        if peer.hears_all:
            return None
        return way_of(
            peer.address,
            peer.export,
            peer.export_default,
            policies=self._bgp.policies,
            peer_sets=self._bgp.peer_sets,
        )

    def ways(self) -> dict[Way, list[IPAddress]]:
        """The peers that do not hear every route as it is, by their ways."""
        found: dict[Way, list[IPAddress]] = {}
        for peer in self._bgp.peers:
            way = self.way(peer)
            if way is not None:
                found.setdefault(way, []).append(peer.address)
        return found

    def kind(self, announcement: Announcement) -> Kind:
        """What policies see of an announcement."""
        prefix = announcement.prefix
        holding = (name for name, ranges in self._prefixes.items() if ranges.has(prefix))
        attributes = Attributes(
            announcement.med,
            announcement.communities,
            announcement.prepend,
            announcement.local_pref,
            announcement.next_hop,
        )
        return Kind(Family.of(prefix), frozenset(holding), attributes)

    def decide(self, kind: Kind, way: Way) -> Attributes | None:
        """What announcements of a kind are like as they are heard that way; None: they are not."""
        given = kind.attributes
        times = times_worse(given.communities, is_standby=self._bgp.role is Role.STANDBY)
        heard = given._replace(med=better_med(given.med, times))
        is_med_set, result = False, way.default
        for statement in (each for name in way.policies for each in self._bgp.policies[name]):
            if self._holds(statement.conditions, kind, heard.communities, way):
                heard = _changed(heard, statement.actions, times)
                is_med_set |= statement.actions.med is not None
                if statement.actions.result is not None:
                    result = statement.actions.result
                    break
        if result is RouteResult.REJECT:
            return None
        return heard._replace(med=worse_med(heard.med or 0, times) if is_med_set else given.med)

    def heard(self, announcement: Announcement, way: Way | None) -> Announcement | None:
        """The announcement as it is heard that way; None where it is not."""
        if way is None:
            return announcement
        attributes = self.decide(self.kind(announcement), way)
        return None if attributes is None else Announcement(announcement.prefix, *attributes)

    def rejected(self, announcements: Iterable[Announcement], way: Way) -> frozenset[IPNetwork]:
        """The prefixes of those that are not heard that way."""
        kinds = {announcement.prefix: self.kind(announcement) for announcement in announcements}
        gone = {kind for kind in set(kinds.values()) if self.decide(kind, way) is None}
        return frozenset(prefix for prefix, kind in kinds.items() if kind in gone)

    def _holds(self, asked: Conditions, kind: Kind, communities: tuple[str, ...], way: Way) -> bool:
        prefixes, peers = asked.prefixes, asked.peers
        return (
            (not asked.families or kind.family in asked.families)
            and (peers is None or _combine([peers.name in way.peer_sets], peers.match))
            and (prefixes is None or _combine([prefixes.name in kind.sets], prefixes.match))
            and all(self._matches(each, communities) for each in asked.communities)
        )

    def _matches(self, asked: SetMatch, communities: tuple[str, ...]) -> bool:
        """Whether a set of communities matches."""
        found = (
            any(pattern.matches(community) for community in communities)
            for pattern in self._communities[asked.name]
        )
        return _combine(found, asked.match)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A community in which any part may be `*`."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "_Pattern":
        return cls(tuple(text.split(":")))

    def matches(self, community: str) -> bool:
        parts = community.split(":")
        return len(parts) == len(self.parts) and all(
            mine in {"*", part} for mine, part in zip(self.parts, parts, strict=True)
        )


class _Ranges:
    """A set of prefixes, asked by the lengths that it has rather than entry by entry."""

    def __init__(self, entries: Iterable[PrefixRange]) -> None:
        self._ranges: dict[tuple[int, int], dict[int, list[range]]] = defaultdict(dict)
        for entry in entries:
            network = entry.prefix
            known = self._ranges[network.version, network.prefixlen]
            known.setdefault(int(network.network_address), []).append(entry.lengths)

    def has(self, prefix: IPNetwork) -> bool:
        address, length = int(prefix.network_address), prefix.prefixlen
        for (version, size), known in self._ranges.items():
            if version == prefix.version and size <= length:
                shift = prefix.max_prefixlen - size
                if any(length in each for each in known.get(address >> shift << shift, ())):
                    return True
        return False


def _combine(found: Iterable[bool], match: Matching) -> bool:
    if match is Matching.ALL:
        return all(found)
    return any(found) is (match is Matching.ANY)


def _changed(heard: Attributes, do: Actions, times: int) -> Attributes:
    """What actions make of attributes that are worse so often; the MED is as it is without that."""
    local_pref = heard.local_pref
    if do.local_pref is not None:
        local_pref = worse_local_pref(do.local_pref, times)
    return Attributes(
        med=_med(heard.med, do.med),
        communities=_communities(heard.communities, do.communities),
        prepend=heard.prepend + do.prepend,
        local_pref=local_pref,
        next_hop=_next_hop(heard.next_hop, do),
    )


def _med(med: int | None, change: int | str | None) -> int | None:
    if isinstance(change, str):
        return min(max((med or 0) + int(change), 0), LIMIT_MED)
    return med if change is None else change


def _next_hop(known: IPAddress | None, do: Actions) -> IPAddress | None:
    if do.next_hop is None:
        return known
    return None if isinstance(do.next_hop, str) else do.next_hop


def _communities(known: tuple[str, ...], do: CommunityActions) -> tuple[str, ...]:
    """Those of a route; that a node drains is no policy's to take away."""
    patterns = tuple(map(_Pattern.of, do.remove))
    kept = tuple(
        each
        for each in known
        if each == GRACEFUL_SHUTDOWN or not any(pattern.matches(each) for pattern in patterns)
    )
    return kept + tuple(each for each in dict.fromkeys(do.add) if each not in kept)
