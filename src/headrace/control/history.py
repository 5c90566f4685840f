"""What the revisions that are kept tell: who changed what, and when."""

import json
from collections.abc import Sequence
from itertools import pairwise

from headrace.control.ports import KeptRevision
from headrace.control.views import RevisionDocument, RevisionView
from headrace.model import UnavailableError, parse_document
from headrace.model.comparing import compare_values

_NOT_KEPT = "not known, the revision before is not kept any more"
_BEFORE_DAMAGED = "not known, the revision before has changed on disk"
_DAMAGED = "not known, it has changed on disk"
_UNREADABLE = object()
"""In the place of a text's values."""


def view_history(kept: Sequence[KeptRevision], limit: int) -> tuple[RevisionView, ...]:
    """The first revisions of those given, newest first, each compared to the one before it.

    Texts are compared as they were written: an earlier version may have had other keys.
    """
    values = ((each, _values(each)) for each in kept)  # two at a time in memory
    views = [_view(after, _change(old, new)) for (after, new), (_before, old) in pairwise(values)]
    if kept:
        first = kept[-1].number == 1
        views.append(_view(kept[-1], _change({}, _values(kept[-1])) if first else _NOT_KEPT))
    return tuple(views[:limit])


def read_revision(kept: KeptRevision) -> RevisionDocument:
    """A revision with its document; ConfigError when this version does not take it."""
    return RevisionDocument(kept.number, kept.time, kept.author, parse_document(kept.text))


def _view(kept: KeptRevision, change: str) -> RevisionView:
    return RevisionView(kept.number, kept.time, kept.author, change)


def _change(old: object, new: object) -> str:
    """What differs, on one line, as far as both can be read."""
    if new is _UNREADABLE:
        return _DAMAGED
    return _BEFORE_DAMAGED if old is _UNREADABLE else str(compare_values(old, new))


def _values(kept: KeptRevision) -> object:
    try:
        return json.loads(kept.text)
    except UnavailableError:  # one damaged revision keeps none of the others from being told
        return _UNREADABLE
