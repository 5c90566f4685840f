"""What each program may ask of the verifier: half as much again as it does today, at most a tenth.

That is of a million instructions over all paths, the kernel limit. A program that comes near it is
refused by the next compiler or the next kernel, as they count differently.
"""

from collections.abc import Iterable

from .verifier import Verified

BUDGET = {"headrace": 100_000, "tailrace": 80_000, "bench": 5_500, "probe": 1_500}
"""Instructions processed, by program:
clang 14 and 19 on Linux 6.1 and 6.18 came to 98,818, 52,981, 3,697, 968 at most.
"""

STACK_BUDGET_BYTES = 256
"""Of the kernel's 512 for a function and those it calls."""


def beyond(programs: Iterable[Verified]) -> list[str]:
    """A sentence for each program that asks for more."""
    found = []
    for program in programs:
        most = BUDGET.get(program.name, min(BUDGET.values()))
        if program.instructions > most:
            found.append(f"{program.name}: {program.instructions:,} instructions of {most:,}")
        if program.stack_bytes > STACK_BUDGET_BYTES:
            found.append(f"{program.name}: {program.stack_bytes} bytes on the stack")
    return found
