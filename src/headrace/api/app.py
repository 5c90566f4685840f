"""The application that answers HTTP: the native API, LoxiLB's, and errors of both as answers."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from headrace import __version__
from headrace.api import loxilb
from headrace.api.answers import answer_error, problem_answer
from headrace.api.examples import EXAMPLES
from headrace.api.host import Host
from headrace.api.native import body_models, build_native
from headrace.api.redaction import Redacted
from headrace.control.ports import Operator
from headrace.model.errors import LbError

_DESCRIPTION = """
Services of a layer-4 load balancer for anycast services with direct server return.

Every change is one numbered revision of the operator's document: valid as a whole, or refused as a
whole with every problem told by its path, the rule and the remedy.
"""


def build_app(operator: Operator, host: Host) -> FastAPI:
    """The application; it asks only the operator's port, and the host's."""
    app = FastAPI(
        title="Headrace",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # both pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    redacted = Redacted(operator)  # no route ever sees a secret
    app.include_router(build_native(redacted))
    app.include_router(loxilb.build_loxilb(redacted, host))
    app.add_exception_handler(LbError, _answer_lb_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_bug)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


async def _answer_lb_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LbError)  # noqa: S101 - registered for nothing else
    return loxilb.answer_error(error) if loxilb.is_loxilb(request) else answer_error(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, before any route is reached."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    status = HTTPStatus(error.status_code)
    if loxilb.is_loxilb(request) and request.method == "OPTIONS" and error.status_code == 405:
        # As LoxiLB does, but no page from elsewhere is let in: no header allows one.
        return loxilb.answer_options(error.headers or {})
    told = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    answer = (
        loxilb.answer_text(status, told)
        if loxilb.is_loxilb(request)
        else problem_answer(status, f"{told}; see /v1/openapi.json for what there is", [])
    )
    answer.headers.update(error.headers or {})
    return answer


async def _answer_bug(request: Request, _error: Exception) -> Response:
    """A bug; the server logs it with its traceback, the caller is told no more than that."""
    status, told = HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in headrace; its log has the details"
    if loxilb.is_loxilb(request):
        return loxilb.answer_text(status, told)
    return problem_answer(status, told, [])


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with the models of bodies that are read by hand."""
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, models = models_json_schema(
            [(model, "validation") for model in body_models()],
            ref_template="#/components/schemas/{model}",
        )
        known = described.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in models.get("$defs", {}).items():
            known.setdefault(name, schema)
        for name, example in EXAMPLES.items():
            known[name]["examples"] = [example]
        app.openapi_schema = described
    return app.openapi_schema
