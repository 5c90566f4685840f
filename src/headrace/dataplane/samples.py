"""The packets that the data plane samples, one in so many, as they leave it."""

import ctypes
from dataclasses import dataclass

from headrace.dataplane import layout, libbpf
from headrace.dataplane.verdicts import all_verdicts

_RECORD_BYTES = 8 + -(-ctypes.sizeof(layout.Sample) // 8) * 8  # with the ring's own header


@dataclass(frozen=True, slots=True)
class Sample:
    """One packet as it left."""

    time_ns: int  # of CLOCK_BOOTTIME
    ifindex: int  # it came in by
    verdict: str
    endpoint: int | None  # its index in the data plane's `tables()`
    length_bytes: int  # of the whole frame
    frame: bytes  # the first of them


def capacity_of(map_fd: int) -> int:
    """How many samples a ring holds."""
    return int(libbpf.map_info(map_fd).max_entries) // _RECORD_BYTES


class Samples:
    """The reader of the ring of samples; there is one at a time."""

    def __init__(self, map_fd: int) -> None:
        self._ring = libbpf.RingBuffer(map_fd, capacity_of(map_fd))
        self._verdicts = [verdict.name for verdict in all_verdicts()]

    def read(self) -> list[Sample]:
        """What was sampled since the last time, oldest first, as far as the ring had room."""
        return [self._sample(record) for record in self._ring.read()]

    def fileno(self) -> int:
        """A descriptor that is readable when there are samples."""
        return self._ring.fileno()

    def close(self) -> None:
        """Let go of the ring."""
        self._ring.close()

    def _sample(self, record: bytes) -> Sample:
        raw = layout.Sample.from_buffer_copy(record)
        return Sample(
            raw.time_ns,
            raw.ifindex,
            self._verdicts[raw.verdict],
            None if raw.endpoint == layout.NO_ENDPOINT else raw.endpoint,
            raw.length,
            bytes(raw.bytes)[: raw.length],
        )
