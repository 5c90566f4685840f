"""LoxiLB's REST API, `/netlox/v1`, for clients that were made for LoxiLB.

Only what its clients need to drive a load balancer with direct server return: rules, and honest
answers to the rest. Deleting a rule withdraws it whatever the request says about BGP: LoxiLB keeps
announcing an address that it no longer serves.
"""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from headrace import __version__
from headrace.api.answers import TooLargeError, author_of, read_body, status_of
from headrace.api.edits import without_services
from headrace.api.rules import (
    NO_RULE,
    RuleError,
    apply_rule,
    parse_rule,
    refuse,
    rule_label,
    rule_of,
)
from headrace.control.ports import Operator
from headrace.control.views import PeerView
from headrace.model import ConfigError, Document, LbError, SessionState

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
    "/config/cistate/all": "Attr",
    "/config/bfd/all": "Attr",
    "/config/endpoint/all": "Attr",
    "/config/firewall/all": "fwAttr",
    "/config/bgp/policy/definedsets/{kind}/{name}": "definedsetsAttr",
    "/config/bgp/policy/definitions/all": "bgpPolicyAttr",
    "/config/cors/all": "corsAttr",
}
"""Lists of what is not here; clients read them without asking whether it is served."""

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
    route("GET", "/config/bgp/neigh/all", loxilb.get_neighbours)
    for path, name in _EMPTY_LISTS.items():
        route("GET", path, _empty_list(name))
    for path in ("/config/{rest:path}", "/status/{rest:path}", "/metrics", "/metrics/{rest:path}"):
        router.add_api_route(path, _not_served, methods=["GET", "POST", "PUT", "DELETE"])
    return router


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
        services = self._operator.document.services
        return _answer({"lbAttr": [rule_of(each, views.get(each.label)) for each in services]})

    async def delete_all(self, request: Request) -> Response:
        """Remove every service."""
        await self._edit(
            request,
            lambda document: without_services(document, [each.label for each in document.services]),
        )
        return _success()

    async def delete_named(self, request: Request, name: str) -> Response:
        """Remove every service of this name; that there is none is a success as well."""
        await self._edit(
            request,
            lambda document: without_services(
                document, [each.label for each in document.services if each.name == name]
            ),
        )
        return _success()

    async def delete_rule(self, request: Request) -> Response:
        """Remove one rule, whichever of the four shapes of the path names it."""
        parts = {"host": "any", "port_max": "0"} | request.path_params
        label = rule_label(parts["address"], parts["port"], parts["port_max"], parts["protocol"])
        if parts["host"] != "any" or request.query_params.get("block", "0") != "0":
            raise RuleError(HTTPStatus.NOT_FOUND, NO_RULE)
        await self._edit(request, lambda document: _without_rule(document, label))
        return _success()

    async def get_neighbours(self) -> Response:
        """The BGP peers."""
        peers = self._operator.status().peers
        return _answer({"bgpNeiAttr": [_neighbour(peer) for peer in peers]})

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


def _neighbour(peer: PeerView) -> dict[str, Any]:
    return {
        "ipAddress": str(peer.address),
        "remoteAs": peer.as_number,
        "state": "ESTABLISHED" if peer.state is SessionState.UP else "IDLE",
        "updowntime": _clock(peer.since_s),
    }


def _clock(seconds: float) -> str:
    """`HH:MM:SS`, or `Nd HH:MM:SS` from a day on."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}d {clock}" if days else clock


def _success() -> Response:
    return _answer({"result": "Success"})


def _error(status: HTTPStatus, code: int, text: str) -> Response:
    return _answer({"code": code, "message": status.phrase, "result": text}, status)


def _answer(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(json.dumps(body), status.value, media_type="application/json")
