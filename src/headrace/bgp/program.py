"""What the supervisor has to know of a program that speaks BGP or BFD for us."""

import contextlib
import os
from pathlib import Path
from typing import Protocol

from headrace.bgp.link import RelayLink
from headrace.bgp.process import Process

LIMIT_TAIL_CHARACTERS = 500
"""Of a dead program's output in the log: a traceback's end says what happened."""


class Program(Protocol):
    """A program with its relay, as one document wants it."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def reads_with_set(self) -> bool:
        """Whether it reads its configuration together with a new set, so that both change at once.

        One that does not has peers that it was not told of hear nothing.
        """
        ...

    @property
    def output(self) -> Path:
        """What it printed."""
        ...

    def write(self) -> None:
        """Write the configuration for the next start, or the next reload, to read."""
        ...

    def find(self) -> Process | None:
        """The living process of a former daemon."""
        ...

    def start(self) -> Process:
        """A new process."""
        ...

    async def reload(self, link: RelayLink) -> None:
        """Have it read its configuration, and see that it has. Raises UnavailableError."""
        ...

    async def flush(self, link: RelayLink) -> None:
        """Return when routers have been sent what it has acknowledged."""
        ...


def write_secret(path: Path, text: str) -> None:
    """Put a file in place whole, readable by us alone."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def tail(path: Path) -> str:
    """The end of what a program printed."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")[-LIMIT_TAIL_CHARACTERS:]
    return ""


def last_words(output: str) -> str:
    """The last line of what a program printed, which says what was wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""
