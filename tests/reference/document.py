"""The page of the operator's document, and its JSON schema, from the models that read it."""

import ast
import enum
import functools
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from headrace.model import ConfigError, Document, parse_document
from headrace.model.problems import shown
from tests.reference import schema
from tests.reference.markdown import block, code, sentence, table

EXAMPLE = Path(__file__).parent / "document.yaml"
REFUSED = Path(__file__).parent / "refused.yaml"

_HEAD = """\
# The document

Generated from the models that read it; a test compares the two.

The document is the operator's whole configuration, in YAML or JSON. It is taken as a whole, or
refused as a whole with every problem by its path, the rule and the remedy: an unknown key, a key
given twice, and a value out of its range are refused. [document.schema.json](document.schema.json)
is its JSON schema, for editors: put `# yaml-language-server: $schema=document.schema.json` on top
of a document beside it.

An absent key has its default. `-` means that there is none: the meaning says what is done then. A
name that ends in `_s` is in seconds, in `_ms` in milliseconds. Addresses are written as
`192.0.2.1` or `2001:db8::1`, without an interface.

## Example

"""

_NONSENSE = "\0?"
"""What no value that has a rule of its own takes."""

_LONG = 60
"""Characters; a section that takes more is shown above as a whole."""

_LIKELY: Mapping[str, tuple[object, ...]] = {
    "boolean": (True, False),
    "integer": (100, 2),
    "number": (0.5,),
    "string": ("ready", "/ready", "64512:100", "50%", "192.0.2.9:8443"),
    "object": ({},),
}
"""Values of a type that a key may take."""

_PATTERNS = {
    "ipv4network": r"^[0-9.]+(/[0-9]{1,2})?$",
    "ipv6network": r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
}
"""Formats that JSON schema does not know; it has none of a prefix."""


def build_page() -> str:
    """The page in Markdown."""
    page = _HEAD + block(EXAMPLE.read_text(), "yaml")
    for section in _sections():
        page += _section_text(section)
    page += "## Words\n\nWhat the words mean that keys take.\n\n"
    for name, kind in sorted(_enums().items()):
        page += _words(name, kind)
    return page + _refusals()


def build_schema() -> str:
    """The JSON schema (draft 2020-12), as a file."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_plain(_schema()),
        "title": "Headrace document",
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def undescribed() -> list[str]:
    """Keys that say nothing of themselves, and are no section that does."""
    return [
        f"{section}.{key}"
        for section in _sections()
        for key, told in _keys(section).items()
        if not _meaning(told)
    ]


def without_example() -> list[str]:
    """Keys for which no value was found that a document takes."""
    return [
        f"{section}.{key}"
        for section in _sections()
        for key in _keys(section)
        if not _example(section, key)
    ]


@functools.cache
def _schema() -> dict[str, Any]:
    return Document.model_json_schema(by_alias=True)


def _definitions() -> Mapping[str, schema.Schema]:
    found: dict[str, schema.Schema] = _schema()["$defs"]
    return found


def _keys(section: str) -> Mapping[str, Any]:
    found = _schema() if section == "Document" else _definitions()[section]
    keys: Mapping[str, Any] = found["properties"]
    return keys


@functools.cache
def _sections() -> tuple[str, ...]:
    """The sections in the order in which the document leads to them."""
    found = ["Document"]
    for section in found:
        for told in _keys(section).values():
            found += [name for name in _referred(told) if name not in found]
    return tuple(found)


def _referred(told: object) -> Iterator[str]:
    """Sections that a part of a schema names."""
    if isinstance(told, Mapping):
        name = schema.name_of(told)
        if name is not None and "properties" in _definitions()[name]:
            yield name
        for inner in told.values():
            yield from _referred(inner)
    elif isinstance(told, list):
        for inner in told:
            yield from _referred(inner)


@functools.cache
def _places() -> Mapping[str, tuple[str, ...]]:
    """Where in the document a section stands."""
    found: dict[str, list[str]] = {"Document": [""]}
    for section in _sections():
        for key, told in _keys(section).items():
            for path in found[section]:
                for name in dict.fromkeys(_referred(told)):
                    found.setdefault(name, []).append(f"{path}.{key}{_step(told)}".lstrip("."))
    return {name: tuple(paths) for name, paths in found.items()}


def _step(told: schema.Schema) -> str:
    kinds = {each.get("type") for each in schema.branches(told)}
    if "array" in kinds:
        return "[]"
    named = [
        inner
        for each in schema.branches(told)
        for inner in each.get("patternProperties", {}).values()
    ]
    if not named:
        return ""
    return ".NAME[]" if any(inner.get("type") == "array" for inner in named) else ".NAME"


def _section_text(section: str) -> str:
    described = _schema() if section == "Document" else _definitions()[section]
    places = [path for path in _places()[section] if path]
    page = f"## {section}\n\n{described.get('description', '')}\n\n"
    if places:
        page += f"At {', '.join(map(code, places))}.\n\n"
    required = set(described.get("required", ()))
    rows = [
        (
            code(key),
            schema.type_of(told, _definitions()),
            _default(told, is_required=key in required),
            schema.rule_of(told, _definitions(), functools.partial(_refusal, section, key)),
            _meaning(told),
            code(_example(section, key)),
        )
        for key, told in _keys(section).items()
    ]
    return page + table(("key", "type", "default", "rule", "meaning", "example"), rows)


def _default(told: schema.Schema, *, is_required: bool) -> str:
    if is_required:
        return "required"
    value = told.get("default")
    if value is None or isinstance(value, dict):
        return "-"
    return code(json.dumps(value, ensure_ascii=False))


def _meaning(told: schema.Schema) -> str:
    """What a key says of itself, or else what the section or the words behind it do."""
    if "description" in told:
        return str(told["description"])
    for each in schema.branches(told):
        inner = each.get("items", each)
        for entry in [inner, *inner.get("patternProperties", {}).values()]:
            name = schema.name_of(entry)
            if name is not None:
                return sentence(_definitions()[name].get("description", ""))
    return ""


def _model_of(section: str) -> type[BaseModel]:
    """The model of a section."""
    found: list[type[BaseModel]] = [Document]
    for each in found:
        if each.__name__ == section:
            return each
        for field in each.model_fields.values():
            found += [m for m in _models_in(field.annotation) if m not in found]
    raise LookupError(section)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _refusal(section: str, key: str) -> str:
    """What a refusal says of a value that is text, but not of the kind that the key takes."""
    field = next(
        field
        for name, field in _model_of(section).model_fields.items()
        if key in {name, field.alias}
    )
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    for value in (_NONSENSE, [_NONSENSE]):
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[-1]["msg"].removeprefix("Value error, ")
            told, _, rule = message.partition(f"{shown(_NONSENSE)} is ")
            if rule and not told:
                return rule
    return ""


@functools.cache
def _base() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return values


@functools.cache
def _example(section: str, key: str) -> str:
    """A value that the key takes: the example's, or the first candidate that makes a document."""
    for path in _places()[section]:
        for part in _parts(_base(), path):
            if key in part:
                return _shown_example(key, part[key])
    for path in _places()[section]:
        count = len(list(_parts(_base(), path)))
        for index in range(count):
            for value in _candidates(_keys(section)[key]):
                changed = json.loads(json.dumps(_base()))
                list(_parts(changed, path))[index][key] = value
                if _is_document(changed):
                    return _shown_example(key, value)
    return ""


def _shown_example(key: str, value: object) -> str:
    """The key and its value on one line; of a whole section only that there is one."""
    text = _flow(key, value)
    if isinstance(value, dict) and len(text) > _LONG:
        return f"{key}: {{...}}"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return f"{key}: [...]"
    return text


def _flow(key: str, value: object) -> str:
    """As YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"{key}: {text.strip().removesuffix('...').strip()}"


def _parts(values: Any, path: str) -> Iterator[dict[str, Any]]:
    """The mappings at a place such as `pools.NAME.endpoints[]` or `policies.NAME[]`."""
    step, _, rest = path.partition(".")
    if not step:
        if isinstance(values, dict):
            yield values
        return
    if not isinstance(values, dict):
        return
    if step in {"NAME", "NAME[]"}:
        for inner in values.values():
            for each in inner if step == "NAME[]" and isinstance(inner, list) else [inner]:
                yield from _parts(each, rest)
        return
    inner = values.get(step.removesuffix("[]"))
    for each in inner if step.endswith("[]") and isinstance(inner, list) else [inner]:
        yield from _parts(each, rest)


def _candidates(told: schema.Schema) -> Iterator[object]:
    """Values that a key may take, the more telling ones first."""
    for each in schema.branches(told):
        name = schema.name_of(each)
        whole = _definitions()[name] if name is not None else each
        kind = str(whole.get("type"))
        if kind == "array":
            yield from ([inner] for inner in _candidates(whole.get("items", {})))
        yield from whole.get("enum", ())
        yield from (() if "format" in whole else _LIKELY.get(kind, ()))
        yield from (whole[bound] for bound in ("const", "minimum", "maximum") if bound in whole)
        if kind == "string":
            yield from ("192.0.2.9", "2001:db8::9", "192.0.2.0/24", "2001:db8::/32")
    if told.get("default") is not None:
        yield told["default"]


def _is_document(values: dict[str, Any]) -> bool:
    try:
        parse_document(json.dumps(values))
    except ConfigError:
        return False
    return True


def _enums() -> dict[str, type[enum.StrEnum]]:
    """The words that keys take."""
    # Other rooms have enumerations of the same names.
    ours = (
        each
        for each in enum.StrEnum.__subclasses__()
        if each.__module__.startswith("headrace.model.")
    )
    kinds = {each.__name__: each for each in ours}
    return {name: kinds[name] for name in _definitions() if name in kinds}


def _words(name: str, kind: type[enum.StrEnum]) -> str:
    meanings = _member_meanings(kind)
    rows = [(code(member.value), sentence(meanings.get(member.name, ""))) for member in kind]
    page = f"### {name}\n\n{(kind.__doc__ or '').strip()}\n\n"
    if any(meaning for _, meaning in rows):
        return page + table(("word", "meaning"), rows)
    return page + f"{', '.join(word for word, _ in rows)}.\n\n"


def _member_meanings(kind: type[enum.StrEnum]) -> dict[str, str]:
    """The text behind each member in the source."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, behind in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and is_text:
            found[line.targets[0].id] = str(behind.value.value)  # type: ignore[attr-defined]
    return found


def _refusals() -> str:
    page = "## What is refused\n\nA part of a document, and what is said of it.\n\n"
    for part in REFUSED.read_text().split("---\n")[1:]:
        page += block(part, "yaml") + block(_problems(part))
    return page


def _problems(part: str) -> str:
    try:
        parse_document(part)
    except ConfigError as error:
        return "\n".join(map(str, error.problems))
    raise AssertionError(f"taken, and not refused:\n{part}")


def _plain(told: Any) -> Any:
    """A schema with nothing that JSON schema does not know, and without titles."""
    if isinstance(told, list):
        return [_plain(each) for each in told]
    if not isinstance(told, dict):
        return told
    plain = {
        key: _plain(value)
        for key, value in told.items()
        if not (key == "title" and isinstance(value, str))
    }
    if plain.get("format") in _PATTERNS:
        plain["pattern"] = _PATTERNS[plain.pop("format")]
    return plain
