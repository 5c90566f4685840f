"""The edge of the room: asks and watches the kernel without blocking the event loop."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from headrace.model import (
    IPAddress,
    KernelError,
    OuterSources,
    Path,
    Port,
    Target,
    Tunnel,
    Unresolved,
)
from headrace.underlay.addresses import read_addresses
from headrace.underlay.changes import Interest, any_touches
from headrace.underlay.kernel import Kernel
from headrace.underlay.memory import drop_expired, next_deadline
from headrace.underlay.netlink import EventSocket
from headrace.underlay.ports import choose_ports
from headrace.underlay.snapshot import NeighbourKey
from headrace.underlay.survey import (
    Knowledge,
    Question,
    Survey,
    keep_neighbours,
    look_again,
    take_survey,
)
from headrace.underlay.wire import decode_events

COALESCE_S = 0.02
"""Events within this time are answered as one; a flap of a link is a dozen."""

ANSWER_WAIT_S = 0.2
"""How long a new neighbour may take: 4-8 ms is usual, a retry of ARP comes after a second."""

ANSWER_POLL_S = 0.005
"""How often a new neighbour is looked at while it is waited for."""

LOOK_AGAIN_S = 60.0
"""How long answers are relied on while nothing is heard of a change: the kernel tells nobody of a
path MTU that it learns or forgets."""

log = structlog.get_logger()


class Underlay:
    """The links, routes and neighbours of the network namespace in which the object is made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._events = EventSocket()
        self._kernel = Kernel()
        self._knowledge = Knowledge()
        self._lock = asyncio.Lock()  # the knowledge is of one survey, the last
        self._wake = asyncio.Event()
        self._is_watching = False
        self._has_changed = False  # and whoever watches was not told yet

    def close(self) -> None:
        """Give the sockets back. What the kernel keeps resolved, it goes on keeping."""
        self._events.close()
        self._kernel.close()

    async def ports(self, names: Sequence[str] | None) -> list[Port]:
        """The interfaces to attach to: those named, or all that can carry XDP and are up.

        Raises ConfigError naming an interface that is missing or cannot carry XDP.
        """
        links = await asyncio.to_thread(self._kernel.links)
        return choose_ports(links, names)

    async def resolve(
        self,
        targets: Iterable[Target],
        tunnels: Mapping[IPAddress, Tunnel],
        sources: OuterSources,
    ) -> Mapping[Target, Path | Unresolved]:
        """How each target is reached now; the kernel is asked to keep the neighbours resolved.

        The targets are all that matter from now on: neighbours that only earlier calls needed are
        released. A neighbour that is asked for the first time is waited for, ANSWER_WAIT_S at most.
        While changes are watched and there is none, what was answered is not looked at again.
        """
        question = Question(tuple(targets), dict(tunnels), sources)
        async with self._lock:
            answers = await self._remembered(question)
        if answers is not None:
            return answers
        survey = await self._look(partial(take_survey, self._kernel, question))
        if survey.asked:
            await self._await_answers(survey.asked)
            look = partial(look_again, self._kernel, question, survey.plan)
            survey = await self._look(look)
        return survey.answers

    async def addresses(self) -> list[IPAddress]:
        """Every address that this network namespace has."""
        return await asyncio.to_thread(read_addresses)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Until cancelled, call `on_change` whenever `ports` or `resolve` may answer otherwise."""
        self._events.start(self._wake.set)
        self._is_watching = True
        try:
            while True:
                await self._sleep()
                if await self._changed():
                    on_change()
        finally:
            self._is_watching = False
            self._events.stop()

    async def _remembered(self, question: Question) -> Mapping[Target, Path | Unresolved] | None:
        """The answers of the last survey, if they are those of this question still."""
        if not self._is_watching:
            self._knowledge = replace(self._knowledge, memory=None)
            return None
        await self._take_events()
        memory = self._knowledge.memory
        if memory is None or not memory.is_of(question):
            return None
        return memory.answers

    async def _look(self, look: Callable[[Knowledge, float], Survey]) -> Survey:
        """A survey by what is known; what it learns is known from then on."""
        async with self._lock:
            survey = await asyncio.to_thread(look, self._knowledge, self._clock())
            self._knowledge = survey.knowledge
        if self._next_deadline() is not None:
            self._wake.set()  # the watch sleeps until that deadline
        return survey

    async def _await_answers(self, keys: Sequence[NeighbourKey]) -> None:
        """Return when all have answered, or after ANSWER_WAIT_S.

        Looks again and again, because the events belong to the watch, which may not be running.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WAIT_S):
                while not await asyncio.to_thread(  # noqa: ASYNC110 - there is no event, see above
                    _all_answered, self._kernel, keys
                ):
                    await asyncio.sleep(ANSWER_POLL_S)

    def _next_deadline(self) -> float | None:
        """When answers may be others though nothing is heard of, by the clock."""
        memory = self._knowledge.memory
        lost_s = next_deadline(self._knowledge.macs)
        ends = [] if lost_s is None else [lost_s]
        if memory is not None:
            ends.append(memory.taken_s + LOOK_AGAIN_S)
        return min(ends, default=None)

    async def _sleep(self) -> None:
        """Return some time after an event, or when answers are no longer to be relied on."""
        deadline = self._next_deadline()
        delay_s = None if deadline is None else max(0.0, deadline - self._clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        await asyncio.sleep(COALESCE_S)
        self._wake.clear()

    async def _changed(self) -> bool:
        """Whether what happened since the last call can change an answer.

        Waits for a survey in flight, as its result says what matters.
        """
        async with self._lock:
            await self._take_events()
            memory = self._knowledge.memory
            if memory is not None and memory.taken_s + LOOK_AGAIN_S <= self._clock():
                self._knowledge = replace(self._knowledge, memory=None)
                return True
            has_changed, self._has_changed = self._has_changed, False
            return has_changed

    async def _take_events(self) -> None:
        """Forget answers that what has happened can change."""
        knowledge = self._knowledge
        macs = drop_expired(knowledge.macs, self._clock())
        has_expired = len(macs) < len(knowledge.macs)
        datagrams = self._events.take()
        if datagrams is None:
            log.warning("netlink_overflow")
        matters = datagrams is None or (
            bool(datagrams) and await asyncio.to_thread(_matter, datagrams, knowledge.interest)
        )
        if not matters and not has_expired:
            return
        interest = knowledge.interest
        if matters:
            await asyncio.to_thread(_restore, self._kernel, knowledge.wanted)
            # From now to the next survey a link matters even when it is again as it was: the kernel
            # has dropped its neighbours meanwhile.
            interest = replace(interest, links={})
        self._knowledge = replace(knowledge, macs=macs, interest=interest, memory=None)
        self._has_changed = True
        self._wake.set()


def _all_answered(kernel: Kernel, keys: Iterable[NeighbourKey]) -> bool:
    neighbours = (kernel.neighbour(key) for key in keys)
    return all(one is not None and one.usable_mac is not None for one in neighbours)


def _matter(datagrams: Iterable[bytes], interest: Interest) -> bool:
    events = (event for datagram in datagrams for event in decode_events(datagram))
    return any_touches(events, interest)


def _restore(kernel: Kernel, wanted: Iterable[NeighbourKey]) -> None:
    """Have neighbours kept again that the kernel dropped with the carrier of their link.

    A failure is logged only: the next `resolve` does the same.
    """
    try:
        links = kernel.links()
        usable = [
            key
            for key in wanted
            if key.ifindex in links and links[key.ifindex].up and links[key.ifindex].carrier
        ]
        keep_neighbours(kernel, usable, kernel.neighbours())
    except KernelError as error:
        log.warning("neighbours_not_restored", error=str(error))
