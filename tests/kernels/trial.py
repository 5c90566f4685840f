"""What is tried on a kernel: each program loads, and each packet case is as it says.

`python -m tests.kernels.trial CARGO` reads pickled cases and writes its outcome as a line of JSON,
for whoever started it, on the other side of a serial line perhaps.
"""

import functools
import json
import pickle
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import structlog

import headrace.dataplane
from headrace.dataplane import Dataplane, Decapsulator, detach_all, libbpf
from headrace.model import LbError
from tests.packets.arena import Arena, Seen, run_program
from tests.packets.case import Case
from tests.packets.services import all_services
from tests.packets.world import Clock, apply_world

from .cargo import Cargo
from .sctp import probe_sctp
from .verifier import Verified, verify

DATAPLANE = Path(headrace.dataplane.__file__).parent
OBJECTS = sorted((DATAPLANE / "objects").glob("*.bpf.o"))


@dataclass(slots=True)
class Trial:
    """What came of it on one kernel."""

    kernel: str
    programs: list[Verified] = field(default_factory=list)
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    sctp: list[str] = field(default_factory=list)  # what its probe believed, first and last
    files: list[str] = field(default_factory=list)  # all that it had to load, to run elsewhere

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What another process wrote."""
        values = json.loads(text)
        programs = [Verified(**each) for each in values.pop("programs")]
        return cls(programs=programs, **values)

    def to_json(self) -> str:
        """One line, ended by a newline."""
        return json.dumps(asdict(self)) + "\n"

    def add(self, sentence: str, seen: tuple[object, ...], expected: tuple[object, ...]) -> None:
        """Count a case; what differs from the expected is noted."""
        self.cases += 1
        if seen != expected:
            self.failures.append(f"{sentence}: {seen} instead of {expected}")


def try_here(cargo: Cargo) -> Trial:
    """Try the objects beside the code, on the kernel that runs it."""
    trial = Trial(platform.release())
    for path in OBJECTS:
        try:
            trial.programs += verify(path)
        except LbError as error:
            trial.failures.append(str(error))
    if not trial.failures:
        _run_balancer(cargo, trial)
        _run_endpoint(cargo, trial)
    trial.sctp = probe_sctp()
    trial.files = sorted(set(_loaded_files()))
    return trial


def _run_balancer(cargo: Cargo, trial: Trial) -> None:
    with _pins() as directory:
        run, plane = _world(directory, cargo)
        for case in cargo.balancer:
            seen = run(case)
            trial.add(
                case.sentence,
                (seen.verdict, seen.action, seen.packet.hex()),
                (case.verdict, case.action, case.expected.hex()),
            )
        plane.close()


def _world(directory: Path, cargo: Cargo) -> tuple[Callable[[Case], Seen], Dataplane]:
    """A data plane that the cases are about, and how to run one."""
    if cargo.has_past:
        arena = Arena(directory, cargo.balancer)
        return arena.run_in_kernel, arena.dataplane
    clock = Clock(time.monotonic)
    plane = Dataplane(directory, clock.now)
    apply_world(plane, clock, all_services(), stage=0)
    return lambda case: run_program(plane, case.packet), plane


def _run_endpoint(cargo: Cargo, trial: Trial) -> None:
    with _pins() as directory:
        program = Decapsulator(directory)
        program.configure(cargo.known)
        for case in cargo.endpoint:
            before = _counts(program)
            _, packet = libbpf.run_program(program.program_fd, case.packet)
            after = _counts(program)
            verdicts = ",".join(name for name in after if after[name] != before[name])
            trial.add(
                case.sentence,
                (verdicts, packet.hex()),
                (case.verdict, case.expected.hex()),
            )
        program.close()


def _counts(program: Decapsulator) -> dict[str, int]:
    return {each.name: each.count.packets for each in program.verdict_counts()}


@contextmanager
def _pins() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "bpf"
        try:
            yield directory
        finally:
            detach_all(directory)


def _loaded_files() -> Iterator[str]:
    """Python modules, also as compiled, shared libraries, the objects and their headers."""
    for module in list(sys.modules.values()):
        for attribute in ("__file__", "__cached__"):
            path = getattr(module, attribute, None)
            if path and Path(path).is_file():
                yield str(Path(path).absolute())
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = line.split(maxsplit=5)[-1]
        if name.startswith("/") and ".so" in name:
            yield from _names_of(Path(name))
    yield from map(str, (*OBJECTS, *DATAPLANE.glob("bpf/*.h")))  # verdicts are read from there


@functools.cache
def _names_of(library: Path) -> list[str]:
    """A shared library, and the name with its version by which it was asked for."""
    links = (path for path in library.parent.glob("*.so.*") if path.resolve() == library)
    return [str(library), *map(str, links)]


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    carried = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - we wrote it
    sys.stdout.write(try_here(carried).to_json())
