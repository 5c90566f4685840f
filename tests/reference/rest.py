"""The page of the REST API, from its OpenAPI description and its routes."""

import asyncio
import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute

from headrace.api import build_app
from headrace.api.answers import status_of
from headrace.api.loxilb import PREFIX, build_loxilb
from headrace.model import Document, LbError
from tests.api.fakes import FakeHost, FakeOperator
from tests.reference import schema
from tests.reference.markdown import anchor, code, sentence, table

_HEAD = """\
# REST API

Generated from the API's own OpenAPI description and routes; a test compares the two. A running
daemon shows the description at `/v1/openapi.json`.

The daemon answers on a unix socket, `/run/headrace/INSTANCE/api.sock`, and where `--listen` of
[headrace run](cli.md#headrace-run) says. Bodies are JSON; where the operator's document or a part
of it is taken, YAML will do. A change is one numbered revision of the document: in force as a
whole, or refused as a whole. An answer's `ETag` is the revision; a request with `If-Match` is done
only if the document is still that one.

```sh
curl --unix-socket /run/headrace/main/api.sock http://localhost/v1/status
curl --unix-socket /run/headrace/main/api.sock http://localhost/v1/document -T new.yaml
```

"""

_LOXILB = f"""\
## LoxiLB's paths

Under `{PREFIX}`, for `loxicmd`, `kube-loxilb` and others that were made for LoxiLB. Errors have
its shape: a status, and `code`, `message` and `result`. What direct server return cannot serve is
refused, and the text names the rule.

"""

_METHODS = ("get", "put", "post", "delete", "patch")


def build_page() -> str:
    """The page in Markdown."""
    described = build_app(FakeOperator(), FakeHost()).openapi()
    page = _HEAD + _overview(described)
    for method, path, told in _operations(described):
        page += _operation(described["components"]["schemas"], f"{method} {path}", told)
    return page + _errors() + _bodies(described["components"]["schemas"]) + _loxilb()


def _operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in described["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield method.upper(), path, methods[method]


def _overview(described: Mapping[str, Any]) -> str:
    rows = [
        (code(method), f"[{code(path)}]({_anchor_of(f'{method} {path}')})", _what(told))
        for method, path, told in _operations(described)
    ]
    return "## Paths\n\n" + table(("method", "path", "what it does"), rows)


def _anchor_of(heading: str) -> str:
    """Signs that are neither letters nor digits leave nothing in an anchor."""
    return anchor(re.sub(r"[^\w\s-]", "", heading))


def _what(told: Mapping[str, Any]) -> str:
    return str(told.get("description") or told.get("summary") or "").split("\n\n")[0]


def _operation(
    definitions: Mapping[str, schema.Schema], heading: str, told: Mapping[str, Any]
) -> str:
    page = f"### {heading}\n\n{told.get('description') or sentence(told.get('summary', ''))}\n\n"
    rows = [
        (
            code(each["name"]),
            each["in"],
            _type(each["schema"], definitions),
            schema.rule_of(each["schema"], definitions),
            each.get("description", ""),
        )
        for each in told.get("parameters", ())
    ]
    if rows:
        page += table(("parameter", "in", "type", "rule", "meaning"), rows)
    body = told.get("requestBody")
    if body is not None:
        needed = "" if body.get("required") else ", or nothing"
        page += f"Takes {_content(body['content'], definitions)}{needed}.\n\n"
    answers = [
        f"{status}: {_content(answer.get('content', {}), definitions) or 'nothing'}"
        for status, answer in told["responses"].items()
        if not str(status).startswith(("4", "5"))
    ]
    return page + f"Answers {'; '.join(answers)}.\n\n"


def _content(content: Mapping[str, Any], definitions: Mapping[str, schema.Schema]) -> str:
    return " or ".join(
        _type(each.get("schema", {}), definitions)
        + ("" if kind == "application/json" else f" as {code(kind)}")
        for kind, each in content.items()
    )


def _type(told: schema.Schema, definitions: Mapping[str, schema.Schema]) -> str:
    return schema.type_of(told, definitions, functools.partial(_link, definitions))


def _link(definitions: Mapping[str, schema.Schema], name: str) -> str | None:
    """Parts of the document are on its page, other bodies on this one."""
    if name in _document_parts():
        return f"document.md{anchor(name)}"
    return anchor(name) if "properties" in definitions.get(name, {}) else None


@functools.cache
def _document_parts() -> frozenset[str]:
    return frozenset({"Document", *Document.model_json_schema(by_alias=True)["$defs"]})


def _errors() -> str:
    """Every error that an answer can tell, by its status."""
    rows = sorted(
        {
            (str(status.value), status.phrase, sentence(_first_line(kind)))
            for kind in _kinds(LbError)
            for status in _statuses(kind)
        }
    )
    return (
        "## Errors\n\nAn error is `application/problem+json` (RFC 9457), a "
        "[ProblemBody](#problembody). Besides the following, an unknown path is 404, a known one "
        "with another method 405, and what the kernel refuses, or a bug, 500.\n\n"
        + table(("status", "phrase", "when"), rows)
    )


def _kinds(base: type[LbError]) -> Iterator[type[LbError]]:
    for kind in base.__subclasses__():
        is_loxilbs = kind.__module__.endswith(".bodies")
        if kind.__module__.startswith(("headrace.model", "headrace.api")) and not is_loxilbs:
            yield kind
            yield from _kinds(kind)


def _statuses(kind: type[LbError]) -> set[HTTPStatus]:
    """The statuses of a kind of error; one that carries its own has those that its module names."""
    status = status_of(kind.__new__(kind))
    if status is not HTTPStatus.INTERNAL_SERVER_ERROR:
        return {status}
    if not kind.__module__.startswith("headrace.api"):
        return set()
    source = inspect.getsource(sys.modules[kind.__module__])
    return {
        HTTPStatus[name] for name in re.findall(rf"{kind.__name__}\(\s*HTTPStatus\.(\w+)", source)
    }


def _first_line(kind: type[LbError]) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0]


def _bodies(definitions: Mapping[str, schema.Schema]) -> str:
    """Bodies and words that are no part of the document."""
    page = "## Bodies\n\nParts of the document are on [its page](document.md).\n\n"
    words = []
    for name, told in sorted(definitions.items()):
        if name in _document_parts():
            continue
        if "properties" not in told:
            words.append((name, schema.rule_of(told, definitions), told.get("description", "")))
            continue
        rows = [
            (
                code(key),
                _type(each, definitions),
                schema.rule_of(each, definitions),
                each.get("description", ""),
            )
            for key, each in told["properties"].items()
        ]
        page += f"### {name}\n\n{told.get('description', '')}\n\n"
        page += table(("key", "type", "rule", "meaning"), rows)
    return page + "### Words\n\n" + table(("word", "one of", "meaning"), words)


_NOT_SERVED = "Whatever else LoxiLB has."
"""Of the route that refuses what is not served."""


def _loxilb() -> str:
    """Paths for clients that were made for LoxiLB."""
    served, empty, refused = [], [], []
    for route in build_loxilb(FakeOperator(), FakeHost()).routes:
        assert isinstance(route, APIRoute)
        methods = ", ".join(map(code, sorted(route.methods or ())))
        path = code(route.path.removeprefix(PREFIX) or "/")
        text = inspect.getdoc(route.endpoint)
        if text is None:
            empty.append((methods, path, code(_answer_of(route))))
        elif text == _NOT_SERVED:
            refused.append((methods, path, "501"))
        else:
            served.append((methods, path, text.split("\n\n")[0]))
    return (
        _LOXILB
        + table(("method", "path", "what it does"), served)
        + "Lists of what is not here; clients read them without asking whether they are served:\n\n"
        + table(("method", "path", "answer"), empty)
        + "Whatever else LoxiLB has:\n\n"
        + table(("method", "path", "status"), refused)
    )


def _answer_of(route: APIRoute) -> str:
    """What a route without a text of its own always answers."""
    answer = asyncio.run(route.endpoint())
    return bytes(answer.body).decode()
