"""The short form of `headrace lab prove announce`: every promise about routes holds here too."""

import re
from io import StringIO

import pytest
from rich.console import Console

from headrace.lab import prove_announce
from headrace.lab.namespaces import NETNS_FOLDER
from headrace.model.bgp import SpeakerKind
from tests.lab.lines import own_name

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

FIGURE = re.compile(r"(yes|NO) (.*): (<=|[\d.]+ m?s to) [\d.]+ m?s: [\d.]+ m?s, the worst of \d")
PROMISES = (
    "route gone after the last endpoint died",
    "route back after its withdrawal, by hold-down",
    "route gone after every process was killed, by FIN",
    "route gone after every process was stopped, link up, by BFD",
)


@pytest.mark.timeout(400)
def test_every_promise_about_routes_is_kept_by_both_speakers_and_both_routers() -> None:
    out = StringIO()
    name = own_name("prove")

    code = prove_announce(Console(file=out, width=200), short=True, name=name)

    text = out.getvalue()
    told = {match[2]: match[1] for match in FIGURE.finditer(text)}
    wanted = {
        f"{promise} ({speaker}, {router})"
        for promise in PROMISES
        for speaker in SpeakerKind
        for router in ("BIRD", "FRR")
    }
    assert wanted <= told.keys(), text
    assert code == 0, text
    assert not list(NETNS_FOLDER.glob(f"hr-{name}-*"))
