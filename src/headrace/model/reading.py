"""Text to document and back. A document is refused as a whole, with every problem it has."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from headrace.model.bgp import Bgp
from headrace.model.changing import is_sound_change
from headrace.model.checks import contradictions
from headrace.model.document import Document, Service
from headrace.model.errors import ConfigError, Problem
from headrace.model.health import HealthCheck
from headrace.model.limits import (
    LIMIT_DOCUMENT_BYTES,
    LIMIT_ENDPOINTS_PER_DOCUMENT,
    LIMIT_HEALTH_CHECKS,
    LIMIT_POOLS,
    LIMIT_PROBLEMS,
    LIMIT_SERVICES,
)
from headrace.model.parts import parts_of, readable_parts
from headrace.model.problems import problems_of, refusal, shown, too_long

_Model = TypeVar("_Model", bound=BaseModel)

_LIMITS = {"services": LIMIT_SERVICES, "pools": LIMIT_POOLS, "health": LIMIT_HEALTH_CHECKS}


def parse_document(text: str) -> Document:
    """Read a document from YAML or JSON.

    Raises ConfigError with every problem, each with its path, the rule and the remedy.
    """
    raw = parse_values(text)
    return build_document({} if raw is None else raw)


def parse_replacement(text: str) -> Document:
    """Read a document that is to replace another; nothing at all is none then. Raises ConfigError.

    It may be a file that was cut off, or the output of a program that failed.
    """
    raw = parse_values(text)
    if raw is None:
        raise ConfigError.at(
            "", "the document is empty, which would remove all; send {} if that is meant"
        )
    return build_document(raw)


def parse_values(text: str) -> object:
    """Plain values (dicts, lists, strings, numbers) from YAML or JSON; ConfigError if neither.

    JSON is tried first: it is YAML as well, but the JSON reader is fifty times faster.
    """
    if len(text.encode(errors="surrogatepass")) > LIMIT_DOCUMENT_BYTES:
        raise ConfigError.at("", f"the document is over {LIMIT_DOCUMENT_BYTES} bytes; split it")
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # not JSON, or a number of thousands of digits
        return _parse_yaml(text)


def build_document(raw: object) -> Document:
    """Read a document from plain values (dicts, lists, strings, numbers)."""
    if not isinstance(raw, Mapping):
        raise ConfigError.at("", f"{shown(raw)} is not a document; it is a mapping of sections")
    _check_size(raw)
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error)
        if len(problems) > LIMIT_PROBLEMS:
            raise ConfigError(problems) from error
        rest = contradictions(readable_parts(raw, error))
        raise refusal([*problems, *rest]) from error
    check_document(document)
    return document


def build_service(raw: object) -> Service:
    """Read one service from plain values; paths of problems start inside the service."""
    return _build(Service, raw)


def build_bgp(raw: object) -> Bgp:
    """Read a bgp section from plain values; paths of problems start inside it."""
    return _build(Bgp, raw)


def build_health(raw: object) -> HealthCheck:
    """Read a way to check endpoints from plain values; paths of problems start inside it."""
    return _build(HealthCheck, raw)


def check_document(document: Document, *, checked: Document | None = None) -> None:
    """Refuse a document whose parts contradict each other, with every contradiction.

    `checked` is one that was not refused: what both share need not be looked at again.
    """
    if document.is_checked:
        return
    if checked is None or not is_sound_change(checked, document):
        problems = list(contradictions(parts_of(document)))
        if problems:
            raise refusal(problems)
    document.vouch()
    if checked is not None:
        document.resemble(checked)


def dump_document(document: Document) -> str:
    """The document as canonical JSON: equal documents give equal text, read by `parse_document`."""
    checks = {name: _canonical(check, depth=2) for name, check in document.health.items()}
    sections = {
        "services": _listed([service.canonical for service in document.services]),
        "pools": _named({name: pool.canonical for name, pool in document.pools.items()}, depth=1),
        "health": _named(checks, depth=1),
        "bgp": "" if document.bgp is None else _canonical(document.bgp, depth=1),
        "node": document.node.canonical,
        "cluster": document.cluster.canonical,
    }
    told = {name: text for name, text in sections.items() if text not in {"", "{}"}}
    return _named(told, depth=0) or "{}"


def _canonical(part: BaseModel, *, depth: int) -> str:
    values = part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(values, indent=2, sort_keys=True).replace("\n", "\n" + "  " * depth)


def _listed(texts: Sequence[str]) -> str:
    """A section's list of JSON values, as `json.dumps` indents it; empty for none."""
    joined = ",\n    ".join(texts)
    return f"[\n    {joined}\n  ]" if texts else ""


def _named(texts: Mapping[str, str], *, depth: int) -> str:
    """The same for values by name, so deep in the document."""
    space = "\n" + "  " * depth
    lines = [f"{json.dumps(name)}: {text}" for name, text in sorted(texts.items())]
    joined = f",{space}  ".join(lines)
    return f"{{{space}  {joined}{space}}}" if texts else ""


class _UniqueKeyLoader(yaml.CSafeLoader):
    """YAML that refuses a key given twice, where plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                problem = f"{shown(key)} cannot be a key; use text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = f"the key {shown(key)} is given twice; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError.at("", f"neither YAML nor JSON: {where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError.at("", f"neither YAML nor JSON: {error}") from error
    except RecursionError as error:
        raise ConfigError.at("", "is nested too deeply; write it flat") from error
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # PyYAML's constructors let these through for `!!int x`, `2001-99-99` and the like.
        raise ConfigError.at("", f"has a value that YAML cannot read: {error}") from error


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """What `json.loads` makes of an object's pairs. Raises ConfigError for a key given twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        raise ConfigError.at("", f"the key {shown(twice[0])} is given twice; keep one of them")
    return values


def _refuse_constant(name: str) -> object:
    raise ConfigError.at("", f"{name} is not a number that a document may hold; use another")


def _check_size(raw: Mapping[object, object]) -> None:
    """Refuse more parts than any document has, before time is spent on them.

    A few lines of YAML can mean millions of endpoints by referring to a list again and again.
    """
    lengths = {
        name: len(part) for name, part in raw.items() if isinstance(part, Mapping | list | tuple)
    }
    long = [
        Problem(name, too_long(lengths[name], limit))
        for name, limit in _LIMITS.items()
        if lengths.get(name, 0) > limit
    ]
    if long:
        raise ConfigError(long)
    count = 0
    for section in (raw.get("services"), raw.get("pools")):
        for part in _values_of(section):
            endpoints = part.get("endpoints") if isinstance(part, Mapping) else None
            count += len(endpoints) if isinstance(endpoints, list | tuple) else 0
    if count > LIMIT_ENDPOINTS_PER_DOCUMENT:
        raise ConfigError.at(
            "", f"{count} endpoints are over the limit of {LIMIT_ENDPOINTS_PER_DOCUMENT}; split it"
        )


def _values_of(section: object) -> Iterable[object]:
    if isinstance(section, Mapping):
        return section.values()
    return section if isinstance(section, list | tuple) else ()


def _build(model: type[_Model], raw: object) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from error
