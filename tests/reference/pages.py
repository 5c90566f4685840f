"""Every page of the reference, and what makes it."""

from collections.abc import Callable, Mapping

from headrace import metrics
from tests.house.source import ROOT
from tests.reference import commands, document, layout, limits, rest, verdicts

FOLDER = ROOT / "docs/reference"

RENEW = "stale: run `make docs`, or python -m tests.reference"

_INDEX = """\
# Reference

Every page here is generated from the code, and a test fails when one is stale. `make docs` makes
them anew.

| page | what is on it |
|---|---|
| [Command line](cli.md) | every command and option of `headrace` and `tailrace` |
| [The document](document.md) | every key: type, default, rule, meaning, example; what is refused |
| [document.schema.json](document.schema.json) | the same as JSON schema, for editors |
| [REST API](rest.md) | every path, what it takes and answers; LoxiLB's paths |
| [Verdicts](verdicts.md) | every way that a packet can leave the programs |
| [Metrics](metrics.md) | every metric, its type, labels and meaning |
| [Limits](limits.md) | every limit, with its reason |
| [Maps](maps.md) | the BPF maps and their bytes |
"""

PAGES: Mapping[str, Callable[[], str]] = {
    "index.md": lambda: _INDEX,
    "cli.md": commands.build_page,
    "document.md": document.build_page,
    "document.schema.json": document.build_schema,
    "limits.md": limits.build_page,
    "maps.md": layout.build_page,
    "metrics.md": metrics.build_page,
    "rest.md": rest.build_page,
    "verdicts.md": verdicts.build_page,
}
"""By file name."""


def write() -> list[str]:
    """Write every page that is not what it should be; their names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PAGES:
        path, text = FOLDER / name, build(name)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            written.append(name)
    return written


def build(name: str) -> str:
    """What a page should be."""
    return _tidy(PAGES[name]())


def _tidy(text: str) -> str:
    """One end of line at the end."""
    return text.rstrip("\n") + "\n"
