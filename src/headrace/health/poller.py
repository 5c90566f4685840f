"""Every try under way, on one epoll.

A task a probe would cost more than the probe: a thousand endpoints every 250 ms are to take at most
60 % of a core. Here a try is a socket and a generator, and one pass moves on all that can move.
"""

import select
import socket
from dataclasses import dataclass

from headrace.health.exchange import Steps, open_socket
from headrace.health.result import ProbeFailure, Result, result_of
from headrace.health.watch import Watch
from headrace.health.ways import ProbeWay
from headrace.model import Health

LIMIT_EVENTS = 128
"""Events taken in one pass; at 20-40 us each, others on the loop wait some 5 ms at most."""


@dataclass(slots=True, eq=False)
class _Try:
    """One exchange under way."""

    watch: Watch
    way: ProbeWay | None
    number: int  # which of the watch's exchanges
    socket: socket.socket
    steps: Steps[str]
    wants: int | None = None  # the events registered for


class Poller:
    """Starts tries, moves them on as their sockets allow, and ends them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._tries: dict[int, _Try] = {}  # by file descriptor
        self._descriptors: dict[Watch, int] = {}

    def fileno(self) -> int:
        """Readable when there is something to collect."""
        return self._epoll.fileno()

    def start(self, watch: Watch, way: ProbeWay | None) -> Result | None:
        """Begin a try; its result if it has one at once."""
        return self._start(watch, way, 0)

    def collect(self) -> tuple[list[tuple[Watch, Result]], bool]:
        """The tries that have ended now, and whether nothing is left that could move on."""
        events = self._epoll.poll(0, LIMIT_EVENTS)
        ended = []
        for descriptor, ready in events:
            each = self._tries[descriptor]
            result = self._resume(each, ready)
            if result is not None:
                ended.append((each.watch, result))
        return ended, len(events) < LIMIT_EVENTS

    def expire(self, watch: Watch) -> Result:
        """End a try whose time is over; what it says of that."""
        each = self._tries[self._descriptors[watch]]
        try:
            each.steps.throw(TimeoutError())
        except (ProbeFailure, OSError) as error:
            return result_of(error)
        except StopIteration as passed:
            return Result(Health.UP, passed.value)
        finally:
            self._end(each)
        raise AssertionError("a talk went on after its time was over")

    def drop(self, watch: Watch) -> None:
        """End a try, if there is one, and say nothing."""
        descriptor = self._descriptors.get(watch)
        if descriptor is not None:
            self._end(self._tries[descriptor])

    def close(self) -> None:
        """End every try."""
        for each in list(self._tries.values()):
            self._end(each)
        self._epoll.close()

    def _start(self, watch: Watch, way: ProbeWay | None, number: int) -> Result | None:
        exchange = watch.exchanges[number]
        try:
            sock = open_socket(exchange, watch.target, way)
        except OSError as error:
            return result_of(error)
        room_bytes = None if way is None else way.room_bytes
        each = _Try(watch, way, number, sock, exchange.talk(sock, watch.target, room_bytes))
        self._tries[sock.fileno()] = each
        self._descriptors[watch] = sock.fileno()
        return self._resume(each, None)

    def _resume(self, each: _Try, ready: int | None) -> Result | None:
        """Let a talk go on; a result when the try has ended."""
        try:
            wants = each.steps.send(ready)  # type: ignore[arg-type]  # None begins a generator
            if wants != each.wants:
                self._register(each, wants)
        except StopIteration as passed:
            self._end(each)
            if each.number + 1 < len(each.watch.exchanges):
                return self._start(each.watch, each.way, each.number + 1)
            return Result(Health.UP, passed.value)
        except (ProbeFailure, OSError) as error:
            self._end(each)
            return result_of(error)
        return None

    def _register(self, each: _Try, wants: int) -> None:
        if each.wants is None:
            self._epoll.register(each.socket.fileno(), wants)
        else:
            self._epoll.modify(each.socket.fileno(), wants)
        each.wants = wants

    def _end(self, each: _Try) -> None:
        each.steps.close()
        del self._tries[each.socket.fileno()]
        del self._descriptors[each.watch]
        each.socket.close()  # which takes it out of the epoll, too
