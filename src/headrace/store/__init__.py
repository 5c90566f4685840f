"""Numbered revisions of the document's text, kept so that a crash at any moment loses none.

The store keeps text and never looks into it: what a document means is decided above.
"""

from headrace.store.revisions import PackedRevision, Revision, Store

__all__ = ["PackedRevision", "Revision", "Store"]
