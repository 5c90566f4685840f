"""How LoxiLB's server answers, and how its requests' bodies are read."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request, Response

from headrace.api.answers import read_body
from headrace.api.bodies import Part, parse_body

LIMIT_BODY_BYTES = 1024 * 1024
"""Of one rule: some ten thousand endpoints."""

Answer = Callable[..., Awaitable[Response]]
Route = Callable[[str, str, Answer], None]
"""Adds a route: method, path below `/netlox/v1`, what answers."""

_Model = TypeVar("_Model", bound=Part)


async def read_part(request: Request, model: type[_Model]) -> _Model:
    """A request's body; RuleError when it is not such a body."""
    return parse_body(await read_body(request, LIMIT_BODY_BYTES), model)


def success() -> Response:
    """What its clients take for a success, and nothing else."""
    return answer({"result": "Success"})


def answer(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    """An answer whose content type is exactly what `kube-loxilb` compares with."""
    return Response(json.dumps(body), status.value, media_type="application/json")


def error(status: HTTPStatus, code: int, text: str, lines: Sequence[str] = ()) -> Response:
    """An error; the text that people see is `result`, or `lines` where they are several."""
    body: dict[str, Any] = {"code": code, "message": status.phrase, "result": text}
    if len(lines) > 1:  # a key that LoxiLB has not
        body["lines"] = list(lines)
    return answer(body, status)
