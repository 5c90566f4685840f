"""What the revisions that are kept tell: who changed what, and when."""

import json
from collections.abc import Sequence
from itertools import pairwise

from headrace.control.ports import Kept
from headrace.control.views import RevisionDocument, RevisionView
from headrace.model import parse_document
from headrace.model.comparing import compare_values

_NOT_KEPT = "not known, the revision before is not kept any more"


def view_history(kept: Sequence[Kept], limit: int) -> tuple[RevisionView, ...]:
    """The first revisions of those given, newest first, each compared to the one before it.

    Texts are compared as they were written: an earlier version may have had other keys.
    """
    values = ((each, _values(each)) for each in kept)  # two at a time in memory
    views = [
        _view(after, str(compare_values(old, new)))
        for (after, new), (_before, old) in pairwise(values)
    ]
    if kept:
        first = kept[-1].number == 1
        views.append(
            _view(kept[-1], str(compare_values({}, _values(kept[-1]))) if first else _NOT_KEPT)
        )
    return tuple(views[:limit])


def read_revision(kept: Kept) -> RevisionDocument:
    """A revision with its document; ConfigError when this version does not take it."""
    return RevisionDocument(kept.number, kept.time, kept.author, parse_document(kept.text))


def _view(kept: Kept, change: str) -> RevisionView:
    return RevisionView(kept.number, kept.time, kept.author, change)


def _values(kept: Kept) -> object:
    return json.loads(kept.text)
