"""The native REST API, `/v1`."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError

from headrace import __version__
from headrace.api import schemas
from headrace.api.answers import PROBLEM_JSON, StaleError, author_of, discard_body, read_body
from headrace.api.drains import drain_endpoint, drain_node, undrain_endpoint, undrain_node
from headrace.api.edits import find_service, put_service, without_services
from headrace.api.events import (
    EVENT_SCHEMA,
    EVENT_STREAM,
    EXAMPLE,
    FOLLOW_PARAMETER,
    LAST_ID_PARAMETER,
    Streams,
)
from headrace.api.explaining import read_explain, read_flows, told_explanation
from headrace.api.log_levels import set_level
from headrace.api.resources import (
    drains_of,
    endpoints_of,
    peer_of,
    peers_of,
    pool_of,
    pools_of,
    put_peer,
    put_pool,
    without_peer,
    without_pool,
)
from headrace.api.revisions import (
    LIMIT_PARAMETER,
    dump_history,
    read_limit,
    read_number,
    told_revision,
)
from headrace.control.ports import Operator
from headrace.control.views import EndpointView, ServiceView, Status
from headrace.model import (
    ConfigError,
    Document,
    IPAddress,
    NotFoundError,
    Peer,
    Pool,
    Problem,
    Service,
    VerdictCount,
    dump_document,
    parse_replacement,
    parse_values,
)
from headrace.model.fields import read_address
from headrace.model.limits import LIMIT_DOCUMENT_BYTES
from headrace.model.problems import problems_of, refusal

_EXPLAIN_BATCH = 500  # flows between two turns of the event loop: some 10 ms
_JSON = "application/json"

_Model = TypeVar("_Model", bound=BaseModel)

_services = TypeAdapter(tuple[ServiceView, ...])
_service = TypeAdapter(ServiceView)
_status = TypeAdapter(Status)
_NO_ENDPOINTS: dict[str, Any] = {"__all__": {"endpoints"}}  # many services share few pools
_placed = TypeAdapter(list[dict[str, str | list[str] | EndpointView]])
_verdicts = TypeAdapter(tuple[VerdictCount, ...])

_FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "the request is refused", "content": {PROBLEM_JSON: {}}},
    "5XX": {"description": "the node cannot do it", "content": {PROBLEM_JSON: {}}},
}
for _failure in _FAILURES.values():
    _failure["content"][PROBLEM_JSON]["schema"] = {"$ref": "#/components/schemas/ProblemBody"}


def build_native(operator: Operator) -> APIRouter:
    """The routes of `/v1`."""
    native = _Native(operator)
    router = APIRouter(prefix="/v1", tags=["native"], responses=_FAILURES)

    def route(method: str, path: str, answer: Callable[..., Any], **rest: Any) -> None:  # noqa: ANN401 - FastAPI's own
        router.add_api_route(path, answer, methods=[method], **rest)

    route("GET", "/document", native.get_document, response_model=Document)
    route("PUT", "/document", native.put_document, **_edit(Document))
    route(
        "GET",
        "/revisions",
        native.get_revisions,
        response_model=list[schemas.RevisionBody],
        openapi_extra={"parameters": [LIMIT_PARAMETER]},
    )
    one_path = "/revisions/{number}"
    route("GET", one_path, native.get_revision, response_model=schemas.RevisionDocumentBody)
    route("POST", f"{one_path}/rollback", native.rollback, **_change())
    route("GET", "/services", native.get_services, response_model=list[schemas.ServiceBody])
    service_path = "/services/{service:path}"
    route("GET", service_path, native.get_service, response_model=schemas.WholeServiceBody)
    route("PUT", service_path, native.put_service, **_edit(Service))
    route("DELETE", service_path, native.delete_service, **_change())
    for verb, answer, model in (
        ("drain", native.drain_endpoint, schemas.DrainEndpointBody),
        ("undrain", native.undrain_endpoint, schemas.UndrainEndpointBody),
    ):
        route("POST", f"/endpoints/{{address}}/{verb}", answer, **_edit(model, required=False))
    route("POST", "/node/drain", native.drain_node, **_edit(schemas.DrainNodeBody, required=False))
    route("POST", "/node/undrain", native.undrain_node, **_change())
    _add_parts(route, native)
    route("GET", "/status", native.get_status, response_model=schemas.StatusBody)
    route(
        "POST",
        "/explain",
        native.explain,
        response_model=list[schemas.ExplanationBody],
        openapi_extra=_body(schemas.ExplainBody),
    )
    route("GET", "/version", native.get_version, response_model=schemas.VersionBody)
    route("GET", "/healthz", native.get_health, response_model=schemas.HealthBody)
    return router


def _add_parts(route: Callable[..., None], native: "_Native") -> None:
    """The routes of parts of the node and of the document."""
    route("GET", "/pools", native.get_pools, response_model=list[schemas.PoolBody])
    pool_path = "/pools/{name:path}"
    route("GET", pool_path, native.get_pool, response_model=schemas.PoolBody)
    route("PUT", pool_path, native.put_pool, **_edit(Pool))
    route("DELETE", pool_path, native.delete_pool, **_change())
    route("GET", "/peers", native.get_peers, response_model=list[Peer])
    peer_path = "/peers/{address}"
    route("GET", peer_path, native.get_peer, response_model=Peer)
    route("PUT", peer_path, native.put_peer, **_edit(Peer))
    route("DELETE", peer_path, native.delete_peer, **_change())
    placed = list[schemas.PlacedEndpointBody]
    route("GET", "/endpoints", native.get_endpoints, response_model=placed)
    route("GET", "/endpoints/{address}", native.get_endpoint, response_model=placed)
    route("GET", "/drains", native.get_drains, response_model=schemas.DrainsBody)
    route("GET", "/node", native.get_node, response_model=schemas.NodeBody)
    route("GET", "/verdicts", native.get_verdicts, response_model=list[schemas.VerdictBody])
    level = schemas.LogLevelBody
    route("GET", "/log-level", native.get_log_level, response_model=level)
    route(
        "PUT",
        "/log-level",
        native.put_log_level,
        response_model=level,
        openapi_extra=_body(level),
    )
    stream = {EVENT_STREAM: {"schema": EVENT_SCHEMA, "example": EXAMPLE}}
    told = {"description": "server-sent events", "content": stream}
    route(
        "GET",
        "/events",
        native.streams.get_events,
        response_class=Response,
        responses={200: told},
        openapi_extra={"parameters": [FOLLOW_PARAMETER, LAST_ID_PARAMETER]},
    )


def body_models() -> list[type[BaseModel]]:
    """The models of bodies that are read by hand; the OpenAPI description lacks them otherwise."""
    return [
        Document,
        Service,
        Pool,
        Peer,
        schemas.LogLevelBody,
        schemas.EventBody,
        schemas.DrainEndpointBody,
        schemas.UndrainEndpointBody,
        schemas.DrainNodeBody,
        schemas.ExplainBody,
        schemas.ProblemBody,
    ]


def _body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {_JSON: {"schema": schema}}}}


def _edit(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """What the routes share that take a body and answer with a change."""
    shared = _change()
    return shared | {"openapi_extra": shared["openapi_extra"] | _body(model, required=required)}


def _change() -> dict[str, Any]:
    """What all routes share that answer with a change."""
    condition = {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "change only this revision, as the ETag names it",
        "schema": {"type": "string"},
    }
    extra = {"parameters": [condition]}
    return {"response_model": schemas.ChangeBody, "openapi_extra": extra}


class _Native:
    """Answers requests by asking the operator's port."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.streams = Streams(operator.journal)

    async def get_document(self) -> Response:
        """The document in force; its ETag is the revision."""
        return Response(
            dump_document(self._operator.document),
            media_type=_JSON,
            headers=_etag(self._operator.revision),
        )

    async def put_document(self, request: Request) -> Response:
        """Put a whole document (JSON or YAML) in force, or refuse it as a whole."""
        document = parse_replacement(await read_body(request, LIMIT_DOCUMENT_BYTES))
        return await self._edit(request, lambda _: document)

    async def get_revisions(self, request: Request) -> Response:
        """The newest revisions of the document, newest first: when, by whom, what changed."""
        limit = read_limit(request.query_params.get("limit"))
        return Response(dump_history(await self._operator.history(limit)), media_type=_JSON)

    async def get_revision(self, number: str) -> Response:
        """One revision with its document."""
        return JSONResponse(told_revision(await self._operator.at(read_number(number))))

    async def rollback(self, request: Request, number: str) -> Response:
        """Put an earlier revision's document in force, with its passwords, as a new revision."""
        await discard_body(request)
        condition = request.headers.get("if-match")
        before = self._operator.revision

        def check() -> None:
            nonlocal before
            self._check(condition)
            before = self._operator.revision

        revision = await self._operator.rollback(
            read_number(number), author=author_of(request, "rest"), check=check
        )
        return JSONResponse(
            {"revision": revision, "changed": revision != before}, headers=_etag(revision)
        )

    async def get_services(self) -> Response:
        """Every service as it stands, without its endpoints."""
        services = self._operator.status().services
        return Response(_services.dump_json(services, exclude=_NO_ENDPOINTS), media_type=_JSON)

    async def get_service(self, service: str) -> Response:
        """One service as it stands with its endpoints, by its key or name."""
        found = find_service(self._operator.document, service)
        if found is not None:
            for view in self._operator.status().services:
                if view.key == found.label:
                    return Response(_service.dump_json(view), media_type=_JSON)
        raise NotFoundError(
            f"there is no service {service}; GET /v1/services lists those there are"
        )

    async def put_service(self, request: Request, service: str) -> Response:
        """Add or replace one service, by its key or name; again is the same as once."""
        raw = parse_values(await read_body(request, LIMIT_DOCUMENT_BYTES))
        return await self._edit(request, lambda document: put_service(document, service, raw))

    async def delete_service(self, request: Request, service: str) -> Response:
        """Remove one service, by its key or name: withdrawn first; again is the same as once."""
        await discard_body(request)

        def change(document: Document) -> Document:
            found = find_service(document, service)
            return without_services(document, [found.label] if found else [])

        return await self._edit(request, change)

    async def drain_endpoint(self, request: Request, address: str) -> Response:
        """Have an endpoint get no new flows; its old ones stay, or end after a time."""
        body = await _read(request, schemas.DrainEndpointBody)
        where = _read_address(address)
        return await self._edit(
            request, lambda document: drain_endpoint(document, where, body.pool, body.timeout_s)
        )

    async def undrain_endpoint(self, request: Request, address: str) -> Response:
        """Have an endpoint get new flows again."""
        body = await _read(request, schemas.UndrainEndpointBody)
        where = _read_address(address)
        return await self._edit(
            request, lambda document: undrain_endpoint(document, where, body.pool)
        )

    async def drain_node(self, request: Request) -> Response:
        """Have routers take other nodes, then withdraw every VIP of this one."""
        body = await _read(request, schemas.DrainNodeBody)
        return await self._edit(request, lambda document: drain_node(document, body.wait_s))

    async def undrain_node(self, request: Request) -> Response:
        """Announce the VIPs again."""
        await discard_body(request)
        return await self._edit(request, undrain_node)

    async def get_pools(self) -> Response:
        """The named pools, and the services that each answers for."""
        return JSONResponse(pools_of(self._operator.document))

    async def get_pool(self, name: str) -> Response:
        """One named pool."""
        return JSONResponse(pool_of(self._operator.document, name))

    async def put_pool(self, request: Request, name: str) -> Response:
        """Add or replace one named pool; again is the same as once."""
        raw = parse_values(await read_body(request, LIMIT_DOCUMENT_BYTES))
        return await self._edit(request, lambda document: put_pool(document, name, raw))

    async def delete_pool(self, request: Request, name: str) -> Response:
        """Remove one named pool that no service names; again is the same as once."""
        await discard_body(request)
        return await self._edit(request, lambda document: without_pool(document, name))

    async def get_peers(self) -> Response:
        """The BGP peers as the document has them; `/v1/status` tells of their sessions."""
        return JSONResponse(peers_of(self._operator.document))

    async def get_peer(self, address: str) -> Response:
        """One BGP peer as the document has it."""
        return JSONResponse(peer_of(self._operator.document, _read_address(address)))

    async def put_peer(self, request: Request, address: str) -> Response:
        """Add or replace one BGP peer; again is the same as once."""
        where = _read_address(address)
        raw = parse_values(await read_body(request, LIMIT_DOCUMENT_BYTES))
        return await self._edit(request, lambda document: put_peer(document, where, raw))

    async def delete_peer(self, request: Request, address: str) -> Response:
        """Remove one BGP peer; again is the same as once."""
        await discard_body(request)
        where = _read_address(address)
        return await self._edit(request, lambda document: without_peer(document, where))

    async def get_endpoints(self) -> Response:
        """Every endpoint of every pool in use, as it stands."""
        return Response(_placed.dump_json(endpoints_of(self._operator.status())), media_type=_JSON)

    async def get_endpoint(self, address: str) -> Response:
        """One endpoint as it stands in each pool that has it."""
        found = endpoints_of(self._operator.status(), _read_address(address))
        return Response(_placed.dump_json(found), media_type=_JSON)

    async def get_drains(self) -> Response:
        """What drains: the node, and endpoints by pool."""
        return JSONResponse(drains_of(self._operator.document, self._operator.status()))

    async def get_node(self) -> Response:
        """This node: interfaces, whether it drains, and what is wrong."""
        status = self._operator.status()
        return JSONResponse(
            {
                "node": status.node,
                "version": status.version,
                "revision": status.revision,
                "hash_seed_is_default": status.hash_seed_is_default,
                "ports": [{"name": port.name, "mode": port.mode} for port in status.ports],
                "drain": status.drain,
                "drain_left_s": status.drain_left_s,
                "problems": status.problems,
            }
        )

    async def get_verdicts(self) -> Response:
        """Packets by verdict since the program was first loaded."""
        return Response(_verdicts.dump_json(self._operator.status().verdicts), media_type=_JSON)

    async def get_log_level(self) -> Response:
        """How much the daemon logs."""
        return JSONResponse({"level": self._operator.log_level.level})

    async def put_log_level(self, request: Request) -> Response:
        """Have the daemon log more or less, until it ends."""
        body = await _read(request, schemas.LogLevelBody)
        set_level(self._operator.log_level, body.level, author=author_of(request, "rest"))
        return JSONResponse({"level": body.level})

    async def get_status(self) -> Response:
        """The whole node: what forwards, what is announced, what is wrong and why."""
        told = _status.dump_json(self._operator.status(), exclude={"services": _NO_ENDPOINTS})
        return Response(told, media_type=_JSON)

    async def explain(self, request: Request) -> Response:
        """Where the data plane sends each flow, in the order of the flows."""
        body = read_explain(await read_body(request, schemas.LIMIT_EXPLAIN_BYTES))
        told: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for start in range(0, len(body.flows), _EXPLAIN_BATCH):
            try:
                flows = read_flows(body.flows[start : start + _EXPLAIN_BATCH], start)
            except ConfigError as error:
                problems += error.problems
            else:
                told += [
                    told_explanation(e, steps=body.steps) for e in self._operator.explain(flows)
                ]
            await asyncio.sleep(0)
        if problems:
            raise refusal(problems)
        return JSONResponse(told)

    async def get_version(self) -> Response:
        """The program that answers."""
        return JSONResponse({"name": "headrace", "version": __version__})

    async def get_health(self) -> Response:
        """Whether the daemon answers, nothing more; `/v1/status` tells what is wrong."""
        return JSONResponse({"alive": True, "revision": self._operator.revision})

    async def _edit(self, request: Request, change: Callable[[Document], Document]) -> Response:
        """Apply a change if the document is still the one that the request was made for."""
        condition = request.headers.get("if-match")
        changed = False

        def change_if_match(document: Document) -> Document:
            nonlocal changed
            result = change(document)
            self._check(condition)  # RFC 9110, 13.2.1: what fails anyway fails so
            changed = result != document
            return result

        revision = await self._operator.edit(change_if_match, author=author_of(request, "rest"))
        return JSONResponse({"revision": revision, "changed": changed}, headers=_etag(revision))

    def _check(self, condition: str | None) -> None:
        """RFC 9110, 13.1.1: a weak or unknown tag never matches."""
        if condition is None or condition.strip() == "*":
            return
        current = f'"{self._operator.revision}"'
        if current not in {tag.strip() for tag in condition.split(",")}:
            raise StaleError(
                f"the document is at revision {current}, not {condition}: somebody changed it "
                "since; read it again, make your change in that, and send its ETag as If-Match"
            )


def _etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


async def _read(request: Request, model: type[_Model]) -> _Model:
    """A small body; none at all is an empty one."""
    text = await read_body(request, schemas.LIMIT_DRAIN_BYTES)
    try:
        return model.model_validate(parse_values(text) if text.strip() else {})
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from error


def _read_address(text: str) -> IPAddress:
    try:
        return read_address(text)
    except ValueError as error:
        raise ConfigError.at("", str(error)) from error
