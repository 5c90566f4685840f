"""Measures a case: ns a packet, net of what the measuring costs.

That is read in the same rounds from a program that does nothing and one that only makes the frame
grow. A round's order changes, so that no program always follows the same one.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from headrace.bench.cases import Case
from headrace.bench.worlds import LOOPBACK
from headrace.dataplane import Course, Dataplane, Rerun, Run, detach_all
from headrace.model import UnavailableError

_WARM_UP = 10  # one part in so many of a round, before it: the caches fill


@dataclass(frozen=True, slots=True)
class Figure:
    """One case's cost in ns a packet, net; a value a round."""

    case: Case
    rounds: tuple[float, ...]
    overhead_ns: float  # what was taken off, at the median
    strange: int  # packets that did not leave as the case says; the figure is void if there are any

    @property
    def median_ns(self) -> float:
        """The middle of all rounds."""
        return median(self.rounds)


def measure(case: Case, *, rounds: int, iterations: int) -> Figure:
    """Measure one case.

    Raises UnavailableError where the data plane gives other verdicts than the case is about.
    """
    with _plane() as plane, Rerun() as rerun:
        case.world(plane, LOOPBACK)
        course = _course(case)
        programs = (rerun.nothing_fd, rerun.growth_fd, plane.program_fd)

        def run(program_fd: int) -> Run:
            rerun.run(program_fd, course, max(iterations // _WARM_UP, 2))
            return rerun.run(program_fd, course, iterations)

        with _verdicts(case, plane, rounds * (iterations + max(iterations // _WARM_UP, 2))):
            seen = [_round(programs, number, run) for number in range(rounds)]
    overheads = [nothing.ns + (growth.ns - nothing.ns) / 2 for nothing, growth, _ in seen]
    costs = [measured.ns - cost for (_, _, measured), cost in zip(seen, overheads, strict=True)]
    strange = sum(measured.strange for _, _, measured in seen)
    return Figure(case, tuple(costs), median(overheads), strange)


def _course(case: Case) -> Course:
    frame = case.frame
    return Course(
        frame.data,
        case.head_growth,
        case.tail_growth,
        case.flows,
        case.vips,
        frame.source_at,
        frame.port_at,
        frame.vip_at,
    )


def _round(programs: tuple[int, ...], number: int, run: Callable[[int], Run]) -> list[Run]:
    """Run all programs once, beginning with another one each time; their runs in order."""
    order = [(number + position) % len(programs) for position in range(len(programs))]
    runs = {index: run(programs[index]) for index in order}
    return [runs[index] for index in range(len(programs))]


@contextmanager
def _verdicts(case: Case, plane: Dataplane, packets: int) -> Iterator[None]:
    """Hold the data plane to the case's verdict for every packet in between."""
    before = _count(case, plane)
    yield
    counted = _count(case, plane) - before
    if counted != packets:
        raise UnavailableError(
            f"{case.name}: {counted:,} of {packets:,} packets were {case.verdict}; measured nothing"
        )


def _count(case: Case, plane: Dataplane) -> int:
    return next(v.count.packets for v in plane.verdict_counts() if v.name == case.verdict)


@contextmanager
def _plane() -> Iterator[Dataplane]:
    """A data plane of the bench's own, attached to nothing, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        directory = Path(folder) / "pins"
        plane = Dataplane(directory)
        try:
            yield plane
        finally:
            plane.close()
            detach_all(directory)
