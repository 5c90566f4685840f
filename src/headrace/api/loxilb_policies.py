"""LoxiLB's BGP policies: its defined sets, definitions and assignments, as changes of `bgp`.

Sets and definitions that are posted again replace what was there: LoxiLB appends, so that nothing
ever leaves a set whose owner shortens it. `apply` adds to a peer's policies, its DELETE takes them
away. What is asked of routes that peers send is refused, since none is taken from any.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from pydantic import Field

from headrace.api.answers import author_of, discard_body
from headrace.api.bodies import Part, RuleError
from headrace.api.loxilb_answers import Route, answer, read_part, success
from headrace.api.loxilb_bgp import build_section, find_peer, raw_peer, raw_section, section_of
from headrace.api.loxilb_definitions import (
    NO_ROUTES,
    NOT_KINDS,
    Definition,
    kind_of,
    listed_statement,
    malformed,
    read_pattern,
    read_statement,
)
from headrace.control.ports import Operator
from headrace.model import Document
from headrace.model.exports import PrefixRange, RouteResult, SetMatch, Statement

_PATH = "/config/bgp/policy"

_KINDS = {
    "prefix": "prefix_sets",
    "neighbor": "peer_sets",
    "neigh": "peer_sets",
    "nei": "peer_sets",
    "community": "community_sets",
    "largecommunity": "community_sets",
}


class PrefixEntry(Part):
    """A prefix of a set; lengths as `24..32`."""

    prefix: str = Field(alias="ipPrefix")
    lengths: str = Field("", alias="masklengthRange")


class DefinedSet(Part):
    """A set: prefixes have a list of their own."""

    name: str
    entries: list[str] = Field([], alias="list")
    prefixes: list[PrefixEntry] = Field([], alias="prefixList")


class Assignment(Part):
    """A peer's policies. Who takes them away leaves the default out."""

    address: str = Field(alias="ipAddress")
    direction: str = Field(alias="policyType")
    policies: list[str] = Field([])
    default: str = Field("", alias="routeAction")


def add_policies(route: Route, operator: Operator) -> None:
    """Add the routes about policies."""
    answers = _Policies(operator)
    sets = f"{_PATH}/definedsets/{{kind}}"
    route("GET", f"{sets}/{{name:path}}", answers.get_sets)
    route("POST", sets, answers.post_set)
    route("DELETE", f"{sets}/{{name:path}}", answers.delete_set)
    route("GET", f"{_PATH}/definitions/all", answers.get_definitions)
    route("POST", f"{_PATH}/definitions", answers.post_definition)
    route("DELETE", f"{_PATH}/definitions/{{name:path}}", answers.delete_definition)
    route("POST", f"{_PATH}/apply", answers.post_apply)
    route("DELETE", f"{_PATH}/apply", answers.delete_apply)


class _Policies:
    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def get_sets(self, kind: str, name: str) -> Response:
        """The sets of a kind, or the one of this name."""
        return answer({"definedsetsAttr": listed_sets(self._operator.document, kind, name)})

    async def post_set(self, request: Request, kind: str) -> Response:
        """Have a set, or have it otherwise."""
        wish = await read_part(request, DefinedSet)
        return await self._change(request, lambda document: put_set(document, kind, wish))

    async def delete_set(self, request: Request, kind: str, name: str) -> Response:
        """Have a set no longer."""
        await discard_body(request)
        return await self._change(request, lambda document: without_set(document, kind, name))

    async def get_definitions(self) -> Response:
        """Every policy."""
        return answer({"bgpPolicyAttr": listed_definitions(self._operator.document)})

    async def post_definition(self, request: Request) -> Response:
        """Have a policy, or have it otherwise."""
        wish = await read_part(request, Definition)
        return await self._change(request, lambda document: put_definition(document, wish))

    async def delete_definition(self, request: Request, name: str) -> Response:
        """Have a policy no longer."""
        await discard_body(request)
        return await self._change(request, lambda document: without_definition(document, name))

    async def post_apply(self, request: Request) -> Response:
        """Have policies decide what a peer hears."""
        wish = await read_part(request, Assignment)
        return await self._change(request, lambda document: apply_policies(document, wish))

    async def delete_apply(self, request: Request) -> Response:
        """Have policies decide no longer; all of a peer's where none is named."""
        wish = await read_part(request, Assignment)
        return await self._change(request, lambda document: release_policies(document, wish))

    async def _change(self, request: Request, change: Callable[[Document], Document]) -> Response:
        await self._operator.edit(change, author=author_of(request, "loxilb"))
        return success()


# --- sets -----------------------------------------------------------------------------------------


def put_set(document: Document, kind: str, wish: DefinedSet) -> Document:
    """The document with a set of this kind."""
    key, bgp = _key_of(kind), section_of(document)
    entries: list[Any]
    if key == "prefix_sets":
        entries = [_prefix_entry(each) for each in wish.prefixes]
    elif key == "peer_sets":
        entries = wish.entries
    else:
        entries = [read_pattern(each, kind) for each in wish.entries]
        known = bgp.community_sets.get(wish.name)
        if known is not None and kind_of(known) != kind.lower():
            raise malformed(f"{wish.name} is a set of {kind_of(known)}; name this one otherwise")
    return _with(document, key, wish.name, entries)


def without_set(document: Document, kind: str, name: str) -> Document:
    """The document without a set; refused while a policy asks for it."""
    if kind.lower() in NOT_KINDS:
        raise _no_such_set(kind, name)
    key, bgp = _key_of(kind), section_of(document)
    known = _found(getattr(bgp, key), name)
    if known is None or (
        key == "community_sets" and kind_of(bgp.community_sets[known]) != kind.lower()
    ):
        raise _no_such_set(kind, name)
    for policy, statements in bgp.policies.items():
        if known in {match.name for each in statements for match in _asked(each, key)}:
            text = f"defined set {known} is referred to by policy {policy}; change that first"
            raise RuleError(HTTPStatus.CONFLICT, text)
    return _with(document, key, known, None)


def _no_such_set(kind: str, name: str) -> RuleError:
    return RuleError(HTTPStatus.NOT_FOUND, f"no such defined set {name} of type {kind}")


def listed_sets(document: Document, kind: str, name: str) -> list[dict[str, Any]]:
    """The sets of a kind as LoxiLB lists them; `all`, or the one of this name."""
    if document.bgp is None or kind.lower() in NOT_KINDS:
        return []
    key = _key_of(kind)
    sets: Mapping[str, tuple[Any, ...]] = getattr(document.bgp, key)
    if name != "all":
        known = _found(sets, name)
        sets = {} if known is None else {known: sets[known]}
    if key == "prefix_sets":
        return [
            {"name": each, "prefixList": [_listed_prefix(entry) for entry in entries]}
            for each, entries in sets.items()
        ]
    return [
        {"name": each, "list": [str(entry) for entry in entries]}
        for each, entries in sets.items()
        if key != "community_sets" or kind_of(entries) == kind.lower()
    ]


def _key_of(kind: str) -> str:
    """Where the document keeps the sets of a kind."""
    kind = kind.lower()
    if kind in NOT_KINDS:
        raise malformed(NOT_KINDS[kind])
    if kind not in _KINDS:
        raise malformed(f"{kind!r} is no type of sets; use one of {', '.join(_KINDS)}")
    return _KINDS[kind]


def _prefix_entry(entry: PrefixEntry) -> dict[str, Any]:
    raw: dict[str, Any] = {"prefix": entry.prefix}
    if entry.lengths:
        low, dots, high = entry.lengths.partition("..")
        if not (dots and low.isdecimal() and high.isdecimal()):
            raise malformed(f"masklengthRange {entry.lengths!r} is no range; write it as 24..32")
        raw |= {"ge": int(low), "le": int(high)}
    return raw


def _listed_prefix(entry: PrefixRange) -> dict[str, str]:
    lengths = entry.lengths
    return {"ipPrefix": str(entry.prefix), "masklengthRange": f"{lengths[0]}..{lengths[-1]}"}


# --- definitions ----------------------------------------------------------------------------------


def put_definition(document: Document, wish: Definition) -> Document:
    """The document with a policy."""
    bgp = section_of(document)
    return _with(
        document, "policies", wish.name, [read_statement(bgp, each) for each in wish.statements]
    )


def without_definition(document: Document, name: str) -> Document:
    """The document without a policy; refused while a peer hears by it."""
    bgp = section_of(document)
    known = _found(bgp.policies, name)
    if known is None:
        raise RuleError(HTTPStatus.NOT_FOUND, f"no such policy {name}")
    peers = [str(peer.address) for peer in bgp.peers if known in peer.export]
    if peers:
        text = f"policy {known} is referred to by neighbor {peers[0]}; DELETE policy/apply first"
        raise RuleError(HTTPStatus.CONFLICT, text)
    return _with(document, "policies", known, None)


def listed_definitions(document: Document) -> list[dict[str, Any]]:
    """The policies as LoxiLB lists them."""
    bgp = document.bgp
    if bgp is None:
        return []
    return [
        {"name": name, "statements": [listed_statement(bgp, each) for each in policy]}
        for name, policy in bgp.policies.items()
    ]


# --- assignments ----------------------------------------------------------------------------------


def apply_policies(document: Document, wish: Assignment) -> Document:
    """The document with a peer that hears by these policies too, and by this default."""
    if not _is_export(wish):
        return document
    default = {"": None, "accept": RouteResult.ACCEPT, "reject": RouteResult.REJECT}
    if wish.default.lower() not in default:
        raise malformed(f"routeAction {wish.default!r} is none; use accept or reject")
    chosen = default[wish.default.lower()]

    def applied(raw: dict[str, Any]) -> None:
        known = raw.get("export", [])
        raw["export"] = [*known, *(name for name in wish.policies if name not in known)]
        if chosen is not None:
            raw["export_default"] = chosen.value

    return _with_peer(document, wish.address, applied)


def release_policies(document: Document, wish: Assignment) -> Document:
    """The document with a peer that hears by these policies no longer; by none if none is named."""
    if not _is_export(wish):
        return document

    def released(raw: dict[str, Any]) -> None:
        gone = wish.policies or raw.get("export", [])
        raw["export"] = [name for name in raw.get("export", []) if name not in gone]
        if not raw["export"]:
            raw["export_default"] = RouteResult.ACCEPT.value

    return _with_peer(document, wish.address, released)


def _is_export(wish: Assignment) -> bool:
    """Whether it is about routes that are told; of others only what changes nothing is taken."""
    direction = wish.direction.lower()
    if direction not in {"import", "export"}:
        raise malformed(f"policyType {wish.direction!r} is none; use export")
    if direction == "import" and (wish.policies or wish.default.lower() == "reject"):
        raise malformed(f"policyType import is not served: {NO_ROUTES}; use export")
    return direction == "export"


def _with_peer(
    document: Document, address: str, change: Callable[[dict[str, Any]], None]
) -> Document:
    bgp = section_of(document)
    if address == "global":
        raise malformed("ipAddress global is not served; apply the policies to each neighbor")
    known = find_peer(bgp, address)
    if known is None:
        raise RuleError(HTTPStatus.NOT_FOUND, f"no such neighbor {address}")
    peers = [raw_peer(each) for each in bgp.peers]
    change(peers[bgp.peers.index(known)])
    return build_section(document, raw_section(bgp) | {"peers": peers})


# --- all of them ----------------------------------------------------------------------------------


def _with(document: Document, key: str, name: str, value: list[Any] | None) -> Document:
    """The document with something by its name in a part of `bgp`, or without it."""
    raw = raw_section(section_of(document))
    named = {each: known for each, known in raw.get(key, {}).items() if each != name}
    raw[key] = named if value is None else named | {name: value}
    return build_section(document, raw)


def _found(named: Mapping[str, object], name: str) -> str | None:
    """A name as it is kept: `kube-loxilb` asks in lower case for whatever it has posted."""
    if name in named:
        return name
    alike = [each for each in named if each.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _asked(statement: Statement, key: str) -> Iterable[SetMatch]:
    """The sets of a kind that a statement asks for."""
    asked = statement.conditions
    if key == "community_sets":
        return asked.communities
    match = asked.prefixes if key == "prefix_sets" else asked.peers
    return () if match is None else (match,)
