"""The dashboard and the alerts: they name metrics, labels and verdicts that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from headrace.dataplane import Action, all_verdicts
from headrace.metrics import METRICS, Kind
from headrace.model import Health, OperatorState
from tests.house.source import ROOT
from tests.metrics.promql import Selector, labels_of, selectors_of

FOLDER = ROOT / "docs/monitoring"
TABLE = {metric.name: metric for metric in METRICS}

OF_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus adds to all it reads."""

VALUES: dict[str, set[str]] = {
    "verdict": {verdict.name for verdict in all_verdicts()},
    "action": set(Action),
    "health": {*Health, "unchecked"},
    "state": set(OperatorState),
    "mode": {"native", "generic", "missing"},
    "drain": {"active", "draining", "drained"},
}


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return read


def panel_expressions() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]


def expressions() -> list[Any]:
    shown = [pytest.param(expr, id=name) for name, expr in panel_expressions()]
    return [*(pytest.param(rule["expr"], id=rule["alert"]) for rule in alerts()), *shown]


def faults(selector: Selector) -> Iterator[str]:
    """What of a metric in an expression is not so."""
    metric = TABLE.get(selector.name)
    if selector.name == "up":
        return
    if metric is None:
        yield f"{selector.name} is not in the table"
        return
    if (metric.kind is Kind.COUNTER) != selector.is_rate:
        yield f"{selector.name} is a {metric.kind}"
    for label, value in selector.matchers:
        if label not in {*metric.labels, *OF_PROMETHEUS}:
            yield f"{selector.name} has no label {label}"
        elif label in VALUES and not set(value.split("|")) <= VALUES[label]:
            yield f"{label} is never {value}"


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_what_there_is(expression: str) -> None:
    selectors = list(selectors_of(expression))

    known = {label for each in selectors if each.name in TABLE for label in TABLE[each.name].labels}

    assert selectors
    assert [fault for selector in selectors for fault in faults(selector)] == []
    assert labels_of(expression) <= {*known, *OF_PROMETHEUS}


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        pytest.param("headrace_lost == 0", "not in the table", id="an unknown metric"),
        pytest.param('headrace_ports{colour="red"}', "no label colour", id="an unknown label"),
        pytest.param('headrace_ports{mode=~"native|fast"}', "never native|fast", id="a value"),
        pytest.param("sum(headrace_service_bytes_total)", "is a counter", id="a bare counter"),
        pytest.param("rate(headrace_revision[5m])", "is a gauge", id="the rate of a gauge"),
        pytest.param("headrace_problems > 0 and (1 + lost)", "not in the table", id="a later one"),
    ],
)
def test_a_wrong_expression_is_seen(expression: str, told: str) -> None:
    found = [fault for selector in selectors_of(expression) for fault in faults(selector)]

    assert [told in fault for fault in found] == [True]


def test_names_in_strings_lists_and_ranges_are_no_metrics() -> None:
    expression = (
        'sum by (a, b) (rate(x_total{c=~"d|e{f}", g!="h"}[$__rate_interval])) '
        "/ on (i) group_left (j) max_over_time(y[5m]) unless z == 1"
    )

    assert [(each.name, each.is_rate) for each in selectors_of(expression)] == [
        ("x_total", True),
        ("y", False),
        ("z", False),
    ]
    assert labels_of(expression) == {"a", "b", "c", "g", "i", "j"}


def test_the_variables_of_the_dashboard_read_what_there_is() -> None:
    asked = [
        each["query"]["query"]
        for each in dashboard()["templating"]["list"]
        if each["type"] == "query"
    ]

    for query in asked:
        read = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert read, query
        [selector] = selectors_of(read[1])
        assert list(faults(selector)) == []
        assert read[2] in {*TABLE[selector.name].labels, *OF_PROMETHEUS}


def test_the_dashboard_uses_only_variables_that_it_has() -> None:
    text = (FOLDER / "dashboard.json").read_text()
    had = {each["name"] for each in dashboard()["templating"]["list"]}

    used = set(re.findall(r"\$\{?([a-z]\w*)", text))

    assert used <= had


def test_panels_lie_side_by_side_and_have_names_of_their_own() -> None:
    panels = dashboard()["panels"]
    cells = [
        (place["x"] + dx, place["y"] + dy)
        for place in (panel["gridPos"] for panel in panels)
        for dx in range(place["w"])
        for dy in range(place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_where_and_how_soon_to_act(rule: dict[str, Any]) -> None:
    told = " ".join(rule["annotations"].values())
    labels = set(re.findall(r"\$labels\.(\w+)", told))

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert labels & {"instance", "service"}
    assert labels - OF_PROMETHEUS <= {
        label
        for selector in selectors_of(rule["expr"])
        if selector.name in TABLE
        for label in TABLE[selector.name].labels
    }


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in alerts()]

    assert len(set(names)) == len(names)
