"""An underlay in a namespace, with its watch, as the tests use it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from headrace.model import OuterSources, Path, Target, Unresolved
from headrace.underlay import Underlay
from headrace.underlay.snapshot import Neighbour
from tests.underlay.network import Namespace
from tests.underlay.values import key

NOTICE_S = 0.1
"""What the design promises from an event to the new answer."""

PATIENCE_S = 10 * NOTICE_S
"""What a test allows, on two cores that others use, too."""

CARRIER_S = 3.0
"""The kernel tells of carriers once a second in all namespaces together (linkwatch)."""

Answer = Path | Unresolved


class Node:
    """An underlay in a namespace, and whether its watch told of a change."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.now = 1000.0
        self.underlay = namespace.inside(lambda: Underlay(clock=lambda: self.now))
        self.changed = asyncio.Event()

    async def path(self, endpoint: str, *also: str) -> Answer:
        """How an endpoint is reached now, without help from the document; others are asked for."""
        target, *others = [Target(ip_address(each)) for each in (endpoint, *also)]
        return (await self.underlay.resolve([target, *others], {}, OuterSources()))[target]

    async def until(
        self,
        endpoint: str,
        holds: Callable[[Answer], bool],
        within_s: float = PATIENCE_S,
        also: tuple[str, ...] = (),
    ) -> Answer:
        """The first answer for which something holds; asks again only when told of a change."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.path(endpoint, *also)
                if holds(answer):
                    return answer
                await self.changed.wait()
                self.changed.clear()

    async def quiet(self) -> None:
        """Return when nothing was told of for ten times the coalescing time."""
        while await self.told(within_s=0.2):
            pass

    async def told(self, within_s: float) -> bool:
        """Whether a change is told of within a time."""
        try:
            async with asyncio.timeout(within_s):
                await self.changed.wait()
        except TimeoutError:
            return False
        self.changed.clear()
        return True

    def neighbour(self, address: str, device: str) -> Neighbour | None:
        """What the kernel knows of a neighbour."""
        wanted = key(self.namespace.index(device), address)
        return self.underlay._kernel.neighbour(wanted)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep the watch running for as long as the block does."""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self.underlay.watch(self.changed.set))
            yield
            assert not watch.done()
            watch.cancel()


def is_path(answer: Answer) -> bool:
    return isinstance(answer, Path)


def by(namespace: Namespace, device: str) -> Callable[[Answer], bool]:
    """Whether an answer leaves by a device."""
    ifindex = namespace.index(device)
    return lambda answer: isinstance(answer, Path) and answer.next_hop.ifindex == ifindex
