"""The ports through which control reaches the world, and what the outside may ask of control.

Rooms beside and below implement these by shape alone; `daemon` puts the objects together.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from headrace.control.journal import Journal
from headrace.control.log_level import LogLevel
from headrace.control.views import RevisionDocument, RevisionView, Status
from headrace.model import (
    Announcement,
    Belief,
    BfdState,
    Bgp,
    Count,
    Document,
    Encapsulation,
    Explanation,
    Family,
    Flow,
    Forwarding,
    IPAddress,
    IPNetwork,
    OuterSources,
    Path,
    Port,
    PortMode,
    ProbeTarget,
    Reach,
    RememberedFlow,
    ServiceEntry,
    ServiceKey,
    SessionState,
    Target,
    Tuning,
    Tunnel,
    Unresolved,
    VerdictCount,
)


class Operator(Protocol):
    """What an API may ask: the daemon's controller offers it."""

    @property
    def document(self) -> Document:
        """The document in force."""
        ...

    @property
    def revision(self) -> int:
        """The number of the document in force; 0 before the first."""
        ...

    @property
    def journal(self) -> Journal:
        """What happened of late."""
        ...

    @property
    def log_level(self) -> LogLevel:
        """How much is logged."""
        ...

    async def edit(self, change: Callable[[Document], Document], *, author: str) -> int:
        """Change the document as one revision; its number, once the kernel has read it back.

        `change` is pure. Raises ConfigError with every problem of the result; nothing is kept then.
        A change that changes nothing makes no revision.
        """
        ...

    async def history(self, limit: int) -> tuple[RevisionView, ...]:
        """The newest revisions, newest first."""
        ...

    async def at(self, number: int) -> RevisionDocument:
        """One revision. NotFoundError when it is not kept; ConfigError when it is not valid now."""
        ...

    async def rollback(self, number: int, *, author: str, check: Callable[[], None]) -> int:
        """Put an earlier revision's document in force, secrets included, as `edit` would.

        `check` raises to refuse it, and sees the revision that the rollback would replace.
        """
        ...

    def status(self) -> Status:
        """The node as it stands."""
        ...

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where the data plane sends each flow, read from its maps."""
        ...

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Flows that the data plane knows one by one, in no order, so many at most.

        1,000 take some 10 ms.
        """
        ...


class KeptRevision(Protocol):
    """A revision as the store keeps it."""

    @property
    def number(self) -> int:
        """Its number; a later one has a higher."""
        ...

    @property
    def time(self) -> datetime:
        """When it was kept, UTC."""
        ...

    @property
    def author(self) -> str:
        """Who made it, and by which API."""
        ...

    @property
    def text(self) -> str:
        """The document as canonical JSON, secrets included.

        Raises UnavailableError when it has changed on disk.
        """
        ...


class Store(Protocol):
    """Numbered revisions of the document's text."""

    def latest(self) -> tuple[int, str] | None:
        """The newest revision's number and text; None when there is none."""
        ...

    def append(self, text: str, *, author: str) -> int:
        """Keep a text as the next revision, durable when this returns; its number."""
        ...

    def history(self, limit: int) -> Sequence[KeptRevision]:
        """The newest revisions, newest first."""
        ...

    def at(self, number: int) -> KeptRevision:
        """The revision of this number; NotFoundError when it is not kept."""
        ...


class Underlay(Protocol):
    """The kernel's links, routes and neighbours."""

    async def ports(self, names: Sequence[str] | None) -> list[Port]:
        """The interfaces to attach to: those named, or all that can carry XDP.

        Raises ConfigError naming an interface that is missing or cannot carry XDP.
        """
        ...

    async def resolve(
        self,
        targets: Iterable[Target],
        tunnels: Mapping[IPAddress, Tunnel],
        sources: OuterSources,
    ) -> Mapping[Target, Path | Unresolved]:
        """How each target is reached now; asks the kernel to keep the neighbours resolved.

        `tunnels` are the document's, by endpoint.
        """
        ...


class Dataplane(Protocol):
    """The packet path in the kernel."""

    def read(self, *, whole: bool = True) -> Forwarding:
        """What the kernel forwards now; if not `whole`, of the services what was written since."""
        ...

    def set_hash_keys(self, keys: Sequence[int]) -> None:
        """Set the keys of the flow hash."""
        ...

    def set_tuning(self, tuning: Tuning) -> None:
        """Set what holds for the whole data plane."""
        ...

    def put_endpoint(self, reach: Reach, path: Path | None) -> None:
        """Add an endpoint, or give it another next hop; None: its packets are dropped, counted."""
        ...

    def reserve(self, slot_counts: Collection[int]) -> None:
        """Make room for pools of these sizes, all there will be, at once; never necessary."""
        ...

    def tuning(self) -> Tuning:
        """What holds for the whole data plane: a part of what `read` says, for little."""
        ...

    @property
    def is_followed(self) -> bool:
        """Whether packets go by what `read` says: not before a new version's first `commit`."""
        ...

    def prepare_pool(self, name: str, slot_count: int) -> float:
        """Make room for a pool's table; after so many seconds `put_pool` does not sleep."""
        ...

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        """Write a pool's lookup table; `owners` has one index into `reaches` a slot."""
        ...

    def put_service(self, key: ServiceKey, entry: ServiceEntry) -> None:
        """Serve a VIP, protocol and port from a pool, by its policy."""
        ...

    def set_down(self, addresses: frozenset[IPAddress]) -> None:
        """Send nothing to exactly these endpoints, whatever is remembered of their flows."""
        ...

    def set_server_ids(self, pool: str, ids: Mapping[int, Reach]) -> None:
        """Make these all the QUIC server ids of a pool that was put."""
        ...

    def remove_service(self, key: ServiceKey) -> None:
        """Serve it no longer."""
        ...

    def remove_pool(self, name: str) -> None:
        """Forget a pool that no service names any more, and its server ids."""
        ...

    def remove_endpoint(self, reach: Reach) -> None:
        """Forget an endpoint that no pool names any more."""
        ...

    def commit(self) -> None:
        """All is put: where another version's program forwards yet, this one's takes over."""
        ...

    def settle(self, idle_s: int) -> int:
        """Settle the slots that neither changed nor had a flow elsewhere for so long; how many."""
        ...

    def attach(self, ports: Sequence[Port]) -> None:
        """Run on exactly these interfaces."""
        ...

    def modes(self) -> dict[str, PortMode]:
        """How XDP runs on each attached interface."""
        ...

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where each flow goes, read from the maps."""
        ...

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Flows with a note, in no order, so many at most."""
        ...

    def verdict_counts(self) -> list[VerdictCount]:
        """Packets by verdict since the program was first loaded."""
        ...

    def service_counts(self, keys: Iterable[ServiceKey]) -> list[Count]:
        """Packets that came for each of these services, in their order."""
        ...

    def endpoint_count(self, reach: Reach) -> Count:
        """Packets sent to an endpoint, for all services together."""
        ...

    def take_flows(self, reach: Reach) -> bytes:
        """A sketch of the flows that an endpoint got since this was asked last.

        Only of flows whose slot has another owner (`maglev.count_flows`), for all services.
        """
        ...


class Speaker(Protocol):
    """The BGP speaker."""

    @property
    def sessions(self) -> Mapping[IPAddress, tuple[SessionState, float]]:
        """Each peer's state and the monotonic time it began."""
        ...

    @property
    def watched(self) -> Mapping[IPAddress, tuple[BfdState, float]]:
        """What BFD says of the peers it has sessions with, and the monotonic time that began."""
        ...

    @property
    def families(self) -> Mapping[IPAddress, frozenset[Family]]:
        """What both ends of sessions that are up carry; of one not there, it is not known."""
        ...

    @property
    def unsaid(self) -> Mapping[IPAddress, frozenset[IPNetwork]]:
        """What peers are not told of, since their sessions have no next hop for it."""
        ...

    async def configure(self, bgp: Bgp | None) -> None:
        """Have these peers; sessions that stay the same are not touched."""
        ...

    async def announce(self, announcements: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; returns when the speaker has taken it."""
        ...

    async def held(self) -> frozenset[Announcement] | None:
        """What peers still heard by an earlier daemon when this one began, once that is known.

        None: no speaker was there.
        """
        ...

    def alarms(self) -> tuple[str, ...]:
        """What of the speaker does not work, such as BFD; each a sentence."""
        ...


class Checker(Protocol):
    """Asks endpoints whether they serve."""

    @property
    def beliefs(self) -> Mapping[ProbeTarget, Belief]:
        """What is believed of every target; UNKNOWN at first."""
        ...

    def set_targets(self, targets: frozenset[ProbeTarget]) -> None:
        """Ask exactly these; what is known of those that stay is kept."""
        ...

    async def wait(self) -> None:
        """Return after the health of a target has changed."""
        ...

    async def run(self) -> None:
        """Ask until cancelled."""
        ...


class ProbePaths(Protocol):
    """What has probes take the way of clients' packets."""

    async def set_paths(
        self,
        paths: Mapping[tuple[IPAddress, Encapsulation], Path],
        vips: frozenset[IPAddress],
    ) -> None:
        """Have probes for these VIPs reach each endpoint so, and no other probes."""
        ...
