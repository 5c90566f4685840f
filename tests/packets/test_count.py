"""The packet cases as a whole: how many, how named, what they reach."""

from collections import Counter

from headrace.dataplane import all_verdicts

from .every import CASES

LEAST_CASES = 400
UNREACHABLE = {
    "drop_internal",  # only tables that contradict each other lead there,
    "drop_no_room",  # only a driver without headroom
}


def test_there_are_as_many_cases_as_the_data_plane_deserves() -> None:
    assert len(CASES) >= LEAST_CASES


def test_each_case_has_a_sentence_of_its_own() -> None:
    repeated = [s for s, times in Counter(case.sentence for case in CASES).items() if times > 1]

    assert repeated == []


def test_every_verdict_is_reached() -> None:
    reached = {case.verdict for case in CASES}

    assert {verdict.name for verdict in all_verdicts()} - reached == UNREACHABLE


def test_what_is_passed_or_dropped_is_expected_unchanged() -> None:
    changed = [
        case.sentence
        for case in CASES
        if case.action in {"pass", "drop"} and case.expected != case.packet
    ]

    assert changed == []
