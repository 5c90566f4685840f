"""LoxiLB's load-balancer rules and our services: one made of the other. Pure.

Field names, texts and their meaning are LoxiLB's, because its clients depend on them: `loxicmd`
shows a text only when it comes with 200, and `kube-loxilb` takes a failed create for a success
when the text has `exist` in it (`refuse` sees to that).
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.api.edits import with_service, without_services
from headrace.control.views import EndpointView, ServiceView
from headrace.model import (
    ConfigError,
    Document,
    Endpoint,
    IPAddress,
    LbError,
    OperatorState,
    Service,
    ServiceKey,
    build_service,
    parse_values,
)

MODE_DSR = 3
SEL_HASH = 1
OPER_ATTACH, OPER_DETACH = 1, 2
LIMIT_IDLE_S = 86_400

ONLY_HASH = "Error: Only Hash Selection criteria allowed for DSR mode"
RULE_EXISTS = "lbrule-exists error"
NO_RULE = "no-rule error"

_MODES = {0: "default (DNAT)", 1: "onearm", 2: "fullnat", 4: "fullproxy", 5: "hostonearm"}

# Codes above 600 are those of the library that LoxiLB's server is made with; their status is 422.
_CODE_REQUIRED = 602
_DEPTH = 4  # of a rule; what is nested deeper is no key of it


class RuleError(LbError):
    """A request that LoxiLB would answer with this status, code and text."""

    def __init__(self, status: HTTPStatus, result: str, *, code: int | None = None) -> None:
        self.status = status
        self.code = status.value if code is None else code
        super().__init__(result)


class _Part(BaseModel):
    """Keys come in any case and are compared in lower case; unknown ones are nobody's business."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Arguments(_Part):
    external_ip: str = Field(alias="externalip")
    port: int
    port_max: int = Field(0, alias="portmax")
    protocol: str = "tcp"
    sel: int = 0
    mode: int = 0
    bgp: bool = False
    monitor: bool = False
    name: str = ""
    oper: int = 0
    private_ip: str = Field("", alias="privateip")
    probe_type: str = Field("", alias="probetype")
    security: int = 0
    mark: int = Field(0, alias="block")
    idle_s: int = Field(0, alias="inactivetimeout")
    host: str = ""
    proxy_protocol: bool = Field(default=False, alias="proxyprotocolv2")
    egress: bool = False


class _RuleEndpoint(_Part):
    address: str = Field(alias="endpointip")
    port: int = Field(alias="targetport")
    weight: int


class _SecondaryIp(_Part):
    address: str = Field("", alias="secondaryip")


class _Source(_Part):
    prefix: str = ""


class Rule(_Part):
    """A load-balancer rule as clients send it."""

    arguments: _Arguments = Field(alias="servicearguments")
    endpoints: tuple[_RuleEndpoint, ...] = Field((), strict=False)
    secondary_ips: tuple[_SecondaryIp, ...] = Field((), alias="secondaryips", strict=False)
    allowed_sources: tuple[_Source, ...] = Field((), alias="allowedsources", strict=False)


_REFUSALS: tuple[tuple[Callable[[Rule], object], str], ...] = (
    (
        lambda rule: rule.arguments.protocol not in {"tcp", "udp"},
        "protocol error: only tcp and udp are served; use one of them",
    ),
    (
        lambda rule: rule.arguments.port_max not in {0, rule.arguments.port},
        "portmax error: port ranges are not served; create a rule for each port",
    ),
    (
        lambda rule: rule.arguments.monitor or rule.arguments.probe_type not in {"", "none"},
        "probe error: health checks are not served by this version; leave monitor out",
    ),
    (
        lambda rule: rule.allowed_sources,
        "allowedSources error: source filters are not served; leave them out",
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
    try:
        return Rule.model_validate(_plain(parse_values(text)))
    except ConfigError as error:
        raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed body: {error}") from error
    except ValidationError as error:
        raise _schema_error(error) from error


def apply_rule(document: Document, rule: Rule) -> Document:
    """The document with a rule created, replaced, or its endpoints attached or detached."""
    refuse_unserved(rule)
    wanted = _service_of(rule)
    current = next((each for each in document.services if each.key == wanted.key), None)
    match rule.arguments.oper:
        case 2:  # OPER_DETACH
            return _detach(document, current, wanted)
        case 1 if current is not None:  # OPER_ATTACH
            wanted = _attached(current, wanted)
        case _:
            wanted = _replaced(current, wanted)
    if wanted == current:
        raise RuleError(HTTPStatus.CONFLICT, RULE_EXISTS)
    return with_service(document, wanted, instead_of=current)


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
    if arguments.sel != SEL_HASH:
        raise RuleError(HTTPStatus.OK, ONLY_HASH)
    for is_unserved, reason in _REFUSALS:
        if is_unserved(rule):
            raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed-service {reason}")


def rule_of(service: Service, view: ServiceView | None) -> dict[str, Any]:
    """A service as LoxiLB lists it; endpoints of a shared pool are listed like its own."""
    arguments: dict[str, Any] = {
        "externalIP": str(service.vip),
        "port": service.key.port,
        "protocol": str(service.protocol),
        "sel": SEL_HASH,
        "mode": MODE_DSR,
    }
    if service.announce:
        arguments["bgp"] = True
    if service.name:
        arguments["name"] = service.name
    endpoints = view.endpoints if view is not None else ()
    return {
        "serviceArguments": arguments,
        "secondaryIPs": None,
        "allowedSources": None,
        "endpoints": [_listed_endpoint(each, service.key.port) for each in endpoints],
    }


def refuse(status: HTTPStatus, text: str) -> RuleError:
    """An error whose text no client takes for a success."""
    if status is not HTTPStatus.CONFLICT:
        text = re.sub("exists?", "is there", text)
    return RuleError(status, text)


def _service_of(rule: Rule) -> Service:
    arguments = rule.arguments
    return build_service(
        {
            "name": arguments.name or None,
            "vip": arguments.external_ip,
            "protocol": arguments.protocol,
            "port": arguments.port or "any",
            "endpoints": [
                {"address": endpoint.address, "weight": endpoint.weight}
                for endpoint in rule.endpoints
            ],
            "announce": arguments.bgp,
        }
    )


def _replaced(current: Service | None, wanted: Service) -> Service:
    """The rule as asked for; what a rule cannot say stays as the operator has it."""
    if current is None:
        return wanted
    if current.pool is not None:
        raise RuleError(
            HTTPStatus.CONFLICT,
            f"cant modify: {current.key} uses the shared pool {current.pool}; change the document",
        )
    kept = _by_address(current)
    endpoints = [
        endpoint.model_copy(update={"state": kept[endpoint.address].state})
        if endpoint.address in kept
        else endpoint
        for endpoint in wanted.endpoints or ()
    ]
    if {each.address: each for each in endpoints} == kept and len(endpoints) == len(kept):
        endpoints = list(current.endpoints or ())  # another order is not a change
    return wanted.model_copy(update={"endpoints": tuple(endpoints)})


def _attached(current: Service, wanted: Service) -> Service:
    """The rule with endpoints added, or their weights changed."""
    merged = _by_address(current) | _by_address(wanted)
    both = wanted.model_copy(
        update={
            "endpoints": tuple(merged.values()),
            "announce": wanted.announce or current.announce,
            "name": wanted.name or current.name,
        }
    )
    return _replaced(current, both)


def _detach(document: Document, current: Service | None, wanted: Service) -> Document:
    """The document with endpoints taken from a rule; without the rule when it was the last."""
    if current is None:
        raise RuleError(HTTPStatus.NOT_FOUND, "lbrule not-exists error")
    gone = _by_address(wanted)
    kept = tuple(each for each in current.endpoints or () if each.address not in gone)
    if kept == current.endpoints:
        return document
    if not kept and current.pool is None:
        return without_services(document, [current.key])
    rest = wanted.model_copy(update={"endpoints": kept, "announce": current.announce})
    rest = rest.model_copy(update={"name": current.name})
    return with_service(document, _replaced(current, rest), instead_of=current)


def _by_address(service: Service) -> dict[IPAddress, Endpoint]:
    return {endpoint.address: endpoint for endpoint in service.endpoints or ()}


def _listed_endpoint(view: EndpointView, port: int) -> dict[str, Any]:
    active = view.reachable and view.state == OperatorState.ACTIVE
    return {
        "endpointIP": str(view.address),
        "targetPort": port,
        "weight": view.weight,
        "state": "active" if active else "inactive",
        "counter": f"{view.sent.packets}:{view.sent.bytes}",
    }


def _plain(value: object, depth: int = _DEPTH) -> object:
    """Values as Go reads them: keys in any case, null the same as left out."""
    if depth and isinstance(value, Mapping):
        return {
            str(key).lower(): _plain(inner, depth - 1)
            for key, inner in value.items()
            if inner is not None
        }
    if depth and isinstance(value, list):
        return [_plain(inner, depth - 1) for inner in value]
    return value


def _schema_error(error: ValidationError) -> RuleError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        text = f"{field} in body is required"
        return RuleError(HTTPStatus.UNPROCESSABLE_ENTITY, text, code=_CODE_REQUIRED)
    return RuleError(HTTPStatus.BAD_REQUEST, f"malformed body: {field}: {first['msg']}")


def rule_key(address: str, port: str, protocol: str) -> ServiceKey:
    """The key that a path names; RuleError with LoxiLB's text when no rule can have it."""
    try:
        host = f"[{address}]" if ":" in address else address
        return ServiceKey.of_text(f"{host}:{'any' if port == '0' else port}/{protocol}")
    except ValueError as error:
        raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE) from error
