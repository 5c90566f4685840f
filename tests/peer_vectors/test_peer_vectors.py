import os
from pathlib import Path

import pytest

from .better import BETTER
from .judge import judge_all

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("VECTORS", ROOT / "../shared/vectors"))


@pytest.fixture
def folder() -> Path:
    if not (FOLDER / "vectors.json").exists():
        pytest.skip(f"{FOLDER} holds no packet cases: name their folder in VECTORS")
    return FOLDER


@pytest.mark.bpf
def test_no_case_of_the_trade_is_rejected(folder: Path) -> None:
    outcomes = list(judge_all(folder))

    assert [outcome for outcome in outcomes if outcome.kind == "rejected"] == []
    assert {outcome.id for outcome in outcomes if outcome.kind == "better"} == set(BETTER)
