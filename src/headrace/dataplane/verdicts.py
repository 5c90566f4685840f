"""The lists of verdicts, read from the C headers: the one place that names them."""

import functools
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_LINE = re.compile(r'X\((?P<name>\w+),\s*(?P<action>\w+),\s*"(?P<meaning>[^"]+)"\)')
_BPF = Path(__file__).parent / "bpf"
_HEADERS = {"headrace": _BPF / "verdict.h", "tailrace": _BPF / "tailrace_verdict.h"}


class Action(StrEnum):
    """What becomes of a packet."""

    PASS = "pass"  # noqa: S105 - not a password
    DROP = "drop"
    SEND = "send"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One way a packet can leave the pipeline."""

    name: str  # lower case, as metrics and `explain` show it
    action: Action
    meaning: str


@functools.cache
def all_verdicts(program: str = "headrace") -> tuple[Verdict, ...]:
    """Every verdict of a program, in the order of its counters."""
    return tuple(
        Verdict(match["name"].lower(), Action(match["action"].lower()), match["meaning"])
        for match in _LINE.finditer(_HEADERS[program].read_text())
    )
