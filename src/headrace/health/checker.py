"""Asks every target at its times, and says what to believe of each."""

import asyncio
import random
import time
from collections.abc import Mapping
from heapq import heappop, heappush
from types import MappingProxyType

import structlog

from headrace.health.dampener import Dampener
from headrace.health.exchange import port_of
from headrace.health.kinds import exchanges_of
from headrace.health.poller import Poller
from headrace.health.result import Result
from headrace.health.schedule import start_s
from headrace.health.watch import Watch
from headrace.health.ways import ProbeWay, ProbeWays
from headrace.model import Belief, Health, ProbePath, ProbeTarget

LIMIT_STARTS = 64
"""Tries begun in one pass; at 50 us each, others on the loop wait some 3 ms at most."""

REST_S = 0.002
"""Between two passes while there is work: a turn of the loop costs as much as a try, so each is to
move on several. Each step of a try may wait so much longer."""

_NEVER_S = -1.0  # makes a watch's entry in the heap a stale one

log = structlog.get_logger()


class Checker:
    """Probes endpoints. What is done with a belief is no concern of it."""

    def __init__(self, ways: ProbeWays) -> None:
        self._ways = ways
        self._watches: dict[ProbeTarget, Watch] = {}
        self._beliefs: dict[ProbeTarget, Belief] = {}
        self._schedule: list[tuple[float, int, Watch]] = []  # a heap; stale where wake_s differs
        self._numbers = 0  # watches and entries of the heap so far
        self._phase = random.random()  # noqa: S311 - no secret
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._poller: Poller | None = None

    @property
    def beliefs(self) -> Mapping[ProbeTarget, Belief]:
        """What is believed of each target now, and why; a live view."""
        return MappingProxyType(self._beliefs)

    async def wait(self) -> None:
        """Return when some belief's health has changed since the last return."""
        await self._changed.wait()
        self._changed.clear()

    def set_targets(self, targets: frozenset[ProbeTarget]) -> None:
        """Probe exactly these; those that stay keep their history."""
        for target in self._beliefs.keys() - targets:
            del self._beliefs[target]
            self._forget(target)
        now_s = time.monotonic()
        for target in targets - self._beliefs.keys():
            self._add(target, now_s)
        self._wake.set()

    async def run(self) -> None:
        """Probe until cancelled; then every socket is closed. Beliefs stay."""
        self._poller = poller = Poller()
        try:
            while True:
                if self._move_on(poller):
                    await asyncio.sleep(REST_S)
                else:
                    await self._sleep(poller)
        finally:
            poller.close()
            self._poller = None
            for watch in self._watches.values():
                watch.is_trying = False

    def _add(self, target: ProbeTarget, now_s: float) -> None:
        exchanges = exchanges_of(target)
        if not exchanges:
            self._beliefs[target] = Belief(Health.UP, now_s, "not probed")
            return
        probe = target.probe
        first_s = now_s + start_s(self._numbers, probe.interval_s, self._phase)
        belief = Belief(Health.UNKNOWN, now_s, "not probed yet")
        watch = Watch(target, exchanges, Dampener(probe.rise, probe.fall), belief, first_s, first_s)
        self._watches[target], self._beliefs[target] = watch, belief
        self._push(watch)

    def _forget(self, target: ProbeTarget) -> None:
        watch = self._watches.pop(target, None)
        if watch is None:
            return
        watch.wake_s = _NEVER_S
        if self._poller is not None:
            self._poller.drop(watch)

    def _push(self, watch: Watch) -> None:
        self._numbers += 1
        heappush(self._schedule, (watch.wake_s, self._numbers, watch))

    async def _sleep(self, poller: Poller) -> None:
        """Return when a socket is ready, a time has come, or the targets are others."""
        loop = asyncio.get_running_loop()
        loop.add_reader(poller.fileno(), self._wake.set)
        timer = loop.call_at(self._schedule[0][0], self._wake.set) if self._schedule else None
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(poller.fileno())
            if timer is not None:
                timer.cancel()
        self._wake.clear()

    def _move_on(self, poller: Poller) -> bool:
        """One pass over all tries; whether there was anything to do."""
        now_s = time.monotonic()
        ended, is_drained = poller.collect()
        for watch, result in ended:
            self._finish(watch, result, now_s)
        # What came in time counts, however late this loop gets to see it.
        return not is_drained or self._look(poller, now_s) > 0 or bool(ended)

    def _look(self, poller: Poller, now_s: float) -> int:
        """End the tries whose time is over and begin those that are due; how many there were."""
        count = 0
        while self._schedule and self._schedule[0][0] <= now_s and count < LIMIT_STARTS:
            when_s, _, watch = heappop(self._schedule)
            if when_s != watch.wake_s:
                continue
            count += 1
            if watch.is_trying:
                self._finish(watch, poller.expire(watch), now_s)
            else:
                self._begin(poller, watch, now_s)
        return count

    def _begin(self, poller: Poller, watch: Watch, now_s: float) -> None:
        watch.begin()
        watch.wake_s = now_s + watch.target.probe.timeout_s
        way: ProbeWay | None = None
        if watch.target.probe.path is ProbePath.TUNNEL:
            way = self._ways.way_of(watch.target)
            if way is None:
                self._finish(watch, Result(Health.DOWN, "no path"), now_s)
                return
        result = poller.start(watch, way)
        if result is not None:
            self._finish(watch, result, now_s)
        else:
            self._push(watch)

    def _finish(self, watch: Watch, result: Result, now_s: float) -> None:
        """Take a result; words are looked for only where it is a change, since that costs."""
        is_changed, is_retold = watch.observe(result, now_s)
        self._push(watch)
        if not (is_changed or is_retold):
            return
        has_failed = result.vote is Health.DOWN
        cause = self._ways.likely_cause(watch.target, result.words) if has_failed else ""
        watch.explain(cause)
        self._beliefs[watch.target] = watch.belief
        if is_changed:
            self._log(watch)
            self._changed.set()

    def _log(self, watch: Watch) -> None:
        log.info(
            "belief_changed",
            pool=watch.target.pool,
            endpoint=str(watch.target.endpoint),
            vip=str(watch.target.vip),
            port=port_of(watch.target),
            health=str(watch.belief.health),
            reason=watch.belief.reason,
        )
