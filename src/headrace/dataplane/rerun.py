"""Runs a program many times, each time on a packet as it came from the wire: `bpf/bench.bpf.c`."""

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.dataplane import libbpf
from headrace.dataplane.maps import SharedArray
from headrace.model import UnavailableError

_OBJECT = Path(__file__).parent / "objects" / "bench.bpf.o"
_HEADER_BYTES = 128
_RANDOM = 2_463_534_242  # any start but 0


class _Bench(ctypes.Structure):
    """struct bench of bench.bpf.c."""

    _fields_ = [
        ("iterations", ctypes.c_uint64),
        ("strange", ctypes.c_uint64),
        ("failures", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("head_growth", ctypes.c_int32),
        ("tail_growth", ctypes.c_int32),
        ("flows", ctypes.c_uint32),
        ("vips", ctypes.c_uint32),
        ("random", ctypes.c_uint32),
        ("sequence", ctypes.c_uint32),
        ("source_at", ctypes.c_uint32),
        ("port_at", ctypes.c_uint32),
        ("vip_at", ctypes.c_uint32),
        ("vip", ctypes.c_uint32),
        ("zero", ctypes.c_uint32),
        ("header", ctypes.c_uint8 * _HEADER_BYTES),
    ]


@dataclass(frozen=True, slots=True)
class Course:
    """The packets of a run."""

    frame: bytes  # the first; each begins like it
    head_growth: int = 0  # bytes that the program adds in front
    tail_growth: int = 0  # and behind; negative: takes away
    flows: int = 1  # that take turns at random; 0: every packet is of another
    vips: int = 1  # addresses from the frame's on, one after another
    source_at: int = 0  # where the client's address is, its low 32 bits; 0: not varied
    port_at: int = 0  # where the client's port is
    vip_at: int = 0  # where the VIP is, its low 32 bits


@dataclass(frozen=True, slots=True)
class Run:
    """What one run saw."""

    ns: float  # a packet, the harness's own work included
    strange: int  # packets that had not grown as the course says


class Rerun:
    """The harness in the kernel."""

    def __init__(self) -> None:
        bpf_object = libbpf.BpfObject(_OBJECT)
        try:
            bpf_object.load()
            self._bench_fd = bpf_object.program_fd("bench")
            self._measured_fd = bpf_object.map_fd("measured")
            self.nothing_fd = bpf_object.program_fd("nothing")
            """A program that does nothing."""
            self.growth_fd = bpf_object.program_fd("growth")
            """A program that only makes the frame grow as the course says."""
            self._benches = SharedArray(bpf_object.map_fd("benches"), _Bench)
        finally:
            bpf_object.close()

    def run(self, program_fd: int, course: Course, iterations: int) -> Run:
        """Run a program on the packets of a course. Raises UnavailableError where it cannot."""
        libbpf.update(self._measured_fd, bytes(4), program_fd.to_bytes(4, "little"))
        bench = self._benches.values[0]
        ctypes.memmove(ctypes.byref(bench), bytes(_prepared(course)), ctypes.sizeof(_Bench))
        # The thread's own time: on a busy machine the clock on the wall measures the others too.
        started_ns = time.thread_time_ns()
        libbpf.run_program(self._bench_fd, course.frame, ifindex=1, repeat=iterations)
        spent_ns = time.thread_time_ns() - started_ns
        if bench.failures or bench.iterations != iterations:
            raise UnavailableError(
                f"the bench ran {bench.iterations} of {iterations} times, {bench.failures} failed: "
                "the kernel does not tail-call this program"
            )
        return Run(spent_ns / iterations, int(bench.strange))

    def close(self) -> None:
        """Let go of the kernel's objects."""
        for fd in (self._bench_fd, self._measured_fd, self.nothing_fd, self.growth_fd):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _prepared(course: Course) -> _Bench:
    vip = course.frame[course.vip_at : course.vip_at + 4]
    bench = _Bench(
        length=len(course.frame),
        head_growth=course.head_growth,
        tail_growth=course.tail_growth,
        flows=course.flows,
        vips=course.vips,
        random=_RANDOM,
        source_at=course.source_at,
        port_at=course.port_at,
        vip_at=course.vip_at if course.vips > 1 else 0,
        vip=int.from_bytes(vip, "big"),
    )
    header = course.frame[:_HEADER_BYTES]
    bench.header[: len(header)] = header
    return bench
