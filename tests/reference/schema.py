"""A JSON schema's types and rules in words."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.reference.markdown import anchor, code, codes

Schema = Mapping[str, Any]
Link = Callable[[str], str | None]
"""Where a definition is described, if anywhere."""


def on_this_page(name: str) -> str | None:
    """The link to a definition that has a heading on the same page."""
    return anchor(name)


_FORMATS = {
    frozenset({"ipv4"}): "IPv4 address",
    frozenset({"ipv6"}): "IPv6 address",
    frozenset({"ipv4", "ipv6"}): "address",
    frozenset({"ipv4network", "ipv6network"}): "prefix",
    frozenset({"ipv4", "ipv4network"}): "IPv4 address or prefix",
    frozenset({"ipv6", "ipv6network"}): "IPv6 address or prefix",
    frozenset({"ipv4", "ipv6", "ipv4network", "ipv6network"}): "address or prefix",
}
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "mapping",
}


def name_of(schema: Schema) -> str | None:
    """The name of the definition that a schema refers to."""
    reference = schema.get("$ref")
    return None if reference is None else str(reference).rpartition("/")[2]


def branches(schema: Schema) -> list[Schema]:
    """What a value may be, null left out."""
    return [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]


def type_of(schema: Schema, definitions: Mapping[str, Schema], link: Link = on_this_page) -> str:
    """A schema's type in words, with links to what is described elsewhere."""
    words: list[str] = []
    formats = frozenset(each["format"] for each in branches(schema) if "format" in each)
    if formats:
        words.append(_FORMATS.get(formats, " or ".join(sorted(formats))))
    for each in branches(schema):
        if "format" not in each:
            word = _branch_type(each, definitions, link)
            if word not in words:
                words.append(word)
    return " or ".join(words)


def _branch_type(schema: Schema, definitions: Mapping[str, Schema], link: Link) -> str:
    name = name_of(schema)
    if name is not None:
        target = definitions.get(name, {})
        word = "word" if "enum" in target else name
        where = link(name)
        return word if where is None else f"[{word}]({where})"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return "word"
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}), definitions, link)}"
    entries = _entries(schema)
    if entries is not None:
        return f"names, each with {type_of(entries, definitions, link)}"
    return _TYPES.get(str(schema.get("type")), "anything")


def _entries(schema: Schema) -> Schema | None:
    """What stands under any name in a mapping without keys of its own."""
    for each in schema.get("patternProperties", {}).values():
        return dict(each)
    additional = schema.get("additionalProperties")
    return additional if isinstance(additional, Mapping) else None


def rule_of(
    schema: Schema, definitions: Mapping[str, Schema], refusal: Callable[[], str] = lambda: ""
) -> str:
    """A schema's rule in words; where it has none of its own, what a refusal says."""
    rules = [rule for each in branches(schema) if (rule := _branch_rule(each, definitions))]
    is_text = any(_holds_text(each) for each in branches(schema))
    return "; ".join(dict.fromkeys(rules)) or (refusal() if is_text else "")


def _holds_text(schema: Schema) -> bool:
    """Whether it is text that has no format, or a list of such."""
    if schema.get("type") == "array":
        return any(_holds_text(each) for each in branches(schema.get("items", {})))
    return schema.get("type") == "string" and "format" not in schema


def _branch_rule(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    name = name_of(schema)
    if name is not None:
        target = definitions.get(name, {})
        return "" if "properties" in target else _branch_rule(target, definitions)
    if "enum" in schema:
        return codes(schema["enum"])
    rules = [_range(schema.get("minimum"), schema.get("maximum"))]
    rules.append(_range(schema.get("minLength"), schema.get("maxLength"), "characters: "))
    rules.append(_range(schema.get("minItems"), schema.get("maxItems"), "entries: "))
    rules.append(_range(None, schema.get("maxProperties"), "entries: "))
    if "pattern" in schema:
        rules.append(code(schema["pattern"]))
    if schema.get("type") == "array":
        rules.append(rule_of(schema.get("items", {}), definitions))
    return ", ".join(rule for rule in rules if rule)


def _range(low: float | None, high: float | None, what: str = "") -> str:
    low, high = _whole(low), _whole(high)
    if low is None and high is None:
        return ""
    if high is None:
        return f"{what}at least {low}"
    if low is None:
        return f"{what}at most {high}"
    return f"{what}{low} to {high}"


def _whole(number: float | None) -> float | None:
    """OpenAPI's bounds are floats, also those of whole numbers."""
    return int(number) if number is not None and number == int(number) else number
