import re
from pathlib import Path

import pytest

from headrace.dataplane import Action, all_verdicts, reference

BEGINNINGS = {
    Action.PASS: "pass_",
    Action.DROP: "drop_",
    Action.SEND: "sent",
    Action.ANSWER: "answered_",
}


@pytest.mark.parametrize("program", ["headrace", "tailrace"])
def test_verdict_names_say_their_action(program: str) -> None:
    for verdict in all_verdicts(program):
        assert verdict.name.startswith(BEGINNINGS[verdict.action])
        assert verdict.meaning


def test_every_verdict_in_the_reference_is_on_the_list() -> None:
    text = Path(reference.__file__).read_text()
    named = set(re.findall(r'"((?:pass|drop)_\w+|sent)"', text))
    assert named <= {verdict.name for verdict in all_verdicts()}
