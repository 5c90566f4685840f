"""LoxiLB's REST API, `/netlox/v1`, for clients that were made for LoxiLB.

Only what its clients need to drive a load balancer with direct server return: rules, and honest
answers to the rest. Deleting a rule withdraws it whatever the request says about BGP: LoxiLB keeps
announcing an address that it no longer serves.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from headrace import __version__
from headrace.api import loxilb_bgp, probes
from headrace.api.answers import TooLargeError, author_of, discard_body, read_body, status_of
from headrace.api.bodies import RuleError, refuse
from headrace.api.edits import without_services
from headrace.api.host import Host
from headrace.api.loxilb_answers import (
    LIMIT_BODY_BYTES,
    Answer,
    Route,
    answer,
    error,
    read_part,
    success,
)
from headrace.api.loxilb_files import add_files
from headrace.api.loxilb_firewall import add_firewall
from headrace.api.loxilb_host import add_host
from headrace.api.loxilb_metrics import add_metrics
from headrace.api.loxilb_policies import add_policies
from headrace.api.rule_list import RuleList
from headrace.api.rules import NO_RULE, apply_rule, parse_rule, rule_label
from headrace.control.ports import Operator
from headrace.model import ConfigError, Document, LbError

PREFIX = "/netlox/v1"

_RULE = "/config/loadbalancer"
_ADDRESS = "externalipaddress/{address:path}/port/{port}"

_EMPTY_LISTS = {
    "/config/ipv4address/all": "ipAttr",
    "/config/neighbor/all": "neighborAttr",
    "/config/fdb/all": "fdbAttr",
    "/config/vlan/all": "vlanAttr",
    "/config/tunnel/vxlan/all": "vxlanAttr",
    "/config/session/all": "sessionAttr",
    "/config/sessionulcl/all": "ulclAttr",
    "/config/policy/all": "polAttr",
    "/config/mirror/all": "mirrAttr",
    "/config/cors/all": "corsAttr",
}
"""Lists of what is not here; clients read them without asking whether it is served."""


_GROUPS = (
    "/config/{rest:path}",
    "/status/{rest:path}",
    "/metrics/{rest:path}",
    "/auth/{rest:path}",
    "/oauth/{rest:path}",
    "/nodegraph/{rest:path}",
    "/sni/{rest:path}",
    "/logs",
    "/log-archives",
    "/log-archives/{rest:path}",
)
"""Where LoxiLB has more than is served here: what is asked there is told to be so."""

_REMEDIES = {
    "/config/cors": "no web page from elsewhere may ask, see docs/decisions/0008",
    "/config/route": "the kernel's routes are used as they are; add it by `ip route`",
    "/logs": "its log is the service manager's, as `journalctl -u headrace`",
    "/log-archives": "its log is the service manager's, as `journalctl -u headrace`",
    "/auth": "`headrace token create` makes tokens",
    "/oauth": "`headrace token create` makes tokens",
    "/nodegraph": "GET /v1/status has services and endpoints",
    "/sni": "TLS ends at the endpoints",
}


def build_loxilb(operator: Operator, host: Host) -> APIRouter:
    """The routes of `/netlox/v1`."""
    loxilb = _Loxilb(operator)
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    def route(method: str, path: str, answers: Answer) -> None:
        router.add_api_route(path, answers, methods=[method])

    for root in ("", "/"):
        route("GET", root, loxilb.alive)
    route("GET", "/version", loxilb.version)
    route("POST", _RULE, loxilb.post_rule)
    route("GET", f"{_RULE}/all", loxilb.get_rules)
    route("DELETE", f"{_RULE}/all", loxilb.delete_all)
    route("DELETE", f"{_RULE}/name/{{name:path}}", loxilb.delete_named)
    for first in ("", "hosturl/{host}/"):
        for last in ("", "/portmax/{port_max}"):
            path = f"{_RULE}/{first}{_ADDRESS}{last}/protocol/{{protocol}}"
            route("DELETE", path, loxilb.delete_rule)
    _add_bgp(route, loxilb)
    route("GET", "/config/endpoint/all", loxilb.get_hosts)
    route("POST", "/config/endpoint", loxilb.post_host)
    route("POST", "/config/endpointhoststate", loxilb.post_host_state)
    route("DELETE", "/config/endpoint/epipaddress/{address}", loxilb.delete_host)
    add_host(route, operator, host)
    add_metrics(route, operator)
    add_files(route, operator)
    add_firewall(route, operator)
    add_policies(route, operator)
    for path, name in _EMPTY_LISTS.items():
        route("GET", path, _empty_list(name))
    for path in _GROUPS:
        router.add_api_route(path, _not_served, methods=["GET", "POST", "PUT", "DELETE"])
    return router


def _add_bgp(route: Route, loxilb: "_Loxilb") -> None:
    """The routes about BGP, BFD and the node's role."""
    route("GET", "/config/bgp/neigh/all", loxilb.get_neighbours)
    route("POST", "/config/bgp/neigh", loxilb.post_neighbour)
    route("DELETE", "/config/bgp/neigh/{address}", loxilb.delete_neighbour)
    route("POST", "/config/bgp/global", loxilb.post_global)
    route("GET", "/config/cistate/all", loxilb.get_cistate)
    route("POST", "/config/cistate", loxilb.post_cistate)
    route("GET", "/config/bfd/all", loxilb.get_bfd)
    route("POST", "/config/bfd", loxilb.post_bfd)
    route("DELETE", "/config/bfd/remoteIP/{address}", loxilb.delete_bfd)


def is_loxilb(request: Request) -> bool:
    """Whether a request is for this API, so that errors read as its clients expect."""
    return request.url.path.startswith(PREFIX)


def answer_error(failure: LbError) -> Response:
    """Any error in LoxiLB's shape, on one line; several problems also one by one."""
    lines: list[str] = []
    if not isinstance(failure, RuleError):
        bad = isinstance(failure, ConfigError | TooLargeError)
        told = refuse(HTTPStatus.BAD_REQUEST if bad else status_of(failure), str(failure))
        lines = str(told).split("\n")
        failure = RuleError(told.status, "; ".join(lines))
    if failure.status is HTTPStatus.OK:
        return answer({"result": str(failure)})
    return error(failure.status, failure.code, str(failure), lines)


def answer_text(status: HTTPStatus, text: str) -> Response:
    """An error that no route has answered, in LoxiLB's shape."""
    return error(status, status.value, text)


def answer_options(headers: Mapping[str, str]) -> Response:
    """What a path takes, to one who asks by OPTIONS; a browser is not told that it may."""
    told = success()
    told.headers.update(headers)
    return told


class _Loxilb:
    """Answers requests by asking the operator's port."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._rules = RuleList()
        # A document keeps the role that it means; `kube-loxilb` sends it before there is a bgp
        # section to keep it in. Empty after a start: then the role is listed by its usual name.
        self._cistate = ""

    async def alive(self) -> Response:
        """What `kube-loxilb` asks every two seconds."""
        return success()

    async def version(self) -> Response:
        """The program that answers."""
        return answer({"version": __version__, "buildInfo": "headrace"})

    async def post_rule(self, request: Request) -> Response:
        """Create or replace a rule, or attach or detach its endpoints."""
        rule = parse_rule(await read_body(request, LIMIT_BODY_BYTES))
        await self._edit(request, lambda document: apply_rule(document, rule))
        return success()

    async def get_rules(self) -> Response:
        """Every service as a rule."""
        status, document = self._operator.status(), self._operator.document
        written = await self._rules.write(document, status.services)
        return Response(written, media_type="application/json")

    async def delete_all(self, request: Request) -> Response:
        """Remove every service."""
        await discard_body(request)
        await self._edit(
            request,
            lambda document: without_services(document, [each.label for each in document.services]),
        )
        return success()

    async def delete_named(self, request: Request, name: str) -> Response:
        """Remove every service of this name; that there is none is a success as well."""
        await discard_body(request)
        await self._edit(
            request,
            lambda document: without_services(
                document, [each.label for each in document.services if each.name == name]
            ),
        )
        return success()

    async def delete_rule(self, request: Request) -> Response:
        """Remove one rule, whichever of the four shapes of the path names it."""
        await discard_body(request)
        parts = {"host": "any", "port_max": "0"} | request.path_params
        label = rule_label(parts["address"], parts["port"], parts["port_max"], parts["protocol"])
        if parts["host"] != "any" or request.query_params.get("block", "0") != "0":
            raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE)
        await self._edit(request, lambda document: _without_rule(document, label))
        return success()

    async def get_hosts(self) -> Response:
        """The hosts that are checked."""
        views = self._operator.status().pools
        return answer({"Attr": probes.hosts_of(self._operator.document, views)})

    async def post_host(self, request: Request) -> Response:
        """Check a host, or check it otherwise."""
        probe = await read_part(request, probes.HostProbe)
        return await self._change(request, lambda document: probes.put_host(document, probe))

    async def post_host_state(self, request: Request) -> Response:
        """Have a host take flows, drain, or get nothing."""
        wish = await read_part(request, probes.HostState)
        return await self._change(request, lambda document: probes.put_state(document, wish))

    async def delete_host(self, request: Request, address: str) -> Response:
        """Check a host no longer."""
        await discard_body(request)
        query = request.query_params
        told = [query.get(key, "") for key in ("name", "probe_type", "probe_port")]
        return await self._change(
            request, lambda document: probes.without_host(document, address, *told)
        )

    async def get_neighbours(self) -> Response:
        """The BGP peers."""
        peers = self._operator.status().peers
        return answer({"bgpNeiAttr": [loxilb_bgp.listed_neighbour(peer) for peer in peers]})

    async def post_neighbour(self, request: Request) -> Response:
        """Have a BGP peer; again is the same as once."""
        neighbour = await read_part(request, loxilb_bgp.Neighbour)
        return await self._change(
            request, lambda document: loxilb_bgp.put_neighbour(document, neighbour)
        )

    async def delete_neighbour(self, request: Request, address: str) -> Response:
        """Have a BGP peer no longer."""
        await discard_body(request)
        as_number = request.query_params.get("remoteAs", "")
        return await self._change(
            request, lambda document: loxilb_bgp.without_neighbour(document, address, as_number)
        )

    async def post_global(self, request: Request) -> Response:
        """Set the node's AS and router id; again is the same as once."""
        settings = await read_part(request, loxilb_bgp.Global)
        state = self._cistate
        return await self._change(
            request, lambda document: loxilb_bgp.put_global(document, settings, state)
        )

    async def get_cistate(self) -> Response:
        """The node's role."""
        return answer({"Attr": loxilb_bgp.listed_cistate(self._operator.document, self._cistate)})

    async def post_cistate(self, request: Request) -> Response:
        """Have routers prefer this node, or the others."""
        self._cistate = state = loxilb_bgp.read_state(await read_part(request, loxilb_bgp.Cistate))
        return await self._change(request, lambda document: loxilb_bgp.with_state(document, state))

    async def get_bfd(self) -> Response:
        """The BFD sessions."""
        peers = self._operator.status().peers
        return answer({"Attr": loxilb_bgp.listed_bfd(self._operator.document, peers)})

    async def post_bfd(self, request: Request) -> Response:
        """Have BFD watch a BGP peer."""
        session = await read_part(request, loxilb_bgp.BfdSession)
        return await self._change(request, lambda document: loxilb_bgp.put_bfd(document, session))

    async def delete_bfd(self, request: Request, address: str) -> Response:
        """Have BFD watch a BGP peer no longer."""
        await discard_body(request)
        return await self._change(
            request, lambda document: loxilb_bgp.without_bfd(document, address)
        )

    async def _change(self, request: Request, change: Callable[[Document], Document]) -> Response:
        await self._edit(request, change)
        return success()

    async def _edit(self, request: Request, change: Callable[[Document], Document]) -> None:
        await self._operator.edit(change, author=author_of(request, "loxilb"))


def _without_rule(document: Document, label: str) -> Document:
    if all(each.label != label for each in document.services):
        raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE)
    return without_services(document, [label])


def _empty_list(name: str) -> Answer:
    async def empty() -> Response:
        return answer({name: []})

    return empty


async def _not_served(request: Request) -> Response:
    """Whatever else LoxiLB has."""
    path = request.url.path.removeprefix(PREFIX)
    start = next((start for start in _REMEDIES if path.startswith(start)), None)
    remedy = "see /v1/openapi.json" if start is None else _REMEDIES[start]
    text = f"{request.method} {path} is not served by headrace; {remedy}"
    return answer_text(HTTPStatus.NOT_IMPLEMENTED, text)
