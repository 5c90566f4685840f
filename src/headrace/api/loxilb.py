"""LoxiLB's REST API, `/netlox/v1`, for clients that were made for LoxiLB.

Only what its clients need to drive a load balancer with direct server return: rules, and honest
answers to the rest. Deleting a rule withdraws it whatever the request says about BGP: LoxiLB keeps
announcing an address that it no longer serves.
"""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from headrace import __version__
from headrace.api import loxilb_bgp, probes
from headrace.api.answers import TooLargeError, author_of, discard_body, read_body, status_of
from headrace.api.bodies import Part, RuleError, parse_body, refuse
from headrace.api.edits import without_services
from headrace.api.rules import NO_RULE, apply_rule, parse_rule, rule_label, rule_of
from headrace.control.ports import Operator
from headrace.model import ConfigError, Document, LbError, Role

PREFIX = "/netlox/v1"

LIMIT_BODY_BYTES = 1024 * 1024
"""Of one rule: some ten thousand endpoints."""

_RULE = "/config/loadbalancer"
_ADDRESS = "externalipaddress/{address:path}/port/{port}"

_EMPTY_LISTS = {
    "/config/conntrack/all": "ctAttr",
    "/config/port/all": "portAttr",
    "/config/ipv4address/all": "ipAttr",
    "/config/neighbor/all": "neighborAttr",
    "/config/fdb/all": "fdbAttr",
    "/config/vlan/all": "vlanAttr",
    "/config/tunnel/vxlan/all": "vxlanAttr",
    "/config/route/all": "routeAttr",
    "/config/session/all": "sessionAttr",
    "/config/sessionulcl/all": "ulclAttr",
    "/config/policy/all": "polAttr",
    "/config/mirror/all": "mirrAttr",
    "/config/firewall/all": "fwAttr",
    "/config/bgp/policy/definedsets/{kind}/{name}": "definedsetsAttr",
    "/config/bgp/policy/definitions/all": "bgpPolicyAttr",
    "/config/cors/all": "corsAttr",
}
"""Lists of what is not here; clients read them without asking whether it is served."""

_Model = TypeVar("_Model", bound=Part)
Answer = Callable[..., Awaitable[Response]]


def build_loxilb(operator: Operator) -> APIRouter:
    """The routes of `/netlox/v1`."""
    loxilb = _Loxilb(operator)
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    def route(method: str, path: str, answer: Answer) -> None:
        router.add_api_route(path, answer, methods=[method])

    for root in ("", "/"):
        route("GET", root, loxilb.alive)
    route("GET", "/version", loxilb.version)
    route("POST", _RULE, loxilb.post_rule)
    route("GET", f"{_RULE}/all", loxilb.get_rules)
    route("DELETE", f"{_RULE}/all", loxilb.delete_all)
    route("DELETE", f"{_RULE}/name/{{name:path}}", loxilb.delete_named)
    for host in ("", "hosturl/{host}/"):
        for last in ("", "/portmax/{port_max}"):
            path = f"{_RULE}/{host}{_ADDRESS}{last}/protocol/{{protocol}}"
            route("DELETE", path, loxilb.delete_rule)
    _add_bgp(route, loxilb)
    route("GET", "/config/endpoint/all", loxilb.get_hosts)
    route("POST", "/config/endpoint", loxilb.post_host)
    route("POST", "/config/endpointhoststate", loxilb.post_host_state)
    route("DELETE", "/config/endpoint/epipaddress/{address}", loxilb.delete_host)
    for path, name in _EMPTY_LISTS.items():
        route("GET", path, _empty_list(name))
    for path in ("/config/{rest:path}", "/status/{rest:path}", "/metrics", "/metrics/{rest:path}"):
        router.add_api_route(path, _not_served, methods=["GET", "POST", "PUT", "DELETE"])
    return router


def _add_bgp(route: Callable[[str, str, Answer], None], loxilb: "_Loxilb") -> None:
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


def answer_error(error: LbError) -> Response:
    """Any error in LoxiLB's shape."""
    if not isinstance(error, RuleError):
        text = str(error).replace("\n", "; ")
        bad = isinstance(error, ConfigError | TooLargeError)
        error = refuse(HTTPStatus.BAD_REQUEST if bad else status_of(error), text)
    if error.status is HTTPStatus.OK:
        return _answer({"result": str(error)})
    return _error(error.status, error.code, str(error))


def answer_text(status: HTTPStatus, text: str) -> Response:
    """An error that no route has answered, in LoxiLB's shape."""
    return _error(status, status.value, text)


class _Loxilb:
    """Answers requests by asking the operator's port."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        # `kube-loxilb` sends a role before there is a bgp section to keep it in.
        self._role: Role | None = None

    async def alive(self) -> Response:
        """What `kube-loxilb` asks every two seconds."""
        return _success()

    async def version(self) -> Response:
        """The program that answers."""
        return _answer({"version": __version__, "buildInfo": "headrace"})

    async def post_rule(self, request: Request) -> Response:
        """Create or replace a rule, or attach or detach its endpoints."""
        rule = parse_rule(await read_body(request, LIMIT_BODY_BYTES))
        await self._edit(request, lambda document: apply_rule(document, rule))
        return _success()

    async def get_rules(self) -> Response:
        """Every service as a rule."""
        views = {view.key: view for view in self._operator.status().services}
        document = self._operator.document
        rules = [
            rule_of(each, views.get(each.label), document.check_of(document.pool_of(each)))
            for each in document.services
        ]
        return _answer({"lbAttr": rules})

    async def delete_all(self, request: Request) -> Response:
        """Remove every service."""
        await discard_body(request)
        await self._edit(
            request,
            lambda document: without_services(document, [each.label for each in document.services]),
        )
        return _success()

    async def delete_named(self, request: Request, name: str) -> Response:
        """Remove every service of this name; that there is none is a success as well."""
        await discard_body(request)
        await self._edit(
            request,
            lambda document: without_services(
                document, [each.label for each in document.services if each.name == name]
            ),
        )
        return _success()

    async def delete_rule(self, request: Request) -> Response:
        """Remove one rule, whichever of the four shapes of the path names it."""
        await discard_body(request)
        parts = {"host": "any", "port_max": "0"} | request.path_params
        label = rule_label(parts["address"], parts["port"], parts["port_max"], parts["protocol"])
        if parts["host"] != "any" or request.query_params.get("block", "0") != "0":
            raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE)
        await self._edit(request, lambda document: _without_rule(document, label))
        return _success()

    async def get_hosts(self) -> Response:
        """The hosts that are checked."""
        views = iter(self._operator.status().services)
        return _answer({"Attr": probes.hosts_of(self._operator.document, views)})

    async def post_host(self, request: Request) -> Response:
        """Check a host, or check it otherwise."""
        probe = await _read(request, probes.HostProbe)
        return await self._change(request, lambda document: probes.put_host(document, probe))

    async def post_host_state(self, request: Request) -> Response:
        """Have a host take flows, drain, or get nothing."""
        wish = await _read(request, probes.HostState)
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
        return _answer({"bgpNeiAttr": [loxilb_bgp.listed_neighbour(peer) for peer in peers]})

    async def post_neighbour(self, request: Request) -> Response:
        """Have a BGP peer; again is the same as once."""
        neighbour = await _read(request, loxilb_bgp.Neighbour)
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
        settings = await _read(request, loxilb_bgp.Global)
        role = self._role
        return await self._change(
            request, lambda document: loxilb_bgp.put_global(document, settings, role)
        )

    async def get_cistate(self) -> Response:
        """The node's role."""
        return _answer({"Attr": loxilb_bgp.listed_cistate(self._operator.document, self._role)})

    async def post_cistate(self, request: Request) -> Response:
        """Have routers prefer this node, or the others."""
        self._role = role = loxilb_bgp.read_role(await _read(request, loxilb_bgp.Cistate))
        return await self._change(request, lambda document: loxilb_bgp.with_role(document, role))

    async def get_bfd(self) -> Response:
        """The BFD sessions."""
        peers = self._operator.status().peers
        return _answer({"Attr": loxilb_bgp.listed_bfd(self._operator.document, peers)})

    async def post_bfd(self, request: Request) -> Response:
        """Have BFD watch a BGP peer."""
        session = await _read(request, loxilb_bgp.BfdSession)
        return await self._change(request, lambda document: loxilb_bgp.put_bfd(document, session))

    async def delete_bfd(self, request: Request, address: str) -> Response:
        """Have BFD watch a BGP peer no longer."""
        await discard_body(request)
        return await self._change(
            request, lambda document: loxilb_bgp.without_bfd(document, address)
        )

    async def _change(self, request: Request, change: Callable[[Document], Document]) -> Response:
        await self._edit(request, change)
        return _success()

    async def _edit(self, request: Request, change: Callable[[Document], Document]) -> None:
        await self._operator.edit(change, author=author_of(request, "loxilb"))


def _without_rule(document: Document, label: str) -> Document:
    if all(each.label != label for each in document.services):
        raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE)
    return without_services(document, [label])


def _empty_list(name: str) -> Answer:
    async def answer() -> Response:
        return _answer({name: []})

    return answer


async def _not_served(request: Request) -> Response:
    """Whatever else LoxiLB has."""
    path = request.url.path.removeprefix(PREFIX)
    text = f"{request.method} {path} is not served by headrace; see /v1/openapi.json"
    return answer_text(HTTPStatus.NOT_IMPLEMENTED, text)


async def _read(request: Request, model: type[_Model]) -> _Model:
    return parse_body(await read_body(request, LIMIT_BODY_BYTES), model)


def _success() -> Response:
    return _answer({"result": "Success"})


def _error(status: HTTPStatus, code: int, text: str) -> Response:
    return _answer({"code": code, "message": status.phrase, "result": text}, status)


def _answer(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(json.dumps(body), status.value, media_type="application/json")
