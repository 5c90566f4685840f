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

SLACK = 3
"""Other work on the machine fails no test: the proofs at full length hold times to their bounds."""

CLAIM = re.compile(r"^   (yes|NO) (.*)$", re.MULTILINE)
FIGURE = re.compile(
    r"(?P<text>.*): (?:<=|(?P<least>[\d.]+ m?s) to) (?P<limit>[\d.]+ m?s): "
    r"(?P<worst>[\d.]+ m?s), the worst of \d+; median [\d.]+ m?s(?:; least (?P<first>[\d.]+ m?s))?"
)
PROMISES = (
    "route gone after the last endpoint died",
    "route back after its withdrawal, by hold-down",
    "route gone after every process was killed, by FIN",
    "route gone after every process was stopped, link up, by BFD",
)


def seconds(shown: str) -> float:
    number, unit = shown.split()
    return float(number) / (1000 if unit == "ms" else 1)


def is_only_late(claim: str) -> bool:
    """Whether it is a time that missed its bound by less than the slack."""
    figure = FIGURE.fullmatch(claim)
    if figure is None or seconds(figure["worst"]) > SLACK * seconds(figure["limit"]):
        return False
    return figure["least"] is None or seconds(figure["first"]) >= seconds(figure["least"])


@pytest.mark.timeout(400)
def test_every_promise_about_routes_is_kept_by_both_speakers_and_both_routers() -> None:
    out = StringIO()
    name = own_name("prove")

    code = prove_announce(Console(file=out, width=200), short=True, name=name)

    text = out.getvalue()
    claims = CLAIM.findall(text)
    figures = {match["text"] for _, claim in claims if (match := FIGURE.fullmatch(claim))}
    missed = [claim for held, claim in claims if held == "NO"]
    wanted = {
        f"{promise} ({speaker}, {router})"
        for promise in PROMISES
        for speaker in SpeakerKind
        for router in ("BIRD", "FRR")
    }
    assert wanted <= figures, text
    assert all(is_only_late(claim) for claim in missed), text
    assert code == (1 if missed else 0), text
    assert not list(NETNS_FOLDER.glob(f"hr-{name}-*"))


@pytest.mark.parametrize(
    ("claim", "only_late"),
    [
        pytest.param("it ends: <= 100 ms: 299 ms, the worst of 2; median 9 ms", True, id="late"),
        pytest.param("it ends: <= 100 ms: 301 ms, the worst of 2; median 9 ms", False, id="later"),
        pytest.param(
            "it waits: 2.90 s to 4.00 s: 4.50 s, the worst of 2; median 3.00 s; least 2.80 s",
            False,
            id="early",
        ),
        pytest.param("0 packets are lost: 3 of 9 did not leave", False, id="no time"),
    ],
)
def test_a_claim_that_is_not_only_late_fails(claim: str, *, only_late: bool) -> None:
    assert is_only_late(claim) is only_late
