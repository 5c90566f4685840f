"""Checks one star as `headrace lab check` does."""

import re
from io import StringIO

from rich.console import Console

from headrace.lab.check import run_checks
from tests.lab.lines import left_of, own_name


def all_claims_hold(name: str) -> None:
    out = StringIO()
    lab_name = own_name(name)

    code = run_checks([name], Console(file=out, width=200), lab_name=lab_name)

    assert code == 0, out.getvalue()
    assert re.search(r"(\d+) claims, all held", out.getvalue())
    assert left_of(lab_name) == []
