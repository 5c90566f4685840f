"""LoxiLB's firewall rules: as denied and allowed sources of the services that they select. Pure.

Who is listed is read from the document, so a rule that selects several services is listed once for
each. The longest source prefix counts, whatever a rule's preference says: it is refused where the
two could differ. Clients that no rule names are served, as by LoxiLB.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from pydantic import Field, ValidationError

from headrace.api.answers import author_of, discard_body
from headrace.api.bodies import Part, RuleError
from headrace.api.loxilb_answers import Route, answer, read_part, success
from headrace.control.ports import Operator
from headrace.model import Document, IPNetwork, Protocol, Service, check_document
from headrace.model.fields import read_prefix

RULE_EXISTS = "fwrule-exists error"

_PATH = "/config/firewall"
_PORT_MAX = 65_535
_EVERYBODY = {4: "0.0.0.0/0", 6: "::/0"}

_Rules = dict[IPNetwork, bool]  # by source: whether it is allowed


class Arguments(Part):
    """What a rule matches; ports 0 and protocol 0 are any."""

    source: str = Field("", alias="sourceIP")
    destination: str = Field("", alias="destinationIP")
    source_port_min: int = Field(0, alias="minSourcePort")
    source_port_max: int = Field(0, alias="maxSourcePort")
    port_min: int = Field(0, alias="minDestinationPort")
    port_max: int = Field(0, alias="maxDestinationPort")
    protocol: int = 0
    interface: str = Field("", alias="portName")
    preference: int = 0


class Options(Part):
    """What becomes of what it matches."""

    drop: bool = False
    allow: bool = False
    trap: bool = False
    record: bool = False
    redirect: bool = False
    mark: int = Field(0, alias="fwMark")
    snat: bool = Field(default=False, alias="doSnat")
    on_default: bool = Field(default=False, alias="onDefault")


class FirewallRule(Part):
    """A firewall rule as clients send it."""

    arguments: Arguments = Field(alias="ruleArguments")
    options: Options = Field(Options(), alias="opts")


_REFUSALS: tuple[tuple[Callable[[FirewallRule], object], str], ...] = (
    (lambda rule: rule.options.redirect, "redirect: packets go to a service's endpoints only"),
    (lambda rule: rule.options.trap, "trap: unserved: pass leaves a VIP's packets to the kernel"),
    (lambda rule: rule.options.record, "record: `headrace capture` shows packets"),
    (lambda rule: rule.options.mark, "fwMark: packets to a VIP bear no mark; leave it out"),
    (lambda rule: rule.options.snat, "doSnat: DSR rewrites no address; leave it out"),
    (lambda rule: rule.options.on_default, "onDefault: rules are for services; leave it out"),
    (
        lambda rule: rule.options.drop == rule.options.allow,
        "opts: a rule either drops or allows; set one of the two",
    ),
)
_ARGUMENT_REFUSALS: tuple[tuple[Callable[[Arguments], object], str], ...] = (
    (
        lambda given: given.source_port_min or given.source_port_max not in {0, _PORT_MAX},
        "source ports: clients are told apart by address; leave them out",
    ),
    (
        lambda given: given.interface,
        "portName: a rule is for all interfaces; leave it out",
    ),
    (
        lambda given: given.protocol and given.protocol not in {each.number for each in Protocol},
        "protocol: only 6 (tcp), 17 (udp) and 132 (sctp) are served; use one, or 0 for all",
    ),
    (
        lambda given: not 0 <= given.port_min <= given.port_max <= _PORT_MAX,
        "destination ports: the range must rise within 0..65535",
    ),
)


def add_firewall(route: Route, operator: Operator) -> None:
    """Add the routes about firewall rules."""
    answers = _Firewall(operator)
    route("GET", f"{_PATH}/all", answers.get)
    route("POST", _PATH, answers.post)
    route("DELETE", _PATH, answers.delete)


class _Firewall:
    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def get(self) -> Response:
        """Every rule, once for each service."""
        return answer({"fwAttr": listed_rules(self._operator.document)})

    async def post(self, request: Request) -> Response:
        """Deny or allow some clients."""
        rule = await read_part(request, FirewallRule)
        await self._operator.edit(
            lambda document: put_rule(document, rule), author=author_of(request, "loxilb")
        )
        return success()

    async def delete(self, request: Request) -> Response:
        """Forget a rule."""
        await discard_body(request)
        arguments = read_query(request.query_params)
        await self._operator.edit(
            lambda document: without_rule(document, arguments), author=author_of(request, "loxilb")
        )
        return success()


def read_query(query: Mapping[str, str]) -> Arguments:
    """A rule's arguments from a query; RuleError when they are none."""
    try:
        return Arguments.model_validate(dict(query), strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _malformed(f"{first['loc'][0]}: {first['msg']}") from error


def put_rule(document: Document, rule: FirewallRule) -> Document:
    """The document with some clients denied, or allowed, at the services that a rule selects."""
    for is_refused, reason in _REFUSALS:
        if is_refused(rule):
            raise _malformed(reason)
    source, selected = _selected(document, rule.arguments)
    changed = {}
    for service in selected:
        rules = _rules_of(service)
        if rules.get(source, rule.options.allow) != rule.options.allow:
            text = f"fwrule-exists error: {source} has another action at {service.label}"
            raise RuleError(HTTPStatus.CONFLICT, f"{text}; delete that first")
        _refuse_default(service, source, allow=rule.options.allow)
        if rule.arguments.preference:
            _refuse_preference(rules, source, allow=rule.options.allow)
        changed[service.label] = _with_rules(service, {**rules, source: rule.options.allow})
    if all(changed[each.label] == each for each in selected):
        raise RuleError(HTTPStatus.CONFLICT, RULE_EXISTS)
    return _replaced(document, changed)


def without_rule(document: Document, arguments: Arguments) -> Document:
    """The document without a rule at the services that it selects."""
    source, selected = _selected(document, arguments)
    changed = {
        service.label: _with_rules(
            service, {k: v for k, v in _rules_of(service).items() if k != source}
        )
        for service in selected
        if source in _rules_of(service)
    }
    if not changed:
        raise RuleError(HTTPStatus.NOT_FOUND, "no such fwrule")
    return _replaced(document, changed)


def listed_rules(document: Document) -> list[dict[str, Any]]:
    """The rules as LoxiLB lists them."""
    return [
        {
            "ruleArguments": {
                "sourceIP": str(source),
                "destinationIP": str(service.prefix),
                "protocol": service.protocol.number,
                **(
                    {
                        "minDestinationPort": service.ports[0],
                        "maxDestinationPort": service.ports[-1],
                    }
                    if service.port != "any"
                    else {}
                ),
            },
            "opts": {"allow" if allowed else "drop": True},
        }
        for service in document.services
        for source, allowed in _rules_of(service).items()
    ]


def _selected(document: Document, given: Arguments) -> tuple[IPNetwork, list[Service]]:
    """A rule's source, and the services that it is for."""
    for is_refused, reason in _ARGUMENT_REFUSALS:
        if is_refused(given):
            raise _malformed(reason)
    source, destination = _networks(given)
    selected = []
    for service in document.services:
        if service.prefix.version != source.version or not _overlaps(service, destination, given):
            continue
        if not _is_within(service, destination, given):
            raise _malformed(
                f"a part of {service.label} only: a service is one whole; give its VIP and ports"
            )
        selected.append(service)
    if not selected:
        text = "firewall: no such service; create the load-balancer rule first"
        raise RuleError(HTTPStatus.NOT_FOUND, text)
    return source, selected


def _networks(given: Arguments) -> tuple[IPNetwork, IPNetwork]:
    is_v6 = ":" in given.source or ":" in given.destination
    everybody = _EVERYBODY[6 if is_v6 else 4]
    try:
        source = read_prefix(given.source or everybody)
        destination = read_prefix(given.destination or everybody)
    except ValueError as error:
        raise _malformed(str(error)) from error
    if source.version != destination.version:
        raise _malformed(f"sourceIP {source} is no client of {destination}; use one family")
    return source, destination


def _overlaps(service: Service, destination: IPNetwork, given: Arguments) -> bool:
    ports = range(_PORT_MAX + 1) if service.port == "any" else service.ports
    return (
        given.protocol in {0, service.protocol.number}
        and service.prefix.overlaps(destination)
        and (not given.port_max or (ports[0] <= given.port_max and given.port_min <= ports[-1]))
    )


def _is_within(service: Service, destination: IPNetwork, given: Arguments) -> bool:
    ports = range(1, _PORT_MAX + 1) if service.port == "any" else service.ports
    has_ports = not given.port_max or (given.port_min <= ports[0] and ports[-1] <= given.port_max)
    return has_ports and service.prefix.subnet_of(destination)  # type: ignore[arg-type] # one family


def _everybody(service: Service) -> IPNetwork:
    return read_prefix(_EVERYBODY[service.prefix.version])


def is_closed(service: Service) -> bool:
    """Whether it serves its allowed sources only, by no firewall rule."""
    everybody = _everybody(service)
    return bool(service.sources) and everybody not in {*service.sources, *service.denied_sources}


def _rules_of(service: Service) -> _Rules:
    rules: _Rules = dict.fromkeys(service.denied_sources, False)
    if not is_closed(service):
        rules |= {each: True for each in service.sources if each != _everybody(service)}
    return rules


def _with_rules(service: Service, rules: _Rules) -> Service:
    allowed = [source for source, is_allowed in rules.items() if is_allowed]
    if allowed and _everybody(service) not in rules:
        allowed.append(_everybody(service))  # else nobody but those would be served
    return service.model_copy(
        update={
            "sources": service.sources if is_closed(service) else tuple(allowed),
            "denied_sources": tuple(
                source for source, is_allowed in rules.items() if not is_allowed
            ),
        }
    )


def _refuse_default(service: Service, source: IPNetwork, *, allow: bool) -> None:
    """Refuse what would change, or repeat, what becomes of clients that no rule names."""
    everybody = source == _everybody(service)
    if allow and everybody:
        raise _malformed("allow of all: clients that no rule drops are served; leave it out")
    if is_closed(service) and (allow or everybody):
        text = f"cant modify: {service.label} serves its allowedSources only; change those"
        raise RuleError(HTTPStatus.CONFLICT, text)


def _refuse_preference(rules: _Rules, source: IPNetwork, *, allow: bool) -> None:
    """Refuse a preference where another rule with another action holds some of the clients."""
    for other, is_allowed in rules.items():
        if is_allowed != allow and other.overlaps(source):
            raise _malformed(
                f"preference: {other} has another action, and the longest prefix counts; set it 0"
            )


def _replaced(document: Document, changed: Mapping[str, Service]) -> Document:
    services = tuple(changed.get(each.label, each) for each in document.services)
    edited = document.model_copy(update={"services": services})
    check_document(edited)
    return edited


def _malformed(reason: str) -> RuleError:
    return RuleError(HTTPStatus.BAD_REQUEST, f"malformed firewall rule: {reason}")
