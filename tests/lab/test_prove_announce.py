"""The short form of `headrace lab prove announce`: every promise about routes holds here too."""

import re
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console

from headrace.lab import prove_announce
from headrace.model.bgp import SpeakerKind
from tests.lab.lines import left_of, own_name

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

SLACK = 3
"""Other work on the machine fails no test: the proofs at full length hold times to their bounds."""

CLAIM = re.compile(r"^   (yes|NO) (.*)$", re.MULTILINE)
FIGURE = re.compile(
    r"(?P<text>.*): (?:<=|(?P<least>[\d.]+ m?s) to) (?P<limit>[\d.]+ m?s): "
    r"(?P<worst>[\d.]+ m?s), the worst of \d+; median [\d.]+ m?s(?:; least (?P<first>[\d.]+ m?s))?"
)
TIMES = (
    "route gone after the last endpoint died",
    "route back after its withdrawal, by hold-down",
    "route gone after every process was killed, by FIN",
    "route gone after every process was stopped, link up, by BFD",
)
OF_EXABGP = (
    "0 packets are lost by a planned drain (exabgp, BIRD)",
    "0 packets are lost by a planned drain (exabgp, FRR)",
    "no router is ever left without a next hop by a planned drain (exabgp, BIRD)",
    "route gone after the daemon alone was killed, by its relay (exabgp, BIRD)",
    "with a wrong MD5 key the session with 11.11.11.253 stays down, and status says so",
    "the other session stays up",
)
OF_BIRD = (
    "0 packets are lost by a planned drain (bird, BIRD)",
    "no router is ever left without a next hop by a planned drain (bird, BIRD)",
    "old connections stay on an endpoint that drains, and none breaks (bird, BIRD)",
    "old connections stay on an endpoint that drains, and none breaks (bird, FRR)",
    "the last old connection ends after --timeout is over (bird, BIRD)",
    "an endpoint that died 6 times in ",
    "both still announce, and every new connection is answered (bird)",
)
OF_THE_REST = (
    "last packet to an endpoint after its death, p99 (20 of 100 endpoints, tcp each 250 ms)",
    "each that dies is sent to until then, and in the end all packets go to the living",
    "last packet by the old next hop after the kernel's route changed (BIRD on the node",
    "last packet by the old next hop after the kernel's route changed (FRR on the node",
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


def every_promise_holds(
    name: str, promises: Sequence[str], speakers: Sequence[SpeakerKind], *, with_rest: bool
) -> None:
    """Run one part of the short form; each promise was tried, and none missed but for slack."""
    out = StringIO()
    name = own_name(name)

    code = prove_announce(
        Console(file=out, width=200), speakers=speakers, with_rest=with_rest, short=True, name=name
    )

    text = out.getvalue()
    claims = CLAIM.findall(text)
    missed = [claim for held, claim in claims if held == "NO"]
    untried = [each for each in promises if not any(claim.startswith(each) for _, claim in claims)]
    assert untried == [], text
    assert all(is_only_late(claim) for claim in missed), text
    assert code == (1 if missed else 0), text
    assert left_of(name) == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("speaker", "promises"),
    [
        pytest.param(SpeakerKind.EXABGP, OF_EXABGP, id="exabgp"),
        pytest.param(SpeakerKind.BIRD, OF_BIRD, id="bird"),
    ],
)
def test_every_promise_about_routes_is_kept_by_both_speakers_and_both_routers(
    speaker: SpeakerKind, promises: Sequence[str]
) -> None:
    times = [f"{each} ({speaker}, {router})" for each in TIMES for router in ("BIRD", "FRR")]

    every_promise_holds(speaker, [*times, *promises], [speaker], with_rest=False)


@pytest.mark.timeout(240)
def test_packets_soon_go_no_more_to_the_dead_or_by_an_old_next_hop() -> None:
    every_promise_holds("rest", OF_THE_REST, [], with_rest=True)


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
