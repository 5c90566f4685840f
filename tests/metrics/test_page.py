"""The reference page is the table's."""

from headrace.metrics import LEGACY, METRICS, build_page
from headrace.metrics.legacy import ABSENT
from tests.house.source import ROOT

PAGE = ROOT / "docs/reference/metrics.md"


def test_the_reference_page_is_fresh() -> None:
    assert PAGE.read_text() == build_page(), "stale: run python -m tests.metrics"


def test_the_page_has_a_row_for_every_name() -> None:
    rows = [line for line in build_page().splitlines() if line.startswith("| `")]

    for metric in (*METRICS, *LEGACY):
        assert sum(f"| `{metric.name}` | {metric.kind} |" in row for row in rows) == 1


def test_no_name_is_both_there_and_absent() -> None:
    absent = [name for names in ABSENT.values() for name in names]

    assert len(absent) == len(set(absent))
    assert not set(absent) & {metric.name for metric in LEGACY}
