"""LoxiLB's load-balancer rules and our services: one made of the other. Pure.

Field names, texts and their meaning are LoxiLB's, because its clients depend on them: `loxicmd`
shows a text only when it comes with 200, and `kube-loxilb` takes a failed create for a success
when the text has `exist` in it (`bodies.refuse` sees to that).
"""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Any

from pydantic import Field

from headrace.api.bodies import Part, RuleError, parse_body
from headrace.api.edits import with_service, without_services
from headrace.api.loxilb_firewall import is_closed
from headrace.api.probes import ProbeWords, host_checks, rule_health, with_hosts, words_of
from headrace.control.views import EndpointView
from headrace.model import (
    Affinity,
    ConfigError,
    Document,
    Endpoint,
    Health,
    HealthCheck,
    IPAddress,
    OperatorState,
    Problem,
    Protocol,
    Service,
    ServiceKey,
    build_service,
)
from headrace.model.announcing import ROUTE_KEYS
from headrace.model.health import NO_HEALTH

MODE_DSR = 3
SEL_HASH, SEL_PERSIST = 1, 3
OPER_ATTACH, OPER_DETACH = 1, 2
LIMIT_IDLE_S = 86_400

ONLY_HASH = "Error: Only Hash Selection criteria allowed for DSR mode"
RULE_EXISTS = "lbrule-exists error"
NO_RULE = "no-rule error"

_AFFINITIES = {SEL_HASH: Affinity.FLOW, SEL_PERSIST: Affinity.SOURCE_IP}
_NAMES = (
    (re.compile(r"vip$"), "serviceArguments.externalIP"),
    (re.compile(r"(port|protocol|name)$"), r"serviceArguments.\1"),
    (re.compile(r"endpoints(.*)\.address$"), r"endpoints\1.endpointIP"),
    (re.compile(r"sources(\[\d+\])$"), r"allowedSources\1.prefix"),
)
"""Keys of a service by those of the rule that it is made of."""

_MODES = {0: "default (DNAT)", 1: "onearm", 2: "fullnat", 4: "fullproxy", 5: "hostonearm"}


class _Arguments(Part):
    external_ip: str = Field(alias="externalIP")
    port: int
    port_max: int = Field(0, alias="portMax")
    protocol: str = "tcp"
    sel: int = 0
    mode: int = 0
    bgp: bool = Field(default=False, alias="BGP")
    monitor: bool = Field(default=False, alias="Monitor")
    name: str = ""
    oper: int = 0
    private_ip: str = Field("", alias="privateIP")
    probe_type: str = Field("", alias="probetype")
    probe_port: int = Field(0, alias="probeport")
    probe_request: str = Field("", alias="probereq")
    probe_response: str = Field("", alias="proberesp")
    probe_period_s: int = Field(0, alias="probeTimeout")
    probe_retries: int = Field(0, alias="probeRetries")
    security: int = 0
    mark: int = Field(0, alias="block")
    idle_s: int = Field(0, alias="inactiveTimeOut")
    host: str = ""
    proxy_protocol: bool = Field(default=False, alias="proxyprotocolv2")
    egress: bool = False


class RuleEndpoint(Part):
    """An endpoint of a rule."""

    address: str = Field(alias="endpointIP")
    port: int = Field(alias="targetPort")
    weight: int


class _SecondaryIp(Part):
    address: str = Field("", alias="secondaryIP")


class _Source(Part):
    prefix: str = ""


class Rule(Part):
    """A load-balancer rule as clients send it."""

    arguments: _Arguments = Field(alias="serviceArguments")
    endpoints: tuple[RuleEndpoint, ...] = Field((), strict=False)
    secondary_ips: tuple[_SecondaryIp, ...] = Field((), alias="secondaryIPs", strict=False)
    allowed_sources: tuple[_Source, ...] = Field((), alias="allowedSources", strict=False)


_REFUSALS: tuple[tuple[Callable[[Rule], object], str], ...] = (
    (
        lambda rule: rule.arguments.protocol == "icmp",
        "protocol error: pings of a VIP are answered without a rule; leave icmp out",
    ),
    (
        lambda rule: rule.arguments.protocol not in set(Protocol),
        "protocol error: only tcp, udp and sctp are served; use one of them",
    ),
    (
        lambda rule: (
            rule.arguments.port_max and not 1 <= rule.arguments.port <= rule.arguments.port_max
        ),
        "portMax error: the range must begin with port 1 or above and end with portMax",
    ),
    (
        lambda rule: rule.secondary_ips,
        "secondaryIPs error: DSR has no secondary addresses; leave them out",
    ),
    (
        lambda rule: rule.arguments.private_ip,
        "privateIP error: DSR rewrites no address; leave it out",
    ),
    (lambda rule: rule.arguments.mark, "block error: marks are not served; leave it out or 0"),
    (
        lambda rule: rule.arguments.host or rule.arguments.security,
        "L7 error: host and security are not for layer 4; leave them out",
    ),
    (
        lambda rule: rule.arguments.proxy_protocol or rule.arguments.egress,
        "L7 error: proxyprotocolv2 and egress are not for DSR; leave them out",
    ),
    (
        lambda rule: not 0 <= rule.arguments.idle_s <= LIMIT_IDLE_S,
        f"inactiveTimeOut range error: it is not in 0..{LIMIT_IDLE_S}",
    ),
    (
        lambda rule: rule.arguments.oper not in {0, OPER_ATTACH, OPER_DETACH},
        "oper range error: it is not in 0..2",
    ),
    (lambda rule: not rule.endpoints, "endpoints-range error: give at least one endpoint"),
    (
        lambda rule: any(each.port != rule.arguments.port for each in rule.endpoints),
        "dsr-port error: DSR rewrites no port; targetPort must equal port",
    ),
)


def parse_rule(text: str) -> Rule:
    """A rule from a request's body; RuleError when it is not one."""
    return parse_body(text, Rule)


def apply_rule(document: Document, rule: Rule) -> Document:
    """The document with a rule created, replaced, or its endpoints attached or detached."""
    wanted = service_of(rule)
    current = next((each for each in document.services if each.label == wanted.label), None)
    merged = merge_rule(document, rule, wanted, current)
    if merged is None:
        return without_services(document, [wanted.label])
    if merged == current and rule.arguments.oper != OPER_DETACH:
        raise RuleError(HTTPStatus.CONFLICT, RULE_EXISTS)
    return with_service(document, merged, instead_of=current)


def service_of(rule: Rule) -> Service:
    """The service that a rule describes by itself; RuleError when it is not served here."""
    refuse_unserved(rule)
    return _service_of(rule)


def merge_rule(
    document: Document, rule: Rule, wanted: Service, current: Service | None
) -> Service | None:
    """What becomes of the current service by a rule, which describes `wanted`; None: it goes."""
    wanted = _checked(wanted, document, rule.arguments, current)
    if rule.arguments.oper == OPER_DETACH:
        return _detached(current, wanted)
    if current is None:
        return _beside_others(document, wanted)
    if rule.arguments.oper == OPER_ATTACH:
        return _attached(current, wanted)
    return _replaced(current, wanted)


def refuse_unserved(rule: Rule) -> None:
    """Refuse what direct server return, or this version, does not serve, by its name."""
    arguments = rule.arguments
    if arguments.mode != MODE_DSR:
        mode = _MODES.get(arguments.mode, str(arguments.mode))
        raise RuleError(
            HTTPStatus.BAD_REQUEST,
            f"malformed-service mode error: mode {mode} is not served, replies never pass this "
            'load balancer; use dsr (--mode=dsr, in JSON "mode": 3)',
        )
    if arguments.sel not in _AFFINITIES:
        raise RuleError(HTTPStatus.OK, ONLY_HASH)
    for is_unserved, reason in _REFUSALS:
        if is_unserved(rule):
            raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed-service {reason}")


def _checked(
    service: Service, document: Document, arguments: _Arguments, current: Service | None
) -> Service:
    """The service with its check, if the rule asks for one; "none" if it asks for none.

    A rule that is to be checked somehow stays checked as it is.
    """
    kind = arguments.probe_type
    if kind == "none":
        return service.model_copy(update={"health": NO_HEALTH})
    if not kind and not arguments.monitor:
        return service
    if not kind and current is not None and document.check_of(document.pool_of(current)):
        return service
    if not kind:
        service = with_hosts(service, host_checks(document))
    words = ProbeWords(
        kind,
        arguments.probe_port,
        arguments.probe_request,
        arguments.probe_response,
        arguments.probe_period_s,
        arguments.probe_retries,
    )
    check = rule_health(words, arguments.protocol, arguments.port)
    return service.model_copy(update={"health": check})


def rule_of(service: Service, check: HealthCheck | None) -> dict[str, Any]:
    """A service as LoxiLB lists it, but for its endpoints: `listed_endpoints` has its pool's."""
    ports = service.ports
    arguments: dict[str, Any] = {
        "externalIP": str(service.vip),
        "port": ports[0],
        "protocol": str(service.protocol),
        "sel": SEL_PERSIST if service.affinity is Affinity.SOURCE_IP else SEL_HASH,
        "mode": MODE_DSR,
    }
    if len(ports) > 1:
        arguments["portMax"] = ports[-1]
    if service.announce:
        arguments["bgp"] = True
    if service.name:
        arguments["name"] = service.name
    if check is not None:
        arguments |= words_of(check)
    return {
        "serviceArguments": arguments,
        "secondaryIPs": None,
        "allowedSources": [{"prefix": str(each)} for each in service.sources] or None,
        "endpoints": [],
    }


def _service_of(rule: Rule) -> Service:
    arguments = rule.arguments
    raw: dict[str, object] = {
        "name": arguments.name or None,
        "vip": arguments.external_ip,
        "protocol": arguments.protocol,
        "port": _ports_of(arguments),
        "endpoints": [
            {"address": endpoint.address, "weight": endpoint.weight} for endpoint in rule.endpoints
        ],
        "affinity": _AFFINITIES[arguments.sel],
        "announce": arguments.bgp,
    }
    if rule.allowed_sources:
        raw["sources"] = list(dict.fromkeys(each.prefix for each in rule.allowed_sources))
    try:
        return build_service(raw)
    except ConfigError as error:
        raise ConfigError([_as_sent(each) for each in error.problems]) from error


def _as_sent(problem: Problem) -> Problem:
    """A problem of the service as one of the rule that it was made of."""
    for ours, theirs in _NAMES:
        if found := ours.match(problem.path):
            return Problem(found.expand(theirs), problem.message)
    return problem


def _ports_of(arguments: _Arguments) -> int | str:
    if arguments.port_max not in {0, arguments.port}:
        return f"{arguments.port}-{arguments.port_max}"
    return arguments.port or "any"


def _beside_others(document: Document, wanted: Service) -> Service:
    """A new rule: what a rule cannot say of its VIP is as in the VIP's other services."""
    for each in document.services:
        if each.vip == wanted.vip:
            kept = {key: getattr(each, key) for key in ("unserved", *ROUTE_KEYS)}
            return wanted.model_copy(update=kept)
    return wanted


def _replaced(current: Service, wanted: Service) -> Service:
    """The rule as asked for; what a rule cannot say stays as the operator has it."""
    _refuse_shared(current)
    kept = _by_address(current)
    endpoints = [
        _as_before(endpoint, kept.get(endpoint.address), keeps_check=wanted.health is None)
        for endpoint in wanted.endpoints or ()
    ]
    if {each.address: each for each in endpoints} == kept and len(endpoints) == len(kept):
        endpoints = list(current.endpoints or ())  # another order is not a change
    ours = current.affinity is Affinity.DESTINATION_PORT and wanted.affinity is Affinity.FLOW
    # A rule that names no sources leaves a firewall's, which let the others in.
    keeps_sources = not wanted.sources and not is_closed(current)
    same_sources = keeps_sources or set(wanted.sources) == set(current.sources)
    return current.model_copy(
        update={
            "name": wanted.name,
            "endpoints": tuple(endpoints),
            "affinity": current.affinity if ours else wanted.affinity,
            "sources": current.sources if same_sources else wanted.sources,
            "announce": wanted.announce,
            "health": _health_after(current, wanted),
        }
    )


def _health_after(current: Service, wanted: Service) -> str | HealthCheck | None:
    """A rule that says nothing of checks leaves them."""
    if wanted.health is None or (wanted.health == NO_HEALTH and current.health is None):
        return current.health
    ours, theirs = current.health, wanted.health
    if isinstance(ours, HealthCheck) and isinstance(theirs, HealthCheck):
        # What LoxiLB has no words for is as the operator has it.
        return ours if words_of(ours) == words_of(theirs) else theirs
    return theirs


def _as_before(endpoint: Endpoint, before: Endpoint | None, *, keeps_check: bool) -> Endpoint:
    if before is None:
        return endpoint
    health = before.health if keeps_check else endpoint.health
    return before.model_copy(update={"weight": endpoint.weight, "health": health})


def _refuse_shared(current: Service) -> None:
    if current.pool is not None:
        raise RuleError(
            HTTPStatus.CONFLICT,
            f"cant modify: {current.label} uses the shared pool {current.pool}; "
            "change the document",
        )


def _attached(current: Service, wanted: Service) -> Service:
    """The rule with endpoints added, or their weights changed."""
    merged = _by_address(current) | _by_address(wanted)
    both = wanted.model_copy(
        update={
            "endpoints": tuple(merged.values()),
            "announce": wanted.announce or current.announce,
            "name": wanted.name or current.name,
            "sources": wanted.sources or current.sources,
        }
    )
    return _replaced(current, both)


def _detached(current: Service | None, wanted: Service) -> Service | None:
    """The rule with endpoints taken from it; None when they were the last."""
    if current is None:
        raise RuleError(HTTPStatus.NOT_FOUND, "lbrule not-exists error")
    _refuse_shared(current)
    gone = _by_address(wanted)
    kept = tuple(each for each in current.endpoints or () if each.address not in gone)
    return current.model_copy(update={"endpoints": kept}) if kept else None


def _by_address(service: Service) -> dict[IPAddress, Endpoint]:
    return {endpoint.address: endpoint for endpoint in service.endpoints or ()}


def listed_endpoints(views: Iterable[EndpointView], port: int) -> list[dict[str, Any]]:
    """The endpoints of a rule as LoxiLB lists them."""
    return [_listed_endpoint(view, port) for view in views]


def _listed_endpoint(view: EndpointView, port: int) -> dict[str, Any]:
    active = (
        view.reachable and view.state == OperatorState.ACTIVE and view.health is not Health.DOWN
    )
    return {
        "endpointIP": str(view.address),
        "targetPort": port,
        "weight": view.weight,
        "state": "active" if active else "inactive",
        "counter": f"{view.sent.packets}:{view.sent.bytes}",
    }


def rule_label(address: str, port: str, port_max: str, protocol: str) -> str:
    """The label of the service that a path names; RuleError when no rule can be meant."""
    try:
        vip = ip_network(address) if "/" in address else ip_address(address)
        key = ServiceKey(vip, Protocol(protocol), int(port))
        return key.label_to(int(port_max) or key.port)
    except ValueError as error:
        raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE) from error
