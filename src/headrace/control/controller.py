"""The reconciler: document -> desired -> plan -> apply -> read back, whenever something changes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from headrace.control.apply import apply_step
from headrace.control.desired import Desired, Paths, build_desired
from headrace.control.plan import plan_forwarding
from headrace.control.ports import Dataplane, Speaker, Store, Underlay
from headrace.control.status import NodeState, build_status
from headrace.control.views import Status
from headrace.maglev import Table
from headrace.model import (
    Announcement,
    Document,
    Explanation,
    Flow,
    LbError,
    Tunnel,
    UnavailableError,
    check_document,
    dump_document,
    parse_document,
)

WITHDRAW_WAIT_S = 0.2
"""From a withdrawal until routers have acted on it: 4 ms (BIRD) to 73 ms (FRR) were measured."""

RETRY_S = 2.0
"""After a reconciliation that failed: long enough not to spin, short enough for an operator."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """The ports that the controller reaches the world through."""

    store: Store
    dataplane: Dataplane
    underlay: Underlay
    speaker: Speaker


class Controller:
    """Holds the document in force and keeps the world as it says."""

    def __init__(self, world: World, document: Document, revision: int) -> None:
        self._world = world
        self._document = document
        self._revision = revision
        self._announced: frozenset[Announcement] = frozenset()
        self._paths: Paths = {}
        self._tables: Mapping[str, Table] = {}
        self._problem = ""
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def document(self) -> Document:
        """The document in force."""
        return self._document

    @property
    def revision(self) -> int:
        """The number of the document in force; 0 before the first."""
        return self._revision

    def wake(self) -> None:
        """Something outside changed: look again soon."""
        self._changed.set()

    async def run(self) -> None:
        """Reconcile at every change, until cancelled."""
        self.wake()
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._lock:
                settled = await self._try_reconcile()
            if not settled:
                await self._wait_for_change(RETRY_S)

    async def edit(self, change: Callable[[Document], Document], *, author: str) -> int:
        """Change the document as one revision; its number, once the kernel has read it back.

        Raises ConfigError with every problem of the result; nothing is kept then.
        """
        async with self._lock:
            document = change(self._document)
            if document == self._document:
                return self._revision
            check_document(document)
            try:
                await self._desire(document)  # only to see whether it can be built
            except LbError:
                self.wake()  # the underlay was asked about endpoints that will not be
                raise
            text = dump_document(document)
            self._revision = await asyncio.to_thread(self._world.store.append, text, author=author)
            self._document = document
            _log.info("document_changed", revision=self._revision, author=author)
            await self._reconcile()
            return self._revision

    async def withdraw_all(self) -> None:
        """Have no VIP announced, and wait until routers have acted on it."""
        async with self._lock:
            await self._announce(frozenset())
            await asyncio.sleep(WITHDRAW_WAIT_S)

    def status(self) -> Status:
        """The node as it stands."""
        return build_status(
            NodeState(
                document=self._document,
                revision=self._revision,
                paths=self._paths,
                announced=self._announced,
                problem=self._problem,
            ),
            self._world.dataplane,
            self._world.speaker.sessions,
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where the data plane sends each flow, read from its maps."""
        return self._world.dataplane.explain(flows)

    async def _wait_for_change(self, at_most_s: float) -> None:
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            self.wake()

    async def _try_reconcile(self) -> bool:
        try:
            await self._reconcile()
        except LbError as error:
            if str(error) != self._problem:
                _log.warning("reconcile_failed", error=str(error))
            self._problem = str(error)
            return False
        return not self._problem

    async def _desire(self, document: Document) -> tuple[Desired, Paths]:
        node = document.node
        tunnels = {
            entry.endpoint: Tunnel(entry.endpoint, entry.local, entry.remote)
            for entry in node.tunnels
        }
        addresses = {e.address for pool in document.all_pools().values() for e in pool.endpoints}
        paths = await self._world.underlay.resolve(addresses, tunnels, node.source)
        actual = self._world.dataplane.read()
        desired = await asyncio.to_thread(build_desired, document, paths, actual, self._tables)
        return desired, paths

    async def _reconcile(self) -> None:
        """Bring the world to what the document says."""
        dataplane = self._world.dataplane
        document = self._document
        dataplane.attach(await self._world.underlay.ports(document.node.interfaces))
        desired, self._paths = await self._desire(document)
        self._tables = desired.tables
        await self._withdraw(desired.announcements)
        steps = plan_forwarding(desired, dataplane.read())
        for step in steps:
            apply_step(step, dataplane)
        left = plan_forwarding(desired, dataplane.read())
        if left:
            raise UnavailableError(f"the kernel did not take {len(left)} steps, first {left[0]}")
        if steps:
            _log.info("forwarding_changed", steps=len(steps), revision=self._revision)
        self._problem = await self._try_announce(document, desired.announcements)

    async def _withdraw(self, wanted: frozenset[Announcement]) -> None:
        """Withdraw what is not wanted any more, before anything it needs is taken away."""
        if self._announced <= wanted:
            return
        await self._announce(self._announced & wanted)
        await asyncio.sleep(WITHDRAW_WAIT_S)

    async def _try_announce(self, document: Document, wanted: frozenset[Announcement]) -> str:
        """Announce; what is in the way, or nothing. A speaker's trouble stops no forwarding."""
        try:
            await self._world.speaker.configure(document.bgp)
            await self._announce(wanted)
        except LbError as error:
            return str(error)
        return ""

    async def _announce(self, wanted: frozenset[Announcement]) -> None:
        if self._document.bgp is not None or self._announced:
            await self._world.speaker.announce(wanted)
        if wanted != self._announced:
            prefixes = sorted(str(announcement.prefix) for announcement in wanted)
            _log.info("announced", prefixes=prefixes)
        self._announced = wanted


def restore(store: Store, initial: Document | None) -> tuple[Document, int]:
    """The document to start with: the newest revision, else the one given, else an empty one."""
    latest = store.latest()
    if latest is not None:
        number, text = latest
        return parse_document(text), number
    if initial is None:
        return Document(), 0
    return initial, store.append(dump_document(initial), author="first start")
