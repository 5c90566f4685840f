"""LoxiLB's whole configuration at once: export, import, and what a request may say."""

from collections.abc import Mapping
from email import policy
from email.parser import BytesParser
from http import HTTPStatus
from types import UnionType
from typing import Any, get_args

from fastapi import Request, Response
from pydantic.fields import FieldInfo

from headrace.api import loxilb_bgp, loxilb_firewall, probes
from headrace.api.answers import author_of, read_body, text_of
from headrace.api.bodies import Part, RuleError
from headrace.api.loxilb_answers import Route, answer, success
from headrace.api.loxilb_host import Parameters
from headrace.api.loxilb_import import export_configuration, import_configuration, read_files
from headrace.api.loxilb_metrics import MetricsConfiguration
from headrace.api.rules import Rule
from headrace.control.ports import Operator
from headrace.model import ConfigError
from headrace.model.limits import LIMIT_DOCUMENT_BYTES

BODIES: Mapping[str, type[Part]] = {
    "/config/loadbalancer": Rule,
    "/config/endpoint": probes.HostProbe,
    "/config/endpointhoststate": probes.HostState,
    "/config/bgp/neigh": loxilb_bgp.Neighbour,
    "/config/bgp/global": loxilb_bgp.Global,
    "/config/cistate": loxilb_bgp.Cistate,
    "/config/bfd": loxilb_bgp.BfdSession,
    "/config/firewall": loxilb_firewall.FirewallRule,
    "/config/params": Parameters,
    "/config/metrics": MetricsConfiguration,
}
"""What is posted where."""

_TYPES = {bool: "boolean", int: "integer", str: "string"}
_MULTIPART = "multipart/form-data"
_PART = "configuration"


def add_files(route: Route, operator: Operator) -> None:
    """Add the routes about the whole configuration."""
    answers = _Files(operator)
    route("GET", "/config/export", answers.get_export)
    route("POST", "/config/import", answers.post_import)
    route("GET", "/meta", answers.get_meta)


class _Files:
    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def get_export(self) -> Response:
        """Every rule, check and BFD session, as the import takes them."""
        exported = answer(export_configuration(self._operator.document, self._operator.status()))
        exported.headers["Content-Disposition"] = "attachment; filename=headrace-loxilb.json"
        return exported

    async def post_import(self, request: Request) -> Response:
        """Have exactly these rules, and these checks and BFD sessions besides; or nothing of it.

        `?mode=add` leaves the rules that there are. Takes a form with the file `configuration`, as
        LoxiLB does, or the JSON itself.
        """
        mode = request.query_params.get("mode", "replace")
        if mode not in {"add", "replace"}:
            text = f"malformed mode {mode[:20]!r}: it is neither add nor replace"
            raise RuleError(HTTPStatus.BAD_REQUEST, text)
        text = await read_body(request, LIMIT_DOCUMENT_BYTES)
        raw = _read_configuration(request.headers.get("content-type", ""), text)
        await self._operator.edit(
            lambda document: import_configuration(document, raw, replace=mode == "replace"),
            author=author_of(request, "loxilb"),
        )
        return success()

    async def get_meta(self) -> Response:
        """What each body may have: its fields as clients write them; any case is taken."""
        fields = {path: {"method": "POST", "fields": _fields(m)} for path, m in BODIES.items()}
        return answer(fields)


def _read_configuration(content_type: str, text: str) -> object:
    """The configuration in a request's body."""
    if content_type.partition(";")[0].strip().lower() == _MULTIPART:
        text = _file_of(content_type, text)
    return read_files({"configuration": text})["configuration"]


def _file_of(content_type: str, body: str) -> str:
    """The file in a form (RFC 7578)."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = BytesParser(policy=policy.HTTP).parsebytes(head + body.encode())
    for part in form.iter_parts():
        if part.get_param("name", header="content-disposition") == _PART:
            content = part.get_payload(decode=True)
            if not isinstance(content, bytes):  # a form in the form
                break
            return text_of(content)
    raise ConfigError.at("", f"the form has no file {_PART!r}; send the configuration as that")


def _fields(model: type[Part]) -> dict[str, Any]:
    """A body's fields as LoxiLB tells them: type, and whether they must be there."""
    return {
        field.alias or name: _field(field.annotation, field)
        for name, field in model.model_fields.items()
    }


def _field(annotation: Any, field: FieldInfo) -> dict[str, Any]:  # noqa: ANN401 - a type
    inner = get_args(annotation)
    if isinstance(annotation, UnionType):
        return _field(inner[0], field)
    if inner:
        items = _fields(inner[0])
        return {"type": "array", "required": field.is_required(), "items": items}
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _fields(annotation)
    return {"type": _TYPES[annotation], "required": field.is_required()}
