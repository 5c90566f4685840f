import os
from pathlib import Path

import pytest

from .better import BETTER
from .judge import judge_all

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("VECTORS", ROOT / "../shared/vectors"))


# The cases are not part of the project, so a checkout without them is not short of a privilege:
# only where they are is the test a privileged one, which CI does not let anybody skip.
if (FOLDER / "vectors.json").exists():
    pytestmark = pytest.mark.bpf
else:
    pytestmark = pytest.mark.skip(f"{FOLDER.name} holds no packet cases: name a folder in VECTORS")


def test_no_case_of_the_trade_is_rejected() -> None:
    outcomes = list(judge_all(FOLDER))

    assert [outcome for outcome in outcomes if outcome.kind == "rejected"] == []
    assert {outcome.id for outcome in outcomes if outcome.kind == "better"} == set(BETTER)
