"""The reconciler: document -> desired -> plan -> apply -> read back, whenever something changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from headrace.control.announcing import Announcing
from headrace.control.beliefs import (
    Beliefs,
    DownSets,
    PoolHealth,
    PoolTargets,
    Targets,
    Tunnelled,
    disabled_sets,
    down_sets,
    targets_to_probe,
    tunnelled,
)
from headrace.control.changes import drain_changes, ended_drains, health_changes
from headrace.control.desired import (
    Desired,
    Paths,
    build_desired,
    same_where_equal,
    targets_of,
)
from headrace.control.draining import Drains
from headrace.control.flows import current_flows
from headrace.control.forwarding import Forwarder
from headrace.control.ground import Ground, View, all_services
from headrace.control.history import read_revision, view_history
from headrace.control.journal import DocumentChanged, Journal, TroubleChanged
from headrace.control.kept import Kept
from headrace.control.log_level import LogLevel
from headrace.control.ports import Checker, Dataplane, ProbePaths, Speaker, Store, Underlay
from headrace.control.rates import SAMPLE_S, Rates, draining_reaches
from headrace.control.settling import settle_at_times
from headrace.control.status import NodeState, StatusBuilder
from headrace.control.views import RevisionDocument, RevisionView, Status
from headrace.model import (
    ConfigError,
    Document,
    Explanation,
    Flow,
    LbError,
    Path,
    Port,
    PortMode,
    RememberedFlow,
    Target,
    UnavailableError,
    check_document,
    dump_document,
    parse_document,
)

RETRY_S = 2.0
"""After a reconciliation that failed: long enough not to spin, short enough for an operator."""

_Ready = tuple[Desired, Paths]  # what a document desires, and how its endpoints are reached

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """The ports that the controller reaches the world through."""

    store: Store
    dataplane: Dataplane
    underlay: Underlay
    speaker: Speaker
    checker: Checker
    probe_paths: ProbePaths


class Controller:
    """Holds the document in force and keeps the world as it says."""

    def __init__(
        self,
        world: World,
        document: Document,
        revision: int,
        *,
        log_level: LogLevel | None = None,
    ) -> None:
        """`log_level` is that of the daemon's logs."""
        self.journal = Journal()
        self.log_level = log_level or LogLevel()
        before = world.dataplane.read()
        self._world = world
        self._document = document
        self._revision = revision
        self._beliefs = Beliefs(world.checker, before.down)
        self._drains = Drains(before.down)
        self._forwarder = Forwarder(world.dataplane)
        forwarded = frozenset(key.prefix for key in before.services)
        self._announcing = Announcing(
            world.speaker, self._view, document, forwarded, note=self.journal.note
        )
        self._rates = Rates(world.dataplane)
        self._status = StatusBuilder(world.dataplane, world.speaker)
        self._told_health: Mapping[str, PoolHealth] = {}
        self._told_over: DownSets = {}
        self._ending = False
        self._paths: Paths = {}
        self._targets = Kept[Targets]()
        self._tunnelled = Kept[Tunnelled]()
        self._probed: object = None  # the ways that probes were told to take last
        self._answers: Paths = {}  # of the underlay, the last ones
        self._known: Paths = {}  # the same, by objects that were known before
        self._attached_to: tuple[Sequence[str] | None] | None = None  # None: not to all of it
        self._problems: list[str] = []  # of the last reconciliation that has ended
        self._found: list[str] = []  # by the one under way
        self._changed = asyncio.Event()
        self._drains_changed = asyncio.Event()
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
        """Reconcile at every change, follow beliefs and clocks, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconcile_at_changes())
            group.create_task(self._follow_beliefs())
            group.create_task(self._follow_drains())
            group.create_task(self._announcing.run(self._note_later))
            group.create_task(self._sample_rates())
            group.create_task(
                settle_at_times(
                    self._world.dataplane, lambda: self._document.cluster.transition_idle_s
                )
            )

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
            check_document(document, checked=self._document)
            text = dump_document(document)
            try:
                ready = await self._desire(document)  # else it is not kept
                revision = await asyncio.to_thread(self._world.store.append, text, author=author)
            except LbError:
                self.wake()  # the underlay was asked about endpoints that will not be
                raise
            before, self._document, self._revision = self._document, document, revision
            self.journal.note(DocumentChanged(revision, author))
            for drain in drain_changes(before, document):
                self.journal.note(drain)
            failure = await self._try_reconcile(ready)
            if self._problems:
                self.wake()
            if failure is not None:
                raise failure
            return self._revision

    async def history(self, limit: int) -> tuple[RevisionView, ...]:
        """The newest revisions, newest first."""
        async with self._lock:  # the store serves one thread at a time
            kept = await asyncio.to_thread(self._world.store.history, limit + 1)
        return await asyncio.to_thread(view_history, kept, limit)

    async def at(self, number: int) -> RevisionDocument:
        """One revision. NotFoundError when it is not kept; ConfigError when it is not valid now."""
        async with self._lock:
            kept = await asyncio.to_thread(self._world.store.at, number)
        return await asyncio.to_thread(read_revision, kept)

    async def rollback(self, number: int, *, author: str, check: Callable[[], None]) -> int:
        """Put an earlier revision's document in force, secrets included, as `edit` would.

        `check` raises to refuse it, and sees the revision that the rollback would replace.
        """
        earlier = (await self.at(number)).document

        def change(_document: Document) -> Document:
            check()
            return earlier

        return await self.edit(change, author=author)

    async def withdraw_all(self) -> None:
        """Have no VIP announced, and none from now on; wait until routers have acted on it.

        Raises UnavailableError when the speaker does not do it in SPEAKER_TIMEOUT_S.
        """
        self._ending = True
        await self._announcing.withdraw_all()

    def status(self) -> Status:
        """The node as it stands."""
        return self._status.build(
            NodeState(
                document=self._document,
                revision=self._revision,
                paths=self._paths,
                problems=tuple(self._problems),
                view=self._view(),
                announcing=self._announcing,
                drains=self._drains,
                rates=self._rates,
            )
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where the data plane sends each flow, read from its maps."""
        return self._world.dataplane.explain(flows)

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Flows that the data plane knows one by one, so many at most.

        A slot that settled, or an idle time that is over, makes a note void: such are left out.
        """
        return current_flows(self._document, self._world.dataplane.remembered_flows(limit))

    async def _reconcile_at_changes(self) -> None:
        self.wake()
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._lock:
                await self._try_reconcile()
            if self._problems:
                await self._wait_for_change(RETRY_S)

    async def _follow_beliefs(self) -> None:
        """Have the data plane follow what is believed of endpoints, at once."""
        while True:
            await self._world.checker.wait()
            await self._follow()

    async def _follow_drains(self) -> None:
        """Have the data plane let go of endpoints whose time to drain is over."""
        while True:
            now = time.monotonic()
            deadline = self._drains.next_deadline(now)
            try:
                async with asyncio.timeout(None if deadline is None else deadline - now):
                    await self._drains_changed.wait()
            except TimeoutError:
                await self._follow()
            self._drains_changed.clear()

    async def _sample_rates(self) -> None:
        """Look from time to time what endpoints that drain still get, and whether links hold.

        The kernel tells nobody of a link that somebody detached.
        """
        while True:
            if PortMode.MISSING in self._world.dataplane.modes().values():
                self.wake()
            in_force = self._forwarder.in_force
            if in_force is not None:
                reaches = draining_reaches(in_force.document, in_force.desired)
                self._rates.sample(reaches, time.monotonic())
            await asyncio.sleep(SAMPLE_S)

    async def _follow(self) -> None:
        """Take beliefs and drains to the data plane, then to the peers."""
        try:
            pools = await self._forwarder.follow(self._view)
        except LbError as error:
            self._note_later(error)
        else:
            if pools:
                _log.info("health_followed", pools=pools)
        self._announcing.poke()
        self._tell(self._view())

    def _tell(self, view: View) -> None:
        """Note what is believed now that was not told yet, and whose drain is over."""
        for change in health_changes(self._told_health, view.judged):
            self.journal.note(change)
        for drain in ended_drains(self._told_over, view.over):
            self.journal.note(drain)
        self._told_health, self._told_over = view.judged, view.over

    def _note_later(self, error: LbError) -> None:
        """Something failed beside a reconciliation: the next one tries it again, and tells."""
        _log.warning("following_failed", error=str(error))
        self.wake()

    def _view(self) -> View:
        return View(self._beliefs.judge(), self._drains.over(time.monotonic()))

    async def _wait_for_change(self, at_most_s: float) -> None:
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            self.wake()

    async def _try_reconcile(self, ready: _Ready | None = None) -> LbError | None:
        """Reconcile; what stopped it, if anything. All that is in the way is kept to be shown."""
        self._found = []
        failure = None
        try:
            await self._reconcile(ready)
        except LbError as error:
            failure = error
            self._found.append(str(error))
        before, self._problems = self._problems, self._found
        if self._problems != before:
            self.journal.note(TroubleChanged(tuple(self._problems)))
        return failure

    async def _desire(self, document: Document) -> _Ready:
        node, targets = document.node, targets_of(document)
        answers = await self._world.underlay.resolve(
            targets, node.tunnels_by_endpoint, node.sources
        )
        if answers is not self._answers:
            self._answers, self._known = answers, same_where_equal(answers, self._known)
        paths = self._known
        actual = self._forwarder.actual()
        view = self._view()
        down = down_sets(disabled_sets(document), view.judged, view.over)
        desired = await asyncio.to_thread(
            build_desired, document, paths, actual, self._forwarder.wanted, down
        )
        return desired, paths

    async def _reconcile(self, ready: _Ready | None = None) -> None:
        """Bring the world to what the document says; `ready` is what it desires, if it was built.

        What is wrong with interfaces or the speaker is noted and stops nothing else: whatever it
        is, VIPs must be withdrawn, dead endpoints left and other changes made.
        """
        document = self._document
        interfaces = document.node.interfaces
        if ready is None or self._attached_to != (interfaces,):  # else who wakes us would tell
            await self._note(self._attach(interfaces))
        desired, self._paths = ready or await self._desire(document)
        targets = targets_to_probe(document, self._targets)
        await self._note(self._set_probe_paths(targets, self._paths, again=ready is None))
        await self._note(self._announcing.prepare(self._ground(all_services(document))))
        self._beliefs.follow(document, targets)
        self._drains.follow(document, time.monotonic())
        self._drains_changed.set()
        try:
            heard = self._announcing.lingering
            steps = await self._forwarder.put(
                document, desired, self._view, heard, thorough=ready is None
            )
            if steps:
                _log.info("forwarding_changed", steps=steps, revision=self._revision)
        finally:
            fresh = self._forwarder.fresh(document)
            await self._note(self._announcing.configure(document.bgp))
            ground = self._ground(fresh)
            await self._note(self._announcing.conclude(ground, again=ready is None))

    def _ground(self, fresh: frozenset[str]) -> Ground:
        return Ground(self._document, self._paths, fresh, self._is_attached())

    async def _set_probe_paths(self, targets: PoolTargets, paths: Paths, *, again: bool) -> None:
        """Have probes take the ways that are there now; `again` even if they are told already."""
        ways, vips = tunnelled(targets, self._tunnelled)
        found = ((way, paths.get(Target(*way))) for way in ways)
        told = {way: path for way, path in found if isinstance(path, Path)}, vips
        basis = told, self._document.node.gue_port
        if again or basis != self._probed:
            self._probed = None
            await self._world.probe_paths.set_paths(*told)
            self._probed = basis

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
        self._attached_to = None
        try:
            ports = await self._world.underlay.ports(names)
        except ConfigError as error:
            if names is None:
                raise
            ports, problem = await self._existing(names), error
        self._world.dataplane.attach(ports)
        if problem is not None:
            raise problem
        self._attached_to = (names,)

    async def _existing(self, names: Sequence[str]) -> list[Port]:
        """Those of the named interfaces that can be attached to."""
        ports = []
        for name in dict.fromkeys(names):
            with suppress(ConfigError):
                ports += await self._world.underlay.ports([name])
        return ports

    def _is_attached(self) -> bool:
        """Whether VIP packets can come in at all."""
        return any(mode != PortMode.MISSING for mode in self._world.dataplane.modes().values())


def restore(store: Store, initial: Document | None) -> tuple[Document, int]:
    """The document to start with: the newest revision, else the one given, else an empty one."""
    latest = store.latest()
    if latest is not None:
        number, text = latest
        return parse_document(text), number
    if initial is None:
        return Document(), 0
    return initial, store.append(dump_document(initial), author="first start")
