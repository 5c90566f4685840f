"""LoxiLB's saved configuration as a document: taken whole, or refused with every problem. Pure.

Takes the files that `loxicmd save` writes and LoxiLB reads when it starts, and what LoxiLB's
`GET /config/export` answers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic import Field

from headrace import __version__
from headrace.api import loxilb_bgp, loxilb_firewall, probes
from headrace.api.bodies import RuleError, parse_part, read_json
from headrace.api.rules import (
    ONLY_HASH,
    Rule,
    RuleEndpoint,
    listed_endpoints,
    merge_rule,
    rule_of,
    service_of,
)
from headrace.control.views import EndpointView, Status
from headrace.model import (
    ConfigError,
    Document,
    Endpoint,
    HealthCheck,
    LbError,
    Pool,
    Problem,
    Service,
    check_document,
)
from headrace.model.fields import read_address
from headrace.model.health import NO_HEALTH
from headrace.model.problems import refusal, shown

_RULES = "loadbalancer"
IMPORTED_FILES = {
    "lbconfig.txt": _RULES,
    "EPconfig.txt": "endpoint",
    "BFDconfig.txt": "bfd",
    "FWconfig.txt": "firewall",
    "sessionconfig.txt": "session",
    "sessionulclconfig.txt": "sessionulcl",
}
"""The files of LoxiLB's folder, each with what it has a list of."""

_LISTS = (_RULES, "cluster", "endpoint", "bfd", "firewall", "mirror", "policy")
_LISTS_OF_FILES = {
    "lbconfig.txt": "lbAttr",
    "EPconfig.txt": "Attr",
    "BFDconfig.txt": "Attr",
    "FWconfig.txt": "fwAttr",
    "sessionconfig.txt": "sessionAttr",
    "sessionulclconfig.txt": "ulclAttr",
}
_ABOUT = frozenset({"timestamp", "version"})  # what an export says of itself
_NAMES = frozenset({*IMPORTED_FILES.values(), *_LISTS})
_NO_LIST = "is not a list; write its entries one by one"
_NO_RULES = (
    "has no list of rules, and a replace removes all others: give loadbalancer, or lbconfig.txt "
    "with lbAttr, an empty list if all rules are to go; or add instead of replacing"
)
_SERVICE_PATH = re.compile(r"services\[(\d+)\]")

_NOT_SERVED = {
    "mirror": "mirror at the switch",
    "policy": "limit rates at the router",
    "session": "5G sessions have no place here",
    "sessionulcl": "5G sessions have no place here",
}
"""What an entry of is refused, and what to do instead."""

_RULE_REMEDIES = {
    ONLY_HASH: f'{ONLY_HASH}; write "sel": 1 (hash), or 3 (persist) for one endpoint a client',
}
_INTERNAL_NAMES = {"path": "host", "lbsec": "security"}
"""Keys of an exported rule that a request has by other names."""


class _SavedEndpoint(RuleEndpoint):
    """An endpoint as our export has it: with what requests about hosts have made of it."""

    check: str | None = Field(None, alias="hostCheck")
    state: str = Field("", alias="hostState")


class _SavedRule(Rule):
    endpoints: tuple[_SavedEndpoint, ...] = Field((), strict=False)


@dataclass(slots=True)
class _Draft:
    """A document under construction, where its services came from, and what is wrong so far."""

    document: Document
    services: dict[str, Service]
    origins: dict[str, str] = field(default_factory=dict)  # label -> path
    saved: dict[str, tuple[_SavedEndpoint, ...]] = field(default_factory=dict)  # by label
    problems: list[Problem] = field(default_factory=list)

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Note what is wrong with the entry at this path, and go on."""
        try:
            yield
        except ConfigError as error:
            self.problems += [
                Problem(f"{path}.{each.path}" if each.path else path, each.message)
                for each in error.problems
            ]
        except LbError as error:
            text = str(error)
            self.problems.append(Problem(path, _RULE_REMEDIES.get(text, text)))


def import_configuration(document: Document, raw: object, *, replace: bool) -> Document:
    """The document with what a saved configuration has; with `replace`, its rules are all rules.

    `raw` has lists by the name that LoxiLB exports them by, or the contents of files by the file's
    name; a replace needs one of rules. What a rule cannot say stays as the operator has it. Raises
    ConfigError with every problem by its path: nothing is taken then.
    """
    draft = _Draft(document, {} if replace else {each.label: each for each in document.services})
    lists: dict[str, list[tuple[str, object]]] = {}
    for name, path, entries in _lists_of(raw, draft):
        numbered = [(f"{path}[{index}]", entry) for index, entry in enumerate(entries)]
        lists.setdefault(name, []).extend(numbered)
    if replace and _RULES not in lists and not draft.problems:
        raise ConfigError.at("", _NO_RULES)
    known = {each.label: each for each in document.services}
    for path, entry in lists.pop(_RULES, []):
        with draft.at(path):
            _add_rule(draft, path, entry, known)
    if not draft.problems:
        _put_rules(draft)
    told = _hosts_of_rules(draft)
    takers = {
        "endpoint": lambda before, entry: _with_host(before, entry, told),
        "firewall": _with_firewall,
        "cluster": _with_state,
        "bfd": _with_bfd,
    }
    for name in (*takers, *_NOT_SERVED):  # a fixed order, whatever that of the keys
        for path, entry in lists.pop(name, []):
            with draft.at(path):
                if name in _NOT_SERVED:
                    raise ConfigError.at("", f"{name} is not served; {_NOT_SERVED[name]}")
                draft.document = takers[name](draft.document, entry)
    if not draft.problems:
        _put_hosts_of(draft)
    if draft.problems:
        raise refusal(draft.problems)
    return draft.document


def export_configuration(document: Document, status: Status) -> dict[str, Any]:
    """The rules, checks, role and BFD sessions as LoxiLB exports them; its import takes them."""
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": __version__,
        "loadbalancer": _saved_rules(document, status),
        "cluster": loxilb_bgp.listed_cistate(document, ""),
        "endpoint": _saved_hosts(document, status),
        "bfd": loxilb_bgp.listed_bfd(document, status.peers),
        "firewall": loxilb_firewall.listed_rules(document),
        "mirror": [],
        "policy": [],
    }


def _saved_rules(document: Document, status: Status) -> list[dict[str, Any]]:
    views = {view.name: view.endpoints for view in status.pools}
    endpoints: dict[tuple[str, int], list[dict[str, Any]]] = {}  # many services share few pools
    rules = []
    for service in document.services:
        name, port = place = service.pool_name, service.ports[0]
        if place not in endpoints:
            pool = document.pool_of(service)
            endpoints[place] = _saved_endpoints(pool, views.get(name, ()), port)
        rules.append(_saved_rule(document, service) | {"endpoints": endpoints[place]})
    return rules


def _saved_rule(document: Document, service: Service) -> dict[str, Any]:
    """A rule as it is listed, but for its endpoints."""
    check = document.check_of(document.pool_of(service))
    rule = rule_of(service, check)
    if check is not None and _is_usual(check):
        rule["serviceArguments"]["probeRetries"] = 0
    if service.health == NO_HEALTH:
        rule["serviceArguments"]["probetype"] = NO_HEALTH
    return rule


def _saved_endpoints(pool: Pool, views: Sequence[EndpointView], port: int) -> list[dict[str, Any]]:
    """Endpoints as they are listed, and by our own keys what LoxiLB has no words for."""
    known = {str(each.address): each for each in pool.endpoints}
    words = {state: word for word, state in probes.HOST_STATES.items()}
    all_listed = listed_endpoints(views, port)
    for listed in all_listed:
        endpoint = known[listed["endpointIP"]]
        if not isinstance(endpoint.health, HealthCheck):
            listed["hostCheck"] = endpoint.health or ""
        listed["hostState"] = words[endpoint.state]
    return all_listed


def _saved_hosts(document: Document, status: Status) -> list[dict[str, Any]]:
    """The checks of hosts as they are listed; rules say their own."""
    usual = {key: check for key, check in document.health.items() if _is_usual(check)}
    named = document.model_copy(update={"services": ()})
    as_usual = {
        (each["hostName"], each["name"])
        for each in probes.hosts_of(named.model_copy(update={"health": usual}), ())
    }
    return [
        each | {"inactiveReTries": 0} if (each["hostName"], each["name"]) in as_usual else each
        for each in probes.hosts_of(named, status.pools)
    ]


def _is_usual(check: HealthCheck) -> bool:
    """Whether nobody chose its retries; a choice by LoxiLB's words means a rise of 1."""
    fields = HealthCheck.model_fields
    return (check.rise, check.fall) == (fields["rise"].default, fields["fall"].default)


def read_files(texts: Mapping[str, str]) -> dict[str, object]:
    """The contents of saved files by their names. Raises ConfigError for those that are no JSON."""
    found: dict[str, object] = {}
    problems = []
    for name, text in texts.items():
        try:
            found[name] = read_json(text) if text.strip() else {}
        except ConfigError as error:
            problems += [Problem(name, each.message) for each in error.problems]
    if problems:
        raise refusal(problems)
    return found


def _lists_of(raw: object, draft: _Draft) -> Iterator[tuple[str, str, list[object]]]:
    """Each list that there is: its name, its path, its entries."""
    if not isinstance(raw, Mapping):
        draft.problems.append(Problem("", "is no saved configuration: it is not a JSON object"))
        return
    for key, value in raw.items():
        name = key.lower()
        if key in IMPORTED_FILES:
            yield from _lists_of_file(key, value, draft)
        elif name not in _NAMES | _ABOUT:
            known = ", ".join((*_LISTS, *IMPORTED_FILES))
            message = f"no such key here; there are {known}; correct its spelling or leave it out"
            draft.problems.append(Problem(shown(key), message))
        elif name in _ABOUT or value is None:
            continue
        elif isinstance(value, list):
            yield name, key, value
        else:
            draft.problems.append(Problem(key, _NO_LIST))


def _lists_of_file(
    name: str, value: object, draft: _Draft
) -> Iterator[tuple[str, str, list[object]]]:
    """The list of a file: that of its key in an object, or the file's own."""
    key_of_list = _LISTS_OF_FILES[name]
    values = value if isinstance(value, Mapping) else {key_of_list: value}
    for key, entries in values.items():
        path = f"{name}: {key}" if isinstance(value, Mapping) else name
        if key.lower() != key_of_list.lower():
            message = f"no such key here; the list of {name} is {key_of_list}; rename or remove it"
            draft.problems.append(Problem(f"{name}: {shown(key)}", message))
        elif isinstance(entries, list):
            yield IMPORTED_FILES[name], path, entries
        elif entries is not None:
            draft.problems.append(Problem(path, _NO_LIST))


def _add_rule(draft: _Draft, path: str, entry: object, known: Mapping[str, Service]) -> None:
    rule = parse_part(_with_request_names(entry), _SavedRule)
    rule = rule.model_copy(update={"arguments": rule.arguments.model_copy(update={"oper": 0})})
    wanted = service_of(rule)
    if wanted.label in draft.origins:
        first = draft.origins[wanted.label]
        raise ConfigError.at("", f"is the rule {wanted.label} as {first} is; keep one of them")
    merged = merge_rule(draft.document, rule, wanted, known.get(wanted.label))
    draft.origins[wanted.label] = path
    draft.saved[wanted.label] = rule.endpoints
    draft.services[wanted.label] = merged or wanted


def _with_request_names(entry: object) -> object:
    """A rule as requests have it, of one as it is exported."""
    if not isinstance(entry, Mapping):
        return entry
    return {
        key: {_INTERNAL_NAMES.get(name.lower(), name): inner for name, inner in value.items()}
        if key.lower() == "servicearguments" and isinstance(value, Mapping)
        else value
        for key, value in entry.items()
    }


def _put_rules(draft: _Draft) -> None:
    """Take the rules into the document; what contradicts is told by the entries it came from.

    Checks of hosts that no rule uses any more go with them.
    """
    services = tuple(draft.services.values())
    document = draft.document.model_copy(update={"services": services})
    used = probes.checks_in_use(document)
    health = {
        name: check for name, check in document.health.items() if "/" not in name or name in used
    }
    document = document.model_copy(update={"health": health})
    try:
        check_document(document)
    except ConfigError as error:
        draft.problems += [_moved(each, draft, services) for each in error.problems]
    else:
        draft.document = document


def _put_hosts_of(draft: _Draft) -> None:
    """Have endpoints checked, and drained, exactly as an export of ours says."""
    services = []
    for service in draft.document.services:
        saved = {read_address(each.address): each for each in draft.saved.get(service.label, ())}
        services.append(
            service.model_copy(
                update={
                    "endpoints": tuple(
                        _as_saved(each, saved.get(each.address)) for each in service.endpoints
                    )
                }
            )
            if service.endpoints is not None
            else service
        )
    document = draft.document.model_copy(update={"services": tuple(services)})
    try:
        check_document(document)
    except ConfigError as error:
        draft.problems += [_moved(each, draft, services) for each in error.problems]
    else:
        draft.document = document


def _as_saved(endpoint: Endpoint, saved: _SavedEndpoint | None) -> Endpoint:
    update: dict[str, object] = {}
    if saved is not None and saved.check is not None:
        update["health"] = saved.check or None
    if saved is not None and saved.state in probes.HOST_STATES:
        update["state"] = probes.HOST_STATES[saved.state]
    return endpoint.model_copy(update=update) if update else endpoint


def _moved(problem: Problem, draft: _Draft, services: Sequence[Service]) -> Problem:
    """The problem of `services[3].vip` as that of the entry which became the service."""

    def origin(found: re.Match[str]) -> str:
        return draft.origins.get(services[int(found[1])].label, found[0])

    return Problem(
        _SERVICE_PATH.sub(origin, problem.path), _SERVICE_PATH.sub(origin, problem.message)
    )


def _hosts_of_rules(draft: _Draft) -> frozenset[tuple[str, str]]:
    """Host and name of the checks that rules bring along, which LoxiLB lists like all others."""
    own = {
        label
        for label, endpoints in draft.saved.items()
        if any(each.check is not None for each in endpoints)
    }
    services = tuple(each for each in draft.document.services if each.label not in own)
    rules = draft.document.model_copy(update={"health": {}, "services": services})
    return frozenset((h["hostName"], h["name"]) for h in probes.hosts_of(rules, ()))


def _with_host(document: Document, entry: object, told: frozenset[tuple[str, str]]) -> Document:
    """The document with a host's check, unless a rule that lists the host says the same."""
    probe = parse_part(entry, probes.HostProbe)
    return document if (probe.host, probe.name) in told else probes.put_host(document, probe)


def _with_firewall(document: Document, entry: object) -> Document:
    """The document with a firewall rule; one that is there already stays so."""
    rule = parse_part(entry, loxilb_firewall.FirewallRule)
    try:
        return loxilb_firewall.put_rule(document, rule)
    except RuleError as error:
        if str(error) != loxilb_firewall.RULE_EXISTS:
            raise
        return document


def _with_state(document: Document, entry: object) -> Document:
    state = loxilb_bgp.read_state(parse_part(entry, loxilb_bgp.Cistate))
    if document.bgp is None and state != loxilb_bgp.NOT_DEFINED:
        raise RuleError(HTTPStatus.FORBIDDEN, f"{state} needs BGP: {loxilb_bgp.NO_BGP}")
    return loxilb_bgp.with_state(document, state)


def _with_bfd(document: Document, entry: object) -> Document:
    """The document with a BFD session; one that is so already may be faster than LoxiLB's are."""
    session = parse_part(entry, loxilb_bgp.BfdSession)
    asked = (session.remote, session.interval_us, session.retries)
    for listed in loxilb_bgp.listed_bfd(document, ()):
        if asked == (listed["remoteIp"], listed["interval"], listed["retryCount"]):
            return document
    return loxilb_bgp.put_bfd(document, session)
