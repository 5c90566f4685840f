"""One capture: sampling is on while it lasts, and off again whatever ends it."""

import fcntl
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.capture.seen import Seen
from headrace.capture.sinks import Sink
from headrace.dataplane import Sample, all_verdicts
from headrace.dataplane.pins import Pins
from headrace.dataplane.sighting import Sighting, served, sight
from headrace.model import ConflictError, Encapsulation, NotFoundError, UnavailableError

LIMIT_ONE_IN = 1_000_000_000
"""Rarer than once in the time that anybody waits; the kernel takes 32 bits."""

_LOCK = "capture.lock"
_OFF = 0

_HOLD_S = 0.2
"""The daemon sets its settings anew when it looks at the kernel and finds others."""

_STRANGERS = frozenset({"pass_not_ip", "pass_not_vip"})
"""Verdicts on packets that are no business of the load balancer's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packets are taken. Raises NotFoundError for what is no verdict."""

    one_in: int = 1  # of all packets, at random
    verdicts: frozenset[str] = frozenset()  # empty: all on packets for VIPs
    count: int | None = None  # the capture ends after so many

    def __post_init__(self) -> None:
        known = [verdict.name for verdict in all_verdicts()]
        for name in sorted(self.verdicts.difference(known)):
            raise NotFoundError(f"there is no verdict {name!r}; there are {', '.join(known)}")

    def takes(self, verdict: str) -> bool:
        """Whether a sample with this verdict is taken."""
        return verdict in self.verdicts if self.verdicts else verdict not in _STRANGERS


@dataclass(slots=True)
class Taken:
    """What came of a capture."""

    count: int = 0  # of packets
    is_full: bool = False  # the ring was: some packets may be missing


@contextmanager
def open_session(runtime_dir: Path, pins_dir: Path) -> Iterator["Session"]:
    """The only capture of an instance during the block.

    Raises ConflictError while there is another, UnavailableError without a data plane.
    """
    with _lock(runtime_dir), closing(Pins(pins_dir)) as pins, closing(_Reader(pins)) as reader:
        reader.discard()
        yield Session(pins, reader)


class Session:
    """What takes packets; made by `open_session`."""

    def __init__(self, pins: Pins, reader: "_Reader") -> None:
        self._pins = pins
        self._reader = reader

    def take(self, wanted: Wanted, sink: Sink, stop: int) -> Taken:
        """Have packets sampled until `stop` is readable or there are enough."""
        done = Taken()
        is_stopped = False
        try:
            while not is_stopped:
                if self._pins.sample_one_in != wanted.one_in:
                    self._pins.sample_one_in = wanted.one_in
                readable, _, _ = select.select([self._reader.fileno(), stop], [], [], _HOLD_S)
                self._pass_on(wanted, sink, done)
                is_stopped = stop in readable or done.count == wanted.count
        finally:
            self._pins.sample_one_in = _OFF
        return done

    def _pass_on(self, wanted: Wanted, sink: Sink, done: Taken) -> None:
        """Write what was sampled since the last time, as far as it is wanted."""
        for seen in self._reader.read(wanted):
            sink.write(seen)
            done.count += 1
            if done.count == wanted.count:
                break
        sink.flush()
        done.is_full |= self._reader.was_full


class _Reader:
    """Reads samples, and says of each what can be told."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._samples = pins.samples()
        self._names: dict[int, str] = {}
        self.was_full = False

    def fileno(self) -> int:
        """A descriptor that is readable when there are samples."""
        return self._samples.fileno()

    def discard(self) -> None:
        """Forget what an earlier capture left."""
        self._samples.read()

    def read(self, wanted: Wanted) -> Iterator[Seen]:
        """What was sampled since the last time and is wanted."""
        now_ns, uptime_ns = map(time.clock_gettime_ns, (time.CLOCK_REALTIME, time.CLOCK_BOOTTIME))
        samples = self._samples.read()
        self.was_full = len(samples) >= self._pins.sample_capacity
        return (
            self._seen(each, now_ns - uptime_ns) for each in samples if wanted.takes(each.verdict)
        )

    def close(self) -> None:
        """Let go of the ring."""
        self._samples.close()

    def _seen(self, sample: Sample, offset_ns: int) -> Seen:
        reach = None if sample.endpoint is None else self._pins.reach(sample.endpoint)
        is_sent = sample.verdict == "sent"
        outer = reach.encapsulation if reach is not None and is_sent else Encapsulation.L2
        sighting = sight(sample.frame, outer)
        return Seen(
            time_ns=sample.time_ns + offset_ns,
            interface=self._interface(sample.ifindex),
            verdict=sample.verdict,
            endpoint=None if reach is None else reach.endpoint,
            pool=self._pool(sighting, is_answer=sample.verdict.startswith("answered_")),
            frame=sample.frame,
            length_bytes=sample.length_bytes,
            sighting=sighting,
        )

    def _pool(self, sighting: Sighting, *, is_answer: bool) -> str:
        about = served(sighting, is_answer=is_answer)
        return "" if about is None else self._pins.pool(about.vip, about.protocol, about.port)

    def _interface(self, ifindex: int) -> str:
        """An interface's name; as the daemon knows it, where it is of another namespace."""
        if ifindex not in self._names:
            self._names |= self._pins.interfaces()
        if ifindex not in self._names:
            try:
                self._names[ifindex] = socket.if_indextoname(ifindex)
            except OSError:  # it is gone already
                self._names[ifindex] = f"interface {ifindex}"
        return self._names[ifindex]


@contextmanager
def _lock(runtime_dir: Path) -> Iterator[None]:
    """Hold the instance's ring. Raises ConflictError naming the process that has it."""
    path = runtime_dir / _LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise UnavailableError(
            f"there is no instance {runtime_dir.name} on this host; start it with `headrace run`, "
            "or name another by --instance"
        ) from error
    except PermissionError as error:
        raise UnavailableError(f"{path}: {error.strerror}; captures need root") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip() or "another process"
            raise ConflictError(
                f"process {holder} captures from instance {runtime_dir.name} already; end that one"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
