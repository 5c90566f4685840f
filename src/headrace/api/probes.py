"""LoxiLB's ways to check endpoints and ours: one made of the other. Pure.

LoxiLB has a check for each host. It is kept under `health` by the name `HOST/NAME`, and used for
the host in every rule that lists it and is not checked yet.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import Field

from headrace.api.bodies import Part, RuleError
from headrace.api.drains import with_endpoints
from headrace.control.views import EndpointView, PoolView
from headrace.model import (
    ConfigError,
    Document,
    Endpoint,
    Health,
    HealthCheck,
    IPAddress,
    OperatorState,
    ProbeKind,
    ProbePath,
    Problem,
    Service,
    build_health,
    check_document,
)
from headrace.model.fields import read_address

LIMIT_RETRIES = 100
LIMIT_PERIOD_S = 86_400

NO_HOST = "host-notfound error"
REFERRED = "endpoint error: LB Rule-referred"

_BY_PROTOCOL = {"tcp": "tcp", "udp": "ping", "sctp": "sctp"}  # what LoxiLB asks if not told how
_WEB = (ProbeKind.HTTP, ProbeKind.HTTPS)
HOST_STATES = {
    "green": OperatorState.ACTIVE,
    "yellow": OperatorState.DRAINING,
    "red": OperatorState.DISABLED,
}


@dataclass(frozen=True, slots=True)
class ProbeWords:
    """A check in LoxiLB's words; 0 and nothing mean its defaults, for which we take ours."""

    kind: str
    port: int = 0
    request: str = ""
    response: str = ""
    period_s: int = 0
    retries: int = 0


class HostProbe(Part):
    """A host to check, as clients send it."""

    host: str = Field(alias="hostName")
    name: str = ""
    retries: int = Field(0, alias="inactiveReTries")
    kind: str = Field("", alias="probeType")
    request: str = Field("", alias="probeReq")
    response: str = Field("", alias="probeResp")
    period_s: int = Field(0, alias="probeDuration")
    port: int = Field(0, alias="probePort")


class HostState(Part):
    """What is asked of a host by hand."""

    host: str = Field(alias="hostName")
    port: int = Field(0, alias="epPort")
    protocol: str = Field("", alias="epProto")
    state: str = ""


def health_of(words: ProbeWords, path: ProbePath) -> HealthCheck:
    """The check that these words mean. Raises RuleError for what no check has."""
    if not 0 <= words.retries <= LIMIT_RETRIES:
        raise _bad(f"retries are not in 0..{LIMIT_RETRIES}")
    if not 0 <= words.period_s <= LIMIT_PERIOD_S:
        raise _bad(f"period is not in 0..{LIMIT_PERIOD_S}")
    raw: dict[str, object] = {"kind": words.kind, "path": path}
    if words.period_s:
        raw["interval_s"] = float(words.period_s)
    if words.retries:
        raw |= {"rise": 1, "fall": words.retries}  # one good answer is believed there
    if words.port and words.kind != ProbeKind.PING:
        raw["port"] = words.port
    if words.kind in _WEB:
        raw["resource"] = "/" + words.request.removeprefix("/")
        raw["body"] = words.response
    elif words.kind == ProbeKind.UDP:
        raw |= {"request": words.request, "response": words.response}
    elif words.request or words.response:
        raise _bad(f"probereq and proberesp are for http, https and udp, not {words.kind}")
    try:
        return build_health(raw)
    except ConfigError as error:
        raise _bad("; ".join(map(_told, error.problems))) from error


def rule_health(words: ProbeWords, protocol: str, port: int) -> HealthCheck:
    """The check of a rule's endpoints; without a type it is asked by the rule's protocol.

    It goes the way of clients' packets, but to a port that clients do not use: that is the host's.
    """
    if not words.kind:
        words = ProbeWords(
            _BY_PROTOCOL[protocol],
            words.port,
            words.request,
            words.response,
            words.period_s,
            words.retries,
        )
    is_other = words.port not in {0, port} and words.kind != ProbeKind.PING
    if words.port == port:
        words = ProbeWords(
            words.kind, 0, words.request, words.response, words.period_s, words.retries
        )
    return health_of(words, ProbePath.DIRECT if is_other else ProbePath.TUNNEL)


def words_of(check: HealthCheck) -> dict[str, Any]:
    """The keys of a rule that say how it is checked; those at their defaults are left out."""
    request = check.resource.removeprefix("/") if check.kind in _WEB else check.request
    response = check.body if check.kind in _WEB else check.response
    words = {
        "monitor": True,
        "probetype": str(check.kind),
        "probeport": check.port or 0,
        "probereq": request,
        "proberesp": response,
        "probeTimeout": int(check.interval_s),
        "probeRetries": check.fall,
    }
    return {key: value for key, value in words.items() if value}


def put_host(document: Document, probe: HostProbe) -> Document:
    """The document with a host's check added or replaced, and used where none is."""
    address = _read_host(probe.host)
    words = ProbeWords(
        probe.kind or "ping",
        probe.port,
        probe.request,
        probe.response,
        probe.period_s,
        probe.retries,
    )
    check = health_of(words, ProbePath.DIRECT)
    key = _key(address, probe.name, str(check.kind), probe.port)
    services = tuple(
        each if each.health is not None else with_hosts(each, {address: key})
        for each in document.services
    )
    changed = document.model_copy(
        update={"health": {**document.health, key: check}, "services": services}
    )
    check_document(changed)
    return changed


def with_hosts(service: Service, checks: Mapping[IPAddress, str]) -> Service:
    """The service with these checks of hosts, of those of its endpoints that have none."""
    if service.endpoints is None:
        return service
    endpoints = tuple(
        each.model_copy(update={"health": checks[each.address]})
        if each.health is None and each.address in checks
        else each
        for each in service.endpoints
    )
    return service.model_copy(update={"endpoints": endpoints})


def host_checks(document: Document) -> dict[IPAddress, str]:
    """The name of a check of each host that has one; of several, the first."""
    checks: dict[IPAddress, str] = {}
    for key in document.health:
        host, slash, _ = key.partition("/")
        with suppress(ValueError):  # an operator's name, which may have a slash, too
            if slash:
                checks.setdefault(read_address(host), key)
    return checks


def checks_in_use(document: Document) -> set[object]:
    """The names of checks that pools, services and endpoints choose, among what else they do."""
    used: set[object] = {service.health for service in document.services}
    used |= {pool.health for pool in document.pools.values()}
    for pool in document.all_pools().values():
        used |= {endpoint.health for endpoint in pool.endpoints}
    return used


def without_host(document: Document, host: str, name: str, kind: str, port: str) -> Document:
    """The document without a host's check. Raises RuleError while a rule uses it, or without it."""
    address = _read_host(host)
    key = _key(address, name, kind or "ping", int(port) if port.isdecimal() else 0)
    if key in checks_in_use(document):
        raise RuleError(HTTPStatus.CONFLICT, REFERRED)
    if key not in document.health:
        if any(_lists(each.endpoints, address) for each in document.services):
            raise RuleError(HTTPStatus.CONFLICT, REFERRED)
        raise RuleError(HTTPStatus.NOT_FOUND, NO_HOST)
    rest = {name: check for name, check in document.health.items() if name != key}
    return document.model_copy(update={"health": rest})


def put_state(document: Document, wish: HostState) -> Document:
    """The document with what is asked of a host, in the pools of the rules that are meant."""
    address = _read_host(wish.host)
    if wish.state not in HOST_STATES:
        raise _bad(f"state {wish.state!r} is none of {', '.join(HOST_STATES)}")
    if bool(wish.port) != bool(wish.protocol):
        raise _bad("epPort and epProto go together; give both or neither")
    pools = {
        each.pool_name
        for each in document.services
        if not wish.port or (wish.port in each.ports and wish.protocol == str(each.protocol))
        if _lists(document.pool_of(each).endpoints, address)
    }
    if not pools:
        raise RuleError(HTTPStatus.NOT_FOUND, NO_HOST)
    state = HOST_STATES[wish.state]
    update: dict[str, object] = {"state": state}
    if state is not OperatorState.DRAINING:
        update["drain_timeout_s"] = None  # of a drain that is over

    def put(endpoint: Endpoint, pool: str) -> Endpoint:
        is_meant = pool in pools and endpoint.address == address
        return endpoint.model_copy(update=update) if is_meant else endpoint

    return with_endpoints(document, put)


def hosts_of(document: Document, views: Iterable[PoolView]) -> list[dict[str, Any]]:
    """Every host that is checked, or is to be once a rule lists it, as LoxiLB lists them."""
    listed: dict[tuple[str, str], dict[str, Any]] = {}
    states = {
        pool.name: {str(each.address): _state(each) for each in pool.endpoints} for pool in views
    }
    state = {host: known for pool in states.values() for host, known in pool.items()}
    for key, check in document.health.items():
        host, slash, name = key.partition("/")
        if slash:
            usual = f"{check.kind}_{check.port or 0}"
            told = f"{host}_{usual}" if name == usual else name
            listed[host, told] = _listed(host, told, check, state.get(host, "ok"))
    # Many services share few pools; those of one port are checked alike.
    alike = {(each.pool_name, each.ports[0]): each for each in document.services}
    for service in alike.values():
        known = states.get(service.pool_name, {})
        for host, rule_check in _checks_of_rule(document, service):
            told = f"{host}_{rule_check.kind}_{rule_check.port or service.ports[0]}"
            listed.setdefault((host, told), _listed(host, told, rule_check, known.get(host, "ok")))
    return list(listed.values())


def _checks_of_rule(document: Document, service: Service) -> Iterator[tuple[str, HealthCheck]]:
    """The hosts of a rule that are checked in a way of the rule's, or of their own, not a named."""
    pool = document.pool_of(service)
    for endpoint in pool.endpoints:
        choice = service.health if endpoint.health is None else endpoint.health
        check = None if isinstance(choice, str) else document.check_of(pool, endpoint)
        if check is not None:
            yield str(endpoint.address), check


def _listed(host: str, name: str, check: HealthCheck, state: str) -> dict[str, Any]:
    words = words_of(check)
    return {
        "hostName": host,
        "name": name,
        "inactiveReTries": check.fall,
        "probeType": str(check.kind),
        "probeReq": words.get("probereq", ""),
        "probeResp": words.get("proberesp", ""),
        "probeDuration": int(check.interval_s),
        "probePort": check.port or 0,
        "minDelay": "",
        "avgDelay": "",
        "maxDelay": "",
        "currState": state,
    }


def _state(view: EndpointView) -> str:
    if view.state == OperatorState.DISABLED:
        return "red"
    return "nok" if view.health is Health.DOWN or not view.reachable else "ok"


def _lists(endpoints: tuple[Endpoint, ...] | None, address: IPAddress) -> bool:
    return any(each.address == address for each in endpoints or ())


def _key(address: IPAddress, name: str, kind: str, port: int) -> str:
    usual = f"{kind}_{port}"
    return f"{address}/{usual if name in {'', f'{address}_{usual}'} else name}"


def _read_host(text: str) -> IPAddress:
    try:
        return read_address(text)
    except ValueError as error:
        raise _bad(str(error)) from error


def _told(problem: Problem) -> str:
    return f"{problem.path}: {problem.message}"


def _bad(text: str) -> RuleError:
    return RuleError(HTTPStatus.BAD_REQUEST, f"malformed endpoint probe: {text}")
