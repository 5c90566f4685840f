"""What is asked about revisions, and what is told of them."""

import json
from typing import Any

from pydantic import TypeAdapter

from headrace.control.views import RevisionDocument, RevisionView
from headrace.model import ConfigError, NotFoundError, dump_document

LIMIT_TOLD = 100
"""Revisions of one answer: each is compared to the one before it."""

DEFAULT_TOLD = 20

LIMIT_PARAMETER = {
    "name": "limit",
    "in": "query",
    "required": False,
    "description": f"how many, 1 to {LIMIT_TOLD}; {DEFAULT_TOLD} if absent",
    "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_TOLD, "default": DEFAULT_TOLD},
}

_DIGITS = 15  # of the longest number that is looked up
_views = TypeAdapter(tuple[RevisionView, ...])


def read_limit(text: str | None) -> int:
    """How many revisions are asked for. Raises ConfigError."""
    if text is None:
        return DEFAULT_TOLD
    limit = _whole(text)
    if limit is None or not 1 <= limit <= LIMIT_TOLD:
        raise ConfigError.at("limit", f"{text[:20]!r} is not a whole number from 1 to {LIMIT_TOLD}")
    return limit


def read_number(text: str) -> int:
    """The number of a revision in a path. Raises NotFoundError for what is none."""
    number = _whole(text)
    if number is None:
        raise NotFoundError(
            f"{text[:20]!r} is no revision's number; GET /v1/revisions lists those that are kept"
        )
    return number


def dump_history(views: tuple[RevisionView, ...]) -> bytes:
    """Revisions as JSON."""
    return _views.dump_json(views)


def told_revision(revision: RevisionDocument) -> dict[str, Any]:
    """One revision as plain values."""
    return {
        "number": revision.number,
        "time": revision.time.isoformat().replace("+00:00", "Z"),
        "author": revision.author,
        "document": json.loads(dump_document(revision.document)),
    }


def _whole(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if plain else None
