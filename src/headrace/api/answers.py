"""Errors as answers: problem+json (RFC 9457) with every problem of a document by its path."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request, Response

from headrace.api.callers import Caller
from headrace.model.errors import (
    ConfigError,
    ConflictError,
    KernelError,
    LbError,
    NotFoundError,
    UnavailableError,
)

PROBLEM_JSON = "application/problem+json"


class TooLargeError(LbError):
    """The request's body is over the limit."""


class StaleError(LbError):
    """The document changed since the revision that the request was made for."""


def status_of(error: LbError) -> HTTPStatus:
    """The HTTP status that says what kind of error this is."""
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_answer(status: HTTPStatus, detail: str, problems: list[dict[str, str]]) -> Response:
    """A problem+json answer."""
    body = {"title": status.phrase, "status": status.value, "detail": detail, "problems": problems}
    return Response(json.dumps(body), status.value, media_type=PROBLEM_JSON)


def answer_error(error: LbError) -> Response:
    """The answer to a request that failed on purpose."""
    problems = []
    if isinstance(error, ConfigError):
        problems = [{"path": each.path, "message": each.message} for each in error.problems]
    return problem_answer(status_of(error), str(error), problems)


async def read_body(request: Request, limit_bytes: int) -> str:
    """The request's body as text; refused as soon as it is over the limit."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise TooLargeError(f"the body is over {limit_bytes} bytes; send less at once")
        parts.append(part)
    return text_of(b"".join(parts))


def text_of(content: bytes) -> str:
    """What was sent, as text. Raises ConfigError."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError.at("", f"the body is not UTF-8: {error}; encode it so") from error


LIMIT_UNUSED_BYTES = 64 * 1024
"""Of a body that nobody asked for: clients of LoxiLB send the rule that they delete."""


async def discard_body(request: Request) -> None:
    """Read a body that says nothing: a socket that is closed before that loses the answer."""
    await read_body(request, LIMIT_UNUSED_BYTES)


def author_of(request: Request, api: str) -> str:
    """Who asks, and by which API, as the history shows it."""
    caller: Caller | None = request.scope.get("state", {}).get("caller")  # None: nothing guards
    return f"{caller.name} by {api}" if caller else api


_STATUSES: Mapping[type[LbError], HTTPStatus] = {
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    StaleError: HTTPStatus.PRECONDITION_FAILED,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    KernelError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
