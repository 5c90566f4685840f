"""Draws what `headrace simulate` tells; needs matplotlib, the extra `picture`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cli.client import Failure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".svg", ".png")

_LIMIT_POOLS = 12
"""Pools drawn, those with most broken flows: more are no picture any more."""

_LIMIT_BARS = 40
"""Endpoints with bars and names; more are drawn as two lines."""

_BEFORE, _AFTER = "#9aa5b1", "#1f77b4"
_BROKEN = {"without_flow_table": "none", "with_flow_table": "flow table", "with_agents": "agents"}
_OF_WORST = "flows broken, %\n(worst of the services)"
_ROW_INCHES = 3.2


def draw(values: list[dict[str, Any]], file: Path) -> None:
    """Write the picture of the pools that change, a row each; equal values give equal files."""
    if file.suffix not in _FORMATS:
        raise Failure(f"--picture {file}: give it a name that ends in {' or '.join(_FORMATS)}")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Failure("--picture needs matplotlib: pip install 'headrace[picture]'") from error

    drawn = _most_broken(values)
    figure = Figure(figsize=(12, _ROW_INCHES * max(1, len(drawn))), layout="constrained")
    if drawn:
        axes = figure.subplots(len(drawn), 2, squeeze=False, width_ratios=(2, 1))
        for row, value in zip(axes, drawn, strict=True):
            _draw_shares(row[0], value)
            _draw_broken(row[1], value)
    else:
        figure.text(0.5, 0.5, "nothing changes", ha="center")
    metadata = {"Date": None} if file.suffix == ".svg" else None
    try:
        with mpl.rc_context({"svg.hashsalt": "headrace"}):
            figure.savefig(file, metadata=metadata)
    except OSError as error:
        raise Failure(f"--picture {file}: {error}") from error


def title_of(value: dict[str, Any]) -> str:
    """The pool that changes, or those between which its services change."""
    before, after = value["before"], value["after"]
    if before is None:
        return f"{after}: new"
    if after is None:
        return f"{before}: gone"
    return str(after) if before == after else f"{before}, then {after}"


def _most_broken(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(values, key=lambda value: -_most(value, "without_flow_table", "by_the_change"))[
        :_LIMIT_POOLS
    ]


def _most(value: dict[str, Any], case: str, part: str) -> float:
    """What the worst off of the pool's services lose."""
    return max(float(flows[case][part]) for flows in value["flows"])


def _draw_shares(axes: "Axes", value: dict[str, Any]) -> None:
    endpoints = value["endpoints"]
    before = [100 * endpoint["share_before"] for endpoint in endpoints]
    after = [100 * endpoint["share_after"] for endpoint in endpoints]
    places = range(len(endpoints))
    if len(endpoints) > _LIMIT_BARS:
        axes.step(places, before, where="mid", color=_BEFORE, label="before")
        axes.step(places, after, where="mid", color=_AFTER, label="then")
        axes.set_xlabel(f"{len(endpoints):,} endpoints by address")
    else:
        axes.bar([place - 0.2 for place in places], before, 0.4, color=_BEFORE, label="before")
        axes.bar([place + 0.2 for place in places], after, 0.4, color=_AFTER, label="then")
        axes.set_xticks(places, [e["address"] for e in endpoints], rotation=45, ha="right")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of the slots, %")
    axes.set_title(title_of(value), loc="left", parse_math=False)
    _legend(axes)


def _draw_broken(axes: "Axes", value: dict[str, Any]) -> None:
    highest = 0.0
    for offset, part, color, label in (
        (-0.2, "by_the_change", _AFTER, "by the change"),
        (0.2, "if_nodes_change_too", _BEFORE, "if balancers change too"),
    ):
        heights = [100 * _most(value, case, part) for case in _BROKEN]
        places = [index + offset for index in range(len(_BROKEN))]
        axes.bar_label(axes.bar(places, heights, 0.4, color=color, label=label), fmt="%.3g")
        highest = max(highest, *heights)
    axes.set_xticks(range(len(_BROKEN)), list(_BROKEN.values()))
    axes.set_ylim(0, max(1.0, 1.15 * highest))
    axes.set_ylabel("flows broken, %" if len(value["flows"]) == 1 else _OF_WORST)
    _legend(axes)


def _legend(axes: "Axes") -> None:
    """Above the right corner, where no bar is."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
