"""What the doctor says: one finding a thing looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # works, but worse than it could, or not in every case
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str  # what kind of thing, such as "mtu"
    subject: str  # which one, such as an interface; empty where there is one only
    level: Level
    found: str
    why: str = ""  # it matters, in one sentence; empty where all is well
    command: str = ""  # that mends it; empty where all is well


def ok(check: str, subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, subject, Level.OK, found)
