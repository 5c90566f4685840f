"""Shows values as tables, JSON or YAML."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from headrace.cli.options import Output


def show_values(values: Any, output: Output) -> None:  # noqa: ANN401 - whatever JSON holds
    """Print plain values as JSON, or as YAML."""
    if output is Output.YAML:
        import yaml

        yaml.safe_dump(values, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        print(json.dumps(values, indent=2))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in the frame that users of `loxicmd` know."""
    texts = [[heading.upper() for heading in headings]]
    texts += [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headings))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    for index, row in enumerate(texts):
        if index == 1:
            print(rule)
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("| " + " | ".join(cells) + " |")


def show_change(answer: dict[str, Any], told: str) -> None:
    """Print what a change of the document has come to."""
    said = "" if answer["changed"] else " already, nothing changed"
    print(f"{told}{said} (revision {answer['revision']})")
