"""Try every program on every kernel, compiled by the oldest and the newest clang of the system.

Prints a table of what the verifier walked through; exit code 1 when anything failed.
"""

import sys
import tempfile
import time
from pathlib import Path

from headrace.model import UnavailableError

from .budget import BUDGET, beyond
from .cases import every_case
from .compilers import Compiler
from .guest import run_both
from .trial import Trial

COMPILERS = (Compiler(14), Compiler(19))
SHOWN = 5  # the first few failures tell enough
SHOWN_LINES = 40


def main() -> int:
    """Try them all."""
    failures: list[str] = []
    cargo = every_case()
    columns = "".join(f"{name:>10}" for name in BUDGET)
    print(f"{'compiler':10}{'kernel':24}{columns}{'cases':>8}{'failed':>8}")
    for compiler in COMPILERS:
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                trials = run_both(compiler.build_tree(), cargo, Path(folder))
        except UnavailableError as error:
            failures.append(f"{compiler.name}: {error}")
            continue
        for trial in trials:
            failures += print_row(compiler, trial)
        print(f"{'':10}{time.monotonic() - started:.0f} s")
    print(f"{'budget':34}" + "".join(f"{most:>10,}" for most in BUDGET.values()))
    for failure in failures[:SHOWN]:
        print("\n".join(failure.splitlines()[-SHOWN_LINES:]))
    return 1 if failures else 0


def print_row(compiler: Compiler, trial: Trial) -> list[str]:
    """Print what came of a trial; what failed in it."""
    walked = {program.name: f"{program.instructions:,}" for program in trial.programs}
    columns = "".join(f"{walked.get(name, 'refused'):>10}" for name in BUDGET)
    failures = trial.failures + beyond(trial.programs)
    failed = len(failures)
    print(f"{compiler.name:10}{trial.kernel:24}{columns}{trial.cases:8,}{failed:8,}", flush=True)
    return [f"{compiler.name} on {trial.kernel}: {failure}" for failure in failures]


if __name__ == "__main__":
    sys.exit(main())
