"""The reconciler: document -> desired -> plan -> apply -> read back, whenever something changes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from headrace.control.apply import apply_step
from headrace.control.desired import Desired, Paths, build_desired, targets_of
from headrace.control.holding import hold_back
from headrace.control.plan import plan_forwarding
from headrace.control.ports import Dataplane, Speaker, Store, Underlay
from headrace.control.status import NodeState, build_status
from headrace.control.views import Status
from headrace.maglev import Table
from headrace.model import (
    Announcement,
    Bgp,
    ConfigError,
    Document,
    Explanation,
    Flow,
    IPNetwork,
    LbError,
    Port,
    Tunnel,
    UnavailableError,
    check_document,
    dump_document,
    parse_document,
)

WITHDRAW_WAIT_S = 0.2
"""From a withdrawal until routers have acted on it: 4 ms (BIRD) to 73 ms (FRR) were measured."""

SPEAKER_TIMEOUT_S = 3.0
"""For the speaker to take a set; it is asked again. Edits wait as long: a set takes 1 ms a prefix
and peer, and a speaker that starts takes half a second."""

RETRY_S = 2.0
"""After a reconciliation that failed: long enough not to spin, short enough for an operator."""

SETTLE_S_MAX = 60.0
"""Between two looks for slots that have settled: each reads the age of every line of slots."""

SETTLE_PARTS = 20
"""Looks in one transition_idle_s, so that a slot settles 5 % late at most."""

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
        # What peers may know of: an earlier daemon may have announced whatever it forwarded.
        self._heard = frozenset(key.prefix for key in world.dataplane.read().services)
        self._configured: Bgp | None = None
        self._ending = False
        self._paths: Paths = {}
        self._tables: Mapping[str, Table] = {}
        self._problems: list[str] = []  # of the last reconciliation that has ended
        self._found: list[str] = []  # by the one under way
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
        """Reconcile at every change, and settle what has come to rest, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconcile_at_changes())
            group.create_task(self._settle_at_times())

    async def edit(self, change: Callable[[Document], Document], *, author: str) -> int:
        """Change the document as one revision; its number, once the kernel has read it back.

        Raises ConfigError with every problem of the result; nothing is kept then. Raises what is in
        the way of a revision that is kept; `run` tries again until it is in force.
        """
        async with self._lock:
            if self._ending:
                raise UnavailableError("this daemon is stopping; ask again once it is back")
            document = change(self._document)
            if document == self._document:
                return self._revision
            check_document(document)
            text = dump_document(document)
            try:
                await self._desire(document)  # only to see whether it can be built
                revision = await asyncio.to_thread(self._world.store.append, text, author=author)
            except LbError:
                self.wake()  # the underlay was asked about endpoints that will not be
                raise
            self._document, self._revision = document, revision
            _log.info("document_changed", revision=self._revision, author=author)
            failure = await self._try_reconcile()
            if self._problems:
                self.wake()
            if failure is not None:
                raise failure
            return self._revision

    async def withdraw_all(self) -> None:
        """Have no VIP announced, and none from now on; wait until routers have acted on it.

        Raises UnavailableError when the speaker does not do it in SPEAKER_TIMEOUT_S.
        """
        self._ending = True
        async with _within(SPEAKER_TIMEOUT_S), self._lock:
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
                problem="; ".join(self._problems),
            ),
            self._world.dataplane,
            self._world.speaker.sessions,
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where the data plane sends each flow, read from its maps."""
        return self._world.dataplane.explain(flows)

    async def _reconcile_at_changes(self) -> None:
        self.wake()
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._lock:
                await self._try_reconcile()
            if self._problems:
                await self._wait_for_change(RETRY_S)

    async def _settle_at_times(self) -> None:
        """Have slots settle that no old flow was seen in for the document's time."""
        while True:
            idle_s = self._document.cluster.transition_idle_s
            await asyncio.sleep(settle_interval_s(idle_s))
            try:
                count = self._world.dataplane.settle(idle_s)
            except LbError as error:
                _log.warning("settling_failed", error=str(error))
            else:
                if count:
                    _log.info("slots_settled", count=count)

    async def _wait_for_change(self, at_most_s: float) -> None:
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            self.wake()

    async def _try_reconcile(self) -> LbError | None:
        """Reconcile; what stopped it, if anything. All that is in the way is kept to be shown."""
        self._found = []
        failure = None
        try:
            await self._reconcile()
        except LbError as error:
            failure = error
            self._found.append(str(error))
        before, self._problems = self._problems, self._found
        if self._problems and self._problems != before:
            _log.warning("reconcile_failed", problems=self._problems)
        elif before and not self._problems:
            _log.info("reconcile_recovered")
        return failure

    async def _desire(self, document: Document) -> tuple[Desired, Paths]:
        node = document.node
        tunnels = {
            entry.endpoint: Tunnel(entry.endpoint, entry.local, entry.remote)
            for entry in node.tunnels
        }
        targets = targets_of(document)
        paths = await self._world.underlay.resolve(targets, tunnels, node.sources)
        actual = self._world.dataplane.read()
        desired = await asyncio.to_thread(build_desired, document, paths, actual, self._tables)
        return desired, paths

    async def _reconcile(self) -> None:
        """Bring the world to what the document says.

        What is wrong with interfaces or the speaker is noted and stops nothing else: whatever it
        is, VIPs must be withdrawn, dead endpoints left and other changes made.
        """
        document = self._document
        await self._note(self._attach(document.node.interfaces))
        desired, self._paths = await self._desire(document)
        self._tables = desired.tables
        wanted = desired.announcements if self._is_attached() else frozenset()
        await self._note(self._withdraw(wanted))
        self._forward(desired, self._heard_besides(wanted))
        await self._note(self._configure(document.bgp))
        await self._note(self._announce(wanted))

    async def _note(self, work: Awaitable[None]) -> None:
        """Do what nothing else depends on; its failure becomes a problem of the node."""
        try:
            await work
        except LbError as error:
            if str(error) not in self._found:
                self._found.append(str(error))

    async def _attach(self, names: Sequence[str] | None) -> None:
        """Run on the interfaces that there are. Raises the problem with the others."""
        problem: ConfigError | None = None
        try:
            ports = await self._world.underlay.ports(names)
        except ConfigError as error:
            if names is None:
                raise
            ports, problem = await self._existing(names), error
        self._world.dataplane.attach(ports)
        if problem is not None:
            raise problem

    async def _existing(self, names: Sequence[str]) -> list[Port]:
        """Those of the named interfaces that can be attached to."""
        ports = []
        for name in dict.fromkeys(names):
            with suppress(ConfigError):
                ports += await self._world.underlay.ports([name])
        return ports

    def _is_attached(self) -> bool:
        """Whether VIP packets can come in at all."""
        return any(mode != "missing" for mode in self._world.dataplane.modes().values())

    def _forward(self, desired: Desired, heard: frozenset[IPNetwork]) -> None:
        """Have the kernel forward as desired, save what these prefixes still stand on."""
        dataplane = self._world.dataplane
        actual = dataplane.read()
        split = hold_back(plan_forwarding(desired, actual), actual, heard)
        for step in split.free:
            apply_step(step, dataplane)
        actual = dataplane.read()
        left = hold_back(plan_forwarding(desired, actual), actual, heard).free
        if left:
            raise UnavailableError(f"the kernel did not take {len(left)} steps, first {left[0]}")
        if split.free:
            _log.info("forwarding_changed", steps=len(split.free), revision=self._revision)

    def _heard_besides(self, wanted: frozenset[Announcement]) -> frozenset[IPNetwork]:
        """What peers may have heard of that they should not."""
        return self._heard - {announcement.prefix for announcement in wanted}

    async def _withdraw(self, wanted: frozenset[Announcement]) -> None:
        """Withdraw what is not wanted any more, before anything it needs is taken away."""
        gone = self._heard_besides(wanted)
        if not gone:
            return
        kept = self._heard - gone
        await self._announce(frozenset(each for each in wanted if each.prefix in kept))
        await asyncio.sleep(WITHDRAW_WAIT_S)

    async def _configure(self, bgp: Bgp | None) -> None:
        """Have the speaker know the peers; one that has taken them is not asked again."""
        if bgp != self._configured:
            await self._world.speaker.configure(bgp)
            self._configured = bgp

    async def _announce(self, wanted: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; nothing once the daemon is ending."""
        if self._ending:
            wanted = frozenset()
        prefixes = frozenset(announcement.prefix for announcement in wanted)
        if self._document.bgp is not None or self._heard:
            self._heard |= prefixes
            async with _within(SPEAKER_TIMEOUT_S):
                await self._world.speaker.announce(wanted)
        if wanted != self._announced:
            _log.info("announced", prefixes=sorted(map(str, prefixes)))
        self._announced, self._heard = wanted, prefixes


@asynccontextmanager
async def _within(limit_s: float) -> AsyncIterator[None]:
    """Wait for the speaker no longer than this. Raises UnavailableError."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise UnavailableError(
            f"the BGP speaker has not answered within {limit_s:g} s; its log says why"
        ) from error


def settle_interval_s(idle_s: int) -> float:
    """How often to look for slots that have been idle for so long."""
    return min(max(idle_s / SETTLE_PARTS, 1.0), SETTLE_S_MAX)


def restore(store: Store, initial: Document | None) -> tuple[Document, int]:
    """The document to start with: the newest revision, else the one given, else an empty one."""
    latest = store.latest()
    if latest is not None:
        number, text = latest
        return parse_document(text), number
    if initial is None:
        return Document(), 0
    return initial, store.append(dump_document(initial), author="first start")
