"""The table that people read and the JSON that is kept."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from headrace import __version__
from headrace.bench.cases import Relation, all_relations
from headrace.bench.harness import Figure


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the figures beside their bounds."""
    table = Table(title="ns a packet, net of the harness", title_justify="left")
    table.add_column("case")
    for title in ("min", "median", "max", "must", "stretch"):
        table.add_column(title, justify="right")
    table.add_column("")
    for figure in figures:
        table.add_row(
            figure.case.name,
            f"{min(figure.rounds):.1f}",
            f"{figure.median_ns:.1f}",
            f"{max(figure.rounds):.1f}",
            f"{figure.case.must_ns:g}",
            f"{figure.case.stretch_ns:g}",
            _mark(figure),
        )
    console.print(table)
    for relation, ratio in relations_of(figures):
        verdict = "[green]held[/]" if ratio <= relation.must else "[red]missed[/]"
        console.print(f"{relation.name}: {ratio:.2f}, at most {relation.must:g}: {verdict}")


def relations_of(figures: Sequence[Figure]) -> list[tuple[Relation, float]]:
    """The relations between cases that were all measured, with what they came to."""
    medians = {figure.case.name: figure.median_ns for figure in figures}
    return [
        (each, max(medians[n] for n in each.above) / min(medians[n] for n in each.below))
        for each in all_relations()
        if medians.keys() >= {*each.above, *each.below}
    ]


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Keep the figures with what they depend on."""
    text = json.dumps(
        {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "headrace": __version__,
            "machine": _machine(),
            "kernel": platform.release(),
            "compiler": _first_line("clang", "--version"),
            "commit": _first_line("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"),
            "unit": "ns a packet, net",
            "relations": {each.name: round(ratio, 3) for each, ratio in relations_of(figures)},
            "figures": [
                {
                    "case": figure.case.name,
                    "rounds": [round(ns, 2) for ns in figure.rounds],
                    "median": round(figure.median_ns, 2),
                    "overhead": round(figure.overhead_ns, 2),
                    "strange": figure.strange,
                    "must": figure.case.must_ns,
                    "stretch": figure.case.stretch_ns,
                }
                for figure in figures
            ],
        },
        indent=1,
    )
    path.write_text(f"{text}\n")


def _mark(figure: Figure) -> str:
    if figure.strange:
        return f"[red]void: {figure.strange} packets left otherwise[/]"
    if figure.median_ns <= figure.case.stretch_ns:
        return "[green]stretch[/]"
    if figure.median_ns <= figure.case.must_ns:
        return "[green]held[/]"
    return "[red]missed[/]"


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{len(models)} x {models[0]}" if models else platform.machine()


def _first_line(*command: str) -> str:
    """What a program says first; `unknown` where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.partition("\n")[0]
