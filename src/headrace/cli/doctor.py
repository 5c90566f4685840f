"""`headrace doctor`: what on this host is not as it should be, and the command that mends it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.client import RUNTIME_ROOT, Client, Failure
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    Output,
    OutputOption,
    ServerOption,
    TimeoutOption,
)
from headrace.cli.output import show_values

if TYPE_CHECKING:
    from headrace.doctor import Finding
    from headrace.model import Document

app = typer.Typer(add_completion=False)

_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@app.command()
def doctor(
    document: Annotated[
        Path | None,
        typer.Option(help="judge by this document, instead of the running daemon's"),
    ] = None,
    output: OutputOption = Output.TABLE,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Look at kernel, interfaces, MTUs, filters, VIPs, speakers, pins and clock; change nothing.

    What is not well is told with why it matters and the command that mends it. Exit code 1 when
    something is wrong; warnings do not count.
    """
    from headrace.daemon.logs import configure_logs
    from headrace.doctor import Level, gather, judge
    from headrace.model import LbError

    configure_logs()
    client = Client(server=server, instance=instance, timeout_s=timeout)
    try:
        known = _document(document, client)
        findings = judge(gather(known, Path(RUNTIME_ROOT)), known, instance)
    except LbError as error:
        raise Failure(str(error)) from error
    if known is None:
        findings.insert(0, _no_document())
    _show(findings, output)
    if any(finding.level is Level.WRONG for finding in findings):
        raise typer.Exit(1)


def _document(path: Path | None, client: Client) -> "Document | None":
    """The document in a file, or the running daemon's; None where no daemon answers."""
    from headrace.model import build_document, parse_document

    if path is not None:
        try:
            return parse_document(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{path}: {error}") from error
    try:
        return build_document(client.get("/v1/document"))
    except Failure:
        return None


def _no_document() -> "Finding":
    from headrace.doctor import Finding, Level

    return Finding(
        "document",
        "",
        Level.WARNING,
        "no daemon answers, and --document names none",
        "MTUs, filters, VIPs and speakers are judged by what the document asks for",
        "headrace doctor --document FILE",
    )


def _show(findings: Sequence["Finding"], output: Output) -> None:
    if output in {Output.JSON, Output.YAML}:
        from dataclasses import asdict

        rows = [asdict(finding) | {"level": str(finding.level)} for finding in findings]
        show_values(rows, output)
        return

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for finding in findings:
        subject = f"{finding.check} {finding.subject}".rstrip()
        level = Text(f"{finding.level:8}", style=_STYLES[finding.level])
        console.print(Text.assemble(level, f"{subject}: {finding.found}"))
        if finding.why:
            console.print(f"        {finding.why}")
        if finding.command:
            console.print(f"        $ {finding.command}")
    counts = Counter(str(finding.level) for finding in findings)
    console.print(f"{counts['wrong']} wrong, {counts['warning']} warnings, {counts['ok']} ok")
