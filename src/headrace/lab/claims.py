"""How demo and checks look: each step as it happens, each claim and what was seen, then a table."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is said to be so, and whether it was."""

    step: str
    text: str
    held: bool
    seen: str


class ClaimView:
    """Writes to one console, which may be a terminal or a pipe, and keeps the claims."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._claims: list[Claim] = []
        self._step = ""
        self._subject = ""

    @property
    def all_held(self) -> bool:
        """Whether every claim so far was so, and there was one."""
        return bool(self._claims) and all(claim.held for claim in self._claims)

    def title(self, text: str, *, subject: str = "") -> None:
        """Say what is being shown; a subject is told before each step, where there are several."""
        self._subject = subject
        self._line(f"[bold]{escape(text)}[/bold]")

    def step(self, number: int, text: str) -> None:
        """Begin a step."""
        self._step = f"{self._subject} {number}".strip()
        self._line(f"\n[bold cyan]{number}[/bold cyan]  [bold]{escape(text)}[/bold]")

    def note(self, text: str) -> None:
        """Say what happens or was seen, without claiming anything."""
        self._line(f"   {escape(text)}")

    def command(self, node: str, arguments: Iterable[str]) -> None:
        """Show a command as it is given on a node."""
        self._line(f"   [green]{escape(node)}#[/green] headrace {escape(' '.join(arguments))}")

    def packets(self, where: str, lines: Iterable[str]) -> None:
        """Show captured packets, each on one line however wide the terminal is."""
        self._line(f"   [bold]{escape(where)}[/bold]")
        for line in lines:
            self._line(f"   [dim]{escape(line)}[/dim]")

    def check(self, text: str, *, held: bool, seen: str) -> None:
        """Show a claim and whether it held, and remember it for the table."""
        self._claims.append(Claim(self._step, text, held, seen))
        self._line(f"   {_mark(held=held)} {escape(text)}: {escape(seen)}")

    def failure(self, text: str) -> None:
        """Show why it could not go on; that alone fails it."""
        self.check("the step ran to its end", held=False, seen=text)

    def summary(self, *, took_s: float) -> None:
        """Show every claim in one table, and the verdict."""
        table = Table(title="What was claimed, and what was seen", title_justify="left")
        table.add_column("step", justify="right")
        table.add_column("claim")
        table.add_column("held", justify="center")
        table.add_column("seen", overflow="fold")
        for claim in self._claims:
            text, seen = escape(claim.text), escape(claim.seen)
            table.add_row(claim.step, text, _mark(held=claim.held), seen)
        self._console.print()
        self._console.print(table)
        failed = sum(1 for claim in self._claims if not claim.held)
        verdict = f"{failed} did NOT hold" if failed else "all held"
        self._line(f"{len(self._claims)} claims, {verdict}; {took_s:.0f} s")

    def _line(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True, highlight=False)


def _mark(*, held: bool) -> str:
    return "[green]yes[/green]" if held else "[bold red]NO[/bold red]"
