"""How LoxiLB's server reads bodies, and the errors it answers with."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from headrace.model import ConfigError, LbError
from headrace.model.problems import problems_of
from headrace.model.reading import unique_keys

# Codes above 600 are those of the library that LoxiLB's server is made with; their status is 422.
_CODE_REQUIRED = 602
_DEPTH = 8  # of a BGP policy; what is nested deeper is no key of it

_Model = TypeVar("_Model", bound="Part")


class RuleError(LbError):
    """A request that LoxiLB would answer with this status, code and text."""

    def __init__(self, status: HTTPStatus, result: str, *, code: int | None = None) -> None:
        self.status = status
        self.code = status.value if code is None else code
        super().__init__(result)


class Part(BaseModel):
    """Keys come in any case; unknown ones are nobody's business. An alias is as clients send it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _find_keys(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        aliases = (field.alias or name for name, field in cls.model_fields.items())
        known = {alias.lower(): alias for alias in aliases}
        return {known.get(key.lower(), key): value for key, value in values.items()}


def read_json(text: str) -> object:
    """Plain values from JSON and nothing else. Raises ConfigError.

    YAML is not for those who may not write documents, nor for programs: to read it takes a second
    a megabyte, and by its references a few lines mean millions of values.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ConfigError.at("", f"is not JSON ({error}); write it as JSON") from error
    except RecursionError as error:
        raise ConfigError.at("", "is nested too deeply; write it flat") from error


def parse_body(text: str, model: type[_Model]) -> _Model:
    """What a request's body says; RuleError when it is not such a body."""
    try:
        values = read_json(text)
    except ConfigError as error:
        raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed body: {error}") from error
    return parse_part(values, model)


def parse_part(values: object, model: type[_Model]) -> _Model:
    """What plain values say; RuleError when they are not such a body."""
    try:
        return model.model_validate(_plain(values))
    except ValidationError as error:
        raise _schema_error(error) from error


def refuse(status: HTTPStatus, text: str) -> RuleError:
    """An error whose text no client takes for a success."""
    if status is not HTTPStatus.CONFLICT:
        text = re.sub("exists?", "is there", text)
    return RuleError(status, text)


def _plain(value: object, depth: int = _DEPTH) -> object:
    """Values as Go reads them: null is the same as left out."""
    if depth and isinstance(value, Mapping):
        return {
            str(key): _plain(inner, depth - 1) for key, inner in value.items() if inner is not None
        }
    if depth and isinstance(value, list):
        return [_plain(inner, depth - 1) for inner in value]
    return value


def _schema_error(error: ValidationError) -> RuleError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "missing":
        field = ".".join(str(part) for part in first["loc"])
        text = f"{field} in body is required"
        return RuleError(HTTPStatus.UNPROCESSABLE_ENTITY, text, code=_CODE_REQUIRED)
    return RuleError(HTTPStatus.BAD_REQUEST, f"malformed body: {problems_of(error)[0]}")


def _refuse_constant(name: str) -> object:
    raise ConfigError.at("", f"{name} is no number of JSON; use another")
