"""LoxiLB's policy definitions as statements of the document's policies, and back. Pure."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import Field, ValidationError

from headrace.api.bodies import Part, RuleError
from headrace.model import Bgp
from headrace.model.exports import SetMatch, Statement

NO_ROUTES = "they are of routes that peers send, and none is taken from any"
NOT_KINDS = {
    "aspath": f"AS-path sets are not served: {NO_ROUTES}; use sets of prefixes, neighbors or "
    "communities",
    "extcommunity": "extended communities are not served; use standard or large ones",
}
_RESULTS = {"accept-route": "accept", "reject-route": "reject", "none": None, "": None}
_FAMILIES = {"ipv4-unicast": "ipv4", "ipv6-unicast": "ipv6"}
_WELL_KNOWN = {
    "graceful-shutdown": "65535:0",
    "blackhole": "65535:666",
    "no-export": "65535:65281",
    "no-advertise": "65535:65282",
    "no-export-subconfed": "65535:65283",
    "no-peer": "65535:65284",
}
_ANY_NUMBER = re.compile(r"\.[*+]|(\[0-9\]|\\d)[*+]")  # as a part of a regular expression
_ALL = {2: "*:*", 3: "*:*:*"}  # of a kind, by the number of parts


class Match(Part):
    """A set by its name; clients differ in what they call it and when it matches."""

    prefixes: str = Field("", alias="prefixSet")
    neighbours: str = Field("", alias="neighborSet")
    communities: str = Field("", alias="communitySet")
    path: str = Field("", alias="asPathSet")
    option: str = Field("", alias="matchSetOption")
    options: str = Field("", alias="matchSetOptions")


class PathLength(Part):
    """How long an AS path is to be."""

    operator: str = ""


class BgpConditions(Part):
    """What a route's attributes must be."""

    families: list[str] = Field([], alias="afiSafiIn")
    path: Match = Field(Match(), alias="matchAsPathSet")
    path_length: PathLength = Field(PathLength(), alias="asPathLength")
    communities: Match = Field(Match(), alias="matchCommunitySet")
    extended: Match = Field(Match(), alias="matchExtCommunitySet")
    large: Match = Field(Match(), alias="matchLargeCommunitySet")
    large_of_kube: Match = Field(Match(), alias="largeCommunitySet")
    next_hops: list[str] = Field([], alias="nextHopInList")
    rpki: str = ""
    route_type: str = Field("", alias="routeType")


class ConditionsPart(Part):
    """What a statement asks."""

    prefixes: Match = Field(Match(), alias="matchPrefixSet")
    neighbours: Match = Field(Match(), alias="matchNeighborSet")
    bgp: BgpConditions = Field(BgpConditions(), alias="bgpConditions")


class CommunityPart(Part):
    """What becomes of communities of one kind."""

    options: str = ""
    values: list[str] = Field([], alias="setCommunityMethod")


class Prepending(Part):
    """Which AS is put in front, and how often."""

    as_number: str | int = Field("", alias="as")
    count: int = Field(0, alias="repeatN")


class BgpActions(Part):
    """What becomes of a route's attributes. The preference is spelt as LoxiLB does."""

    med: str | int = Field("", alias="setMed")
    next_hop: str = Field("", alias="setNextHop")
    local_pref: int = Field(0, alias="setLocalPerf")
    local_pref_in_full: int = Field(0, alias="setLocalPref")
    communities: CommunityPart = Field(CommunityPart(), alias="setCommunity")
    extended: CommunityPart = Field(CommunityPart(), alias="setExtCommunity")
    large: CommunityPart = Field(CommunityPart(), alias="setLargeCommunity")
    prepend: Prepending = Field(Prepending(), alias="setAsPathPrepend")


class ActionsPart(Part):
    """What a statement does."""

    result: str = Field("", alias="routeDisposition")
    bgp: BgpActions = Field(BgpActions(), alias="bgpActions")


class StatementPart(Part):
    """One step of a definition; what LoxiLB has no words for is in the document's as well."""

    name: str = ""
    conditions: ConditionsPart = ConditionsPart()
    actions: ActionsPart = ActionsPart()
    exact: dict[str, Any] = Field({}, alias="headrace")


class Definition(Part):
    """A policy."""

    name: str
    statements: list[StatementPart] = Field([])


def read_statement(bgp: Bgp, part: StatementPart) -> dict[str, Any]:
    """A statement in the document's words; RuleError for what is not served."""
    if part.exact:
        return _read_exact(bgp, part)
    raw: dict[str, Any] = {
        "conditions": _conditions(part.conditions),
        "actions": _actions(bgp, part.actions),
    }
    return raw | ({"name": part.name} if part.name else {})


def _read_exact(bgp: Bgp, part: StatementPart) -> dict[str, Any]:
    """The document's words, unless somebody has changed only LoxiLB's beside them."""
    try:
        listed = listed_statement(bgp, Statement.model_validate(part.exact))
    except (ValidationError, KeyError):
        return part.exact  # whoever checks the document says what is wrong
    if StatementPart.model_validate(listed) != part:
        raise malformed("headrace says otherwise than what is beside it; leave headrace out")
    return part.exact


def _conditions(part: ConditionsPart) -> dict[str, Any]:
    asked = part.bgp
    refused = {
        "matchAsPathSet": asked.path.path,
        "asPathLength": asked.path_length.operator,
        "matchExtCommunitySet": asked.extended.communities,
        "nextHopInList": ", ".join(asked.next_hops),
        "rpki": asked.rpki.lower().removeprefix("none"),
        # What is announced begins here: routes are local whatever a policy asks.
        "routeType": asked.route_type.lower().removeprefix("none").removeprefix("local"),
    }
    for key, value in refused.items():
        if value:
            raise malformed(f"{key} {value} is not served: {NO_ROUTES}; leave it out")
    unknown = [each for each in asked.families if each not in _FAMILIES]
    if unknown:
        raise malformed(f"afiSafiIn {unknown[0]} is not served; use {' or '.join(_FAMILIES)}")
    large = asked.large if asked.large.communities else asked.large_of_kube
    sets = [match for match in (asked.communities, large) if match.communities]
    raw: dict[str, Any] = {
        "families": [_FAMILIES[each] for each in asked.families],
        "communities": [_match(each.communities, each) for each in sets],
    }
    if part.prefixes.prefixes:
        raw["prefixes"] = _match(part.prefixes.prefixes, part.prefixes)
    if part.neighbours.neighbours:
        raw["peers"] = _match(part.neighbours.neighbours, part.neighbours)
    return raw


def _match(name: str, match: Match) -> dict[str, str]:
    return {"set": name, "match": (match.options or match.option or "any").lower()}


def _actions(bgp: Bgp, part: ActionsPart) -> dict[str, Any]:
    do = part.bgp
    if part.result.lower() not in _RESULTS:
        raise malformed(f"routeDisposition {part.result!r} is none; use accept-route, reject-route")
    if do.extended.values:
        raise malformed(f"setExtCommunity: {NOT_KINDS['extcommunity']}")
    raw: dict[str, Any] = {"result": _RESULTS[part.result.lower()]}
    med = str(do.med)
    if med:
        raw["med"] = int(med) if med.isdecimal() else med
    if do.local_pref or do.local_pref_in_full:
        raw["local_pref"] = do.local_pref or do.local_pref_in_full
    if do.next_hop and do.next_hop != "unchanged":
        raw["next_hop"] = do.next_hop
    if do.prepend.as_number:
        if str(do.prepend.as_number) not in {"last-as", str(bgp.as_number)}:
            text = f"setAsPathPrepend as {do.prepend.as_number} is another AS than {bgp.as_number}"
            raise malformed(f"{text}, this node's own; use that, or last-as")
        raw["prepend"] = do.prepend.count
    raw["communities"] = _communities(do)
    return raw


def _communities(do: BgpActions) -> dict[str, list[str]]:
    """What becomes of both kinds: to replace is to remove all of a kind, then to add."""
    remove: list[str] = []
    add: list[str] = []
    for kind, parts, part in (
        ("community", 2, do.communities),
        ("largecommunity", 3, do.large),
    ):
        values = [read_pattern(each, kind) for each in part.values]
        option = part.options.lower()
        if option not in {"add", "remove", "replace", ""}:
            raise malformed(f"options {part.options!r} is none; use add, remove or replace")
        if option == "remove":
            remove += values
        else:
            add += values
            is_replaced = option == "replace" or (values and not option)
            remove += [_ALL[parts]] if is_replaced else []
    return {"remove": remove, "add": add}


def listed_statement(bgp: Bgp, statement: Statement) -> dict[str, Any]:
    """A statement as LoxiLB lists it; posted again, it is the same."""
    listed = _in_loxilb_words(bgp, statement)
    if _read_again(bgp, listed) == statement:
        return listed
    exact = statement.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return listed | {"headrace": exact}


def _read_again(bgp: Bgp, listed: dict[str, Any]) -> Statement | None:
    try:
        raw = read_statement(bgp, StatementPart.model_validate(listed))
        return Statement.model_validate(raw)
    except (ValidationError, RuleError):
        return None


def _in_loxilb_words(bgp: Bgp, statement: Statement) -> dict[str, Any]:
    asked, do = statement.conditions, statement.actions
    conditions: dict[str, Any] = {}
    if asked.prefixes is not None:
        conditions["matchPrefixSet"] = _listed_match("prefixSet", asked.prefixes)
    if asked.peers is not None:
        conditions["matchNeighborSet"] = _listed_match("neighborSet", asked.peers)
    attributes: dict[str, Any] = {}
    for match in asked.communities:
        is_large = kind_of(bgp.community_sets[match.name]) == "largecommunity"
        key = "matchLargeCommunitySet" if is_large else "matchCommunitySet"
        attributes[key] = {"communitySet": match.name, "matchSetOptions": str(match.match)}
    if asked.families:
        attributes["afiSafiIn"] = [f"{family}-unicast" for family in asked.families]
    result = "none" if do.result is None else f"{do.result}-route"
    return ({} if statement.name is None else {"name": statement.name}) | {
        "conditions": conditions | {"bgpConditions": attributes},
        "actions": {"routeDisposition": result, "bgpActions": _listed_actions(bgp, statement)},
    }


def _listed_match(key: str, match: SetMatch) -> dict[str, str]:
    return {key: match.name, "matchSetOption": str(match.match)}


def _listed_actions(bgp: Bgp, statement: Statement) -> dict[str, Any]:
    do = statement.actions
    found: dict[str, Any] = {}
    if do.med is not None:
        found["setMed"] = str(do.med)
    if do.next_hop is not None:
        found["setNextHop"] = str(do.next_hop)
    if do.local_pref is not None:
        found["setLocalPerf"] = do.local_pref
    if do.prepend:
        found["setAsPathPrepend"] = {"as": str(bgp.as_number), "repeatN": do.prepend}
    for key, parts in (("setCommunity", 2), ("setLargeCommunity", 3)):
        add = [each for each in do.communities.add if each.count(":") == parts - 1]
        remove = [each for each in do.communities.remove if each.count(":") == parts - 1]
        if add or remove:
            option = "replace" if _ALL[parts] in remove else "add" if add else "remove"
            values = add if option != "remove" else remove
            found[key] = {"options": option, "setCommunityMethod": values}
    return found


def kind_of(communities: Iterable[str]) -> str:
    """What LoxiLB calls a set of these."""
    return "largecommunity" if all(each.count(":") == 2 for each in communities) else "community"


def read_pattern(text: str, kind: str) -> str:
    """A community of a kind, or the regular expression of some, in the document's words."""
    plain = _WELL_KNOWN.get(text.lower(), text).removeprefix("^").removesuffix("$")
    found = _ANY_NUMBER.sub("*", plain)
    parts = 3 if kind.lower() == "largecommunity" else 2
    if not re.fullmatch(r"(\*|[0-9]+)(:(\*|[0-9]+))+", found) or found.count(":") != parts - 1:
        raise malformed(
            f"{text!r} is no {kind}; write numbers, or [0-9]+ for any number, in {parts} parts"
        )
    return found


def malformed(text: str) -> RuleError:
    """The error for a body that says what is not served."""
    return RuleError(HTTPStatus.BAD_REQUEST, f"malformed bgp policy: {text}")
