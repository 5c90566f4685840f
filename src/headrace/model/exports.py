"""The document's export policies: which routes a BGP peer hears, and what they are like there.

What they do to an announcement is `model.exporting`'s work.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from headrace.model.fields import (
    Community,
    CommunityPattern,
    MedChange,
    Metric,
    Name,
    Prefix,
    Prepend,
    RouteNextHop,
    whole,
)
from headrace.model.limits import (
    LIMIT_COMMUNITIES,
    LIMIT_PREPEND,
    LIMIT_SET_ENTRIES,
    LIMIT_STATEMENTS,
)
from headrace.model.problems import Finding, Location
from headrace.model.values import Family, IPAddress


class _Section(BaseModel):
    """A part of the section: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Matching(StrEnum):
    """When a set matches."""

    ANY = "any"
    """One of its entries does."""
    ALL = "all"
    """Each of them does; of communities only."""
    INVERT = "invert"
    """None of them does."""


class RouteResult(StrEnum):
    """What becomes of a route."""

    ACCEPT = "accept"
    REJECT = "reject"


_Length = Annotated[int, Field(ge=0, le=128), BeforeValidator(whole(0, 128))]


class PrefixRange(_Section):
    """A prefix and the lengths of those inside that are meant: its own alone without any."""

    prefix: Prefix = Field(description="the prefix that others lie in")
    ge: _Length | None = Field(None, description="their length at least; its own if absent")
    le: _Length | None = Field(
        None, description="their length at most; if absent, the longest with ge, else its own"
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        own, longest = self.prefix.prefixlen, self.prefix.max_prefixlen
        low, high = self.lengths.start, self.lengths.stop - 1
        if not own <= low <= high <= longest:
            raise ValueError(
                f"{low}..{high} are no lengths inside {self.prefix}; use some of {own}..{longest}"
            )
        return self

    @property
    def lengths(self) -> range:
        """The lengths that are meant."""
        own = self.prefix.prefixlen
        highest = own if self.ge is None else self.prefix.max_prefixlen
        low = own if self.ge is None else self.ge
        return range(low, (highest if self.le is None else self.le) + 1)


class SetMatch(_Section):
    """A set by its name, and when it matches."""

    name: Name = Field(alias="set", description="the set's name")
    match: Matching = Field(Matching.ANY, description="how many of its entries have to")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Conditions(_Section):
    """What a route, and who is to hear it, must be like; nothing is asked where all are absent."""

    prefixes: SetMatch | None = Field(None, description="its prefix: a set of bgp.prefix_sets")
    peers: SetMatch | None = Field(None, description="who hears it: a set of bgp.peer_sets")
    communities: tuple[SetMatch, ...] = Field(
        (),
        max_length=LIMIT_STATEMENTS,
        description="its communities: sets of bgp.community_sets, each of which must match",
    )
    families: tuple[Family, ...] = Field((), description="its family; either if absent")

    @field_validator("prefixes", "peers")
    @classmethod
    def _check_match(cls, asked: SetMatch | None) -> SetMatch | None:
        if asked is not None and asked.match is Matching.ALL:
            raise ValueError("a route has one prefix, and one peer hears it; match any or invert")
        return asked


class CommunityActions(_Section):
    """What becomes of a route's communities: first some are removed, then others are added."""

    remove: tuple[CommunityPattern, ...] = Field(
        (),
        max_length=LIMIT_COMMUNITIES,
        description='those removed; * is any number: "*:*" are all standard ones, "*:*:*" all '
        "large ones",
    )
    add: tuple[Community, ...] = Field(
        (), max_length=LIMIT_COMMUNITIES, description="those added, standard or large"
    )


class Actions(_Section):
    """What becomes of a route that a statement is for."""

    result: RouteResult | None = Field(
        None, description="with it nothing more is asked; if absent, the next statement is"
    )
    med: MedChange | None = Field(None, description='the MED, or its change as "+50" or "-50"')
    local_pref: Metric | None = Field(None, description="the local preference, for iBGP peers")
    next_hop: RouteNextHop | None = Field(
        None, description="this node, or an address of a family that the session can say"
    )
    prepend: Prepend = Field(0, description="own AS so often more in front")
    communities: CommunityActions = Field(CommunityActions(), description="which it loses and gets")


class Statement(_Section):
    """One step of a policy: actions for the routes that meet all of its conditions."""

    name: Name | None = Field(None, description="for people")
    conditions: Conditions = Field(Conditions(), description="what it asks; nothing if absent")
    actions: Actions = Field(Actions(), description="what it does")


PrefixSet = Annotated[tuple[PrefixRange, ...], Field(min_length=1, max_length=LIMIT_SET_ENTRIES)]
PeerSet = Annotated[tuple[Prefix, ...], Field(min_length=1, max_length=LIMIT_SET_ENTRIES)]
CommunitySet = Annotated[
    tuple[CommunityPattern, ...], Field(min_length=1, max_length=LIMIT_SET_ENTRIES)
]
Policy = Annotated[tuple[Statement, ...], Field(max_length=LIMIT_STATEMENTS)]


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer hears routes: peers of one way hear the same."""

    policies: tuple[str, ...]
    default: RouteResult
    peer_sets: frozenset[str]  # those that hold the peer, of those that its policies ask for


def way_of(
    peer: IPAddress,
    export: tuple[str, ...],
    default: RouteResult,
    *,
    policies: Mapping[str, Policy],
    peer_sets: Mapping[str, PeerSet],
) -> Way:
    """The way of a peer; sets and policies that are not there count for nothing."""
    asked = {
        statement.conditions.peers.name
        for name in export
        for statement in policies.get(name, ())
        if statement.conditions.peers is not None
    }
    held = {name for name in asked if any(peer in each for each in peer_sets.get(name, ()))}
    return Way(export, default, frozenset(held))


def check_names(
    policies: Mapping[str, Policy], sets: Mapping[str, Mapping[str, object]]
) -> Iterator[Finding]:
    """Every set that a policy names and that is not there; `sets` are by kind."""
    for name, policy in policies.items():
        for index, statement in enumerate(policy):
            asked = statement.conditions
            named: list[tuple[Location, str, SetMatch | None]] = [
                (("prefixes",), "prefix_sets", asked.prefixes),
                (("peers",), "peer_sets", asked.peers),
                *(
                    (("communities", number), "community_sets", match)
                    for number, match in enumerate(asked.communities)
                ),
            ]
            for keys, kind, match in named:
                if match is not None and kind in sets and match.name not in sets[kind]:
                    yield (
                        (name, index, "conditions", *keys),
                        f"no set is called {match.name}; add it to bgp.{kind}, or name another",
                    )


def check_export(export: tuple[str, ...], policies: Mapping[str, Policy]) -> Iterator[Finding]:
    """Policies of a peer that are not there, or twice, or that add too much together."""
    for index, name in enumerate(export):
        if name in export[:index]:
            yield (index,), f"{name} is there twice; keep one of them"
        elif name not in policies:
            yield (
                (index,),
                f"no policy is called {name}; add it to bgp.policies, or name another",
            )
    named = dict.fromkeys(export)
    actions = [statement.actions for name in named for statement in policies.get(name, ())]
    added = sum(len(each.communities.add) for each in actions)
    if added > LIMIT_COMMUNITIES:
        yield (
            (),
            f"{added} communities added are over the limit of {LIMIT_COMMUNITIES}; add fewer",
        )
    prepended = sum(each.prepend for each in actions)
    if prepended > LIMIT_PREPEND:
        yield (), f"prepend {prepended} is over the limit of {LIMIT_PREPEND}; use less"
