"""A large heap is walked once."""

import gc

import pytest

from headrace.daemon import collecting


def test_what_survives_a_long_collection_is_not_walked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "callbacks", list(gc.callbacks))
    frozen = gc.get_freeze_count()
    gc.collect()
    collecting.freeze_what_stays()
    note = gc.callbacks[-1]
    try:
        monkeypatch.setattr(collecting, "LONG_S", 1e9)
        note("start", {"generation": 2})
        note("stop", {"generation": 2})
        assert gc.get_freeze_count() == frozen

        monkeypatch.setattr(collecting, "LONG_S", -1.0)
        for generation in (0, 1):
            note("start", {"generation": generation})
            note("stop", {"generation": generation})
        assert gc.get_freeze_count() == frozen

        note("start", {"generation": 2})
        note("stop", {"generation": 2})
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
