"""What differs between two documents, by paths that name an entry and not its place in a list."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from headrace.model.document import Document
from headrace.model.problems import path_of
from headrace.model.reading import dump_document

_LISTED = 3  # paths of each kind in one line


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths of what came, of what went, and of what has another value; no values, so no secrets."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The difference on one line."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        told = [f"{kind} {_some(paths)}" for kind, paths in kinds.items() if paths]
        return "; ".join(told) or "nothing"


def compare_values(before: object, after: object) -> Difference:
    """How plain values of a document differ; an entry that came or went is one path."""
    found: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    for kind, path in _compare("", before, after):
        found[kind].append(path)
    return Difference(**{kind: tuple(paths) for kind, paths in found.items()})


def document_values(document: Document) -> object:
    """The document as plain values: equal documents give equal ones."""
    return json.loads(dump_document(document))


def dump_yaml(values: object) -> str:
    """Plain values as canonical YAML; an empty document is an empty mapping."""
    text: str = yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
    return text


def _compare(path: str, before: object, after: object) -> Iterator[tuple[str, str]]:
    if before == after:
        return
    old, new = _entries(before), _entries(after)
    listed = isinstance(after, list)
    if old is None or new is None or listed != isinstance(before, list):
        yield "changed", path or "the document"
        return
    for key in [*old, *(key for key in new if key not in old)]:
        below = f"{path}[{key}]" if listed else _path_of_key(path, key)
        if key not in new:
            yield "removed", below
        elif key not in old:
            yield "added", below
        else:
            yield from _compare(below, old[key], new[key])
    if listed and [key for key in old if key in new] != [key for key in new if key in old]:
        yield "changed", f"{path} (order)"


def _path_of_key(path: str, key: str) -> str:
    """The path of what a mapping at a path has under a key."""
    step = path_of((key,))
    return f"{path}{step}" if step.startswith("[") or not path else f"{path}.{step}"


def _entries(value: object) -> Mapping[str, object] | None:
    """The entries of a mapping or of a list by what names them; None for what has no names."""
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if not isinstance(value, list):
        return None
    named = {_name_of(each): each for each in value}
    if "" in named or len(named) != len(value):
        return None
    return named


def _name_of(entry: object) -> str:
    """What names an entry among others of its list; empty if nothing does."""
    if not isinstance(entry, Mapping):
        return ""
    if "vip" in entry:
        return f"{entry['vip']}:{entry.get('port')}/{entry.get('protocol')}"
    return str(entry.get("address") or entry.get("endpoint") or "")


def _some(paths: Sequence[str]) -> str:
    rest = len(paths) - _LISTED
    return ", ".join(paths[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
