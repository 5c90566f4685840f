"""The world as control sees it, in memory. A fake fails on request: at its Nth call."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address

from headrace.maglev import SKETCH_BYTES
from headrace.model import (
    Announcement,
    Belief,
    BfdState,
    Bgp,
    ConfigError,
    Count,
    Encapsulation,
    Explanation,
    Family,
    Flow,
    Forwarding,
    Health,
    IPAddress,
    IPNetwork,
    KernelError,
    NextHop,
    NotFoundError,
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
    UnavailableError,
    Unresolved,
    VerdictCount,
)
from headrace.store import Revision

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOP = NextHop(2, bytes(5) + b"\1", bytes(5) + b"\2")


def path_to(target: Target, remote: IPAddress, sources: OuterSources) -> Path:
    """A path as the underlay finds it; a source prefix leaves its low bits to the hash."""
    if target.encapsulation is Encapsulation.L2:
        return Path(None, None, HOP, 9000, Encapsulation.L2)
    source = sources.v6 if remote.version == 6 else sources.v4
    if isinstance(source, IPv4Network | IPv6Network):
        return Path(
            source.network_address, remote, HOP, 9000, target.encapsulation, source_hashed=True
        )
    own = ip_address("fd31::253" if remote.version == 6 else "31.31.31.253")
    return Path(source or own, remote, HOP, 9000, target.encapsulation)


@dataclass
class Journal:
    """What happened to the world, in order, across all its parts."""

    entries: list[str] = field(default_factory=list)
    fail_at: int | None = None  # the number of the entry that fails

    def note(self, entry: str) -> None:
        if self.fail_at == len(self.entries):
            self.fail_at = None
            raise KernelError(entry, 12)
        self.entries.append(entry)


class FakeDataplane:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.hash_keys: tuple[int, ...] = (0,) * 6
        self.endpoints: dict[Reach, Path | None] = {}
        self.pools: dict[str, int] = {}
        self.uses: dict[str, frozenset[Reach]] = {}
        self.services: dict[ServiceKey, ServiceEntry] = {}
        self.down: frozenset[IPAddress] = frozenset()
        self.server_ids: dict[str, dict[int, Reach]] = {}
        self.tuned = Tuning()
        self.room_wait_s = 0.0  # until there is room for a table
        self.is_held = False  # an earlier version's program forwards
        self.settled_after_s: list[int] = []
        self.fails_to_settle = False
        self.packets = 0  # of each service
        self.ports: list[Port] = []
        self.flows: list[RememberedFlow] = []

    def read(self, *, whole: bool = True) -> Forwarding:
        return Forwarding(
            self.hash_keys,
            dict(self.endpoints),
            dict(self.pools),
            dict(self.services),
            self.down & {reach.endpoint for reach in self.endpoints},
            {
                name: {number: reach.endpoint for number, reach in ids.items()}
                for name, ids in self.server_ids.items()
            },
            self.tuned,
        )

    def tuning(self) -> Tuning:
        return self.tuned

    def set_hash_keys(self, keys: Sequence[int]) -> None:
        self._journal.note("hash keys")
        self.hash_keys = tuple(keys)

    def set_tuning(self, tuning: Tuning) -> None:
        self._journal.note("tuning")
        self.tuned = tuning

    def set_down(self, addresses: frozenset[IPAddress]) -> None:
        self._journal.note(f"down {' '.join(sorted(map(str, addresses))) or 'nobody'}")
        assert addresses <= {reach.endpoint for reach in self.endpoints}, "only what was put"
        self.down = addresses

    def set_server_ids(self, pool: str, ids: Mapping[int, Reach]) -> None:
        self._journal.note(f"server ids {pool}")
        assert set(ids.values()) <= self.uses[pool], "an id names an endpoint of its pool"
        self.server_ids[pool] = dict(ids)

    @property
    def is_followed(self) -> bool:
        return not self.is_held

    def commit(self) -> None:
        self.is_held = False

    def settle(self, idle_s: int) -> int:
        self.settled_after_s.append(idle_s)
        if self.fails_to_settle:
            raise KernelError("settle", 12)
        return 16

    def put_endpoint(self, reach: Reach, path: Path | None) -> None:
        self._journal.note(f"+endpoint {reach.endpoint}")
        self.endpoints[reach] = path

    def prepare_pool(self, name: str, slot_count: int) -> float:
        return self.room_wait_s

    def reserve(self, slot_counts: Collection[int]) -> None:
        self._journal.note(f"room for {len(slot_counts)}")

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        self._journal.note(f"+pool {name}")
        assert set(reaches) <= set(self.endpoints), "a table names endpoints that are there"
        assert max(owners) < len(reaches)
        self.pools[name] = stamp
        self.uses[name] = frozenset(reaches)

    def put_service(self, key: ServiceKey, entry: ServiceEntry) -> None:
        self._journal.note(f"+service {key}")
        assert entry.pool in self.pools, "a service names a pool that is there"
        self.services[key] = entry

    def remove_service(self, key: ServiceKey) -> None:
        self._journal.note(f"-service {key}")
        del self.services[key]

    def remove_pool(self, name: str) -> None:
        self._journal.note(f"-pool {name}")
        assert all(entry.pool != name for entry in self.services.values()), "nobody names it"
        del self.pools[name]
        del self.uses[name]
        self.server_ids.pop(name, None)

    def remove_endpoint(self, reach: Reach) -> None:
        self._journal.note(f"-endpoint {reach.endpoint}")
        assert all(reach not in used for used in self.uses.values()), "no table names it"
        assert all(reach not in ids.values() for ids in self.server_ids.values()), "nor an id"
        del self.endpoints[reach]

    def attach(self, ports: Sequence[Port]) -> None:
        self.ports = list(ports)

    def modes(self) -> dict[str, PortMode]:
        return {port.name: PortMode.NATIVE for port in self.ports}

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        return [Explanation(flow, "pass_not_vip") for flow in flows]

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        return self.flows[:limit]

    def verdict_counts(self) -> list[VerdictCount]:
        return []

    def service_counts(self, keys: Iterable[ServiceKey]) -> list[Count]:
        count = Count(self.packets, 100 * self.packets)
        return [count if key in self.services else Count(0, 0) for key in keys]

    def endpoint_count(self, reach: Reach) -> Count:
        assert reach in self.endpoints
        return Count(0, 0)

    def take_flows(self, reach: Reach) -> bytes:
        assert reach in self.endpoints
        return bytes(SKETCH_BYTES)


class FakeUnderlay:
    def __init__(self) -> None:
        self.unreachable: set[IPAddress] = set()
        self.outer: dict[IPAddress, IPAddress] = {}
        self.missing: set[str] = set()

    async def ports(self, names: Sequence[str] | None) -> list[Port]:
        for name in names or ():
            if name in self.missing:
                raise ConfigError.at("node.interfaces", f"{name} does not exist on this node")
        return [Port(name, index, (bytes(6),)) for index, name in enumerate(names or ["eth0"], 2)]

    async def resolve(
        self,
        targets: Iterable[Target],
        tunnels: Mapping[IPAddress, Tunnel],
        sources: OuterSources,
    ) -> dict[Target, Path | Unresolved]:
        return {
            target: Unresolved("no route")
            if target.endpoint in self.unreachable
            else path_to(target, self.outer.get(target.endpoint, target.endpoint), sources)
            for target in targets
        }


class FakeSpeaker:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sessions: dict[IPAddress, tuple[SessionState, float]] = {}
        self.watched: dict[IPAddress, tuple[BfdState, float]] = {}
        self.families: dict[IPAddress, frozenset[Family]] = {}  # as if they were as asked for
        self.unsaid: dict[IPAddress, frozenset[IPNetwork]] = {}
        self.announced: frozenset[Announcement] = frozenset()
        self.configured: list[Bgp | None] = []
        self.asked = 0  # how often to announce
        self.broken = False
        self.silent = False  # it does what it is told, and never says so
        self.alarmed: tuple[str, ...] = ()
        self.is_new = True  # no daemon has spoken to it
        self.is_known = True  # what it held, to the daemon that began

    async def held(self) -> frozenset[Announcement] | None:
        if not self.is_known:
            await asyncio.Event().wait()
        return None if self.is_new else self.announced

    def alarms(self) -> tuple[str, ...]:
        return self.alarmed

    async def configure(self, bgp: Bgp | None) -> None:
        if self.broken:
            raise UnavailableError("ExaBGP does not answer")
        self.configured.append(bgp)
        self.is_new = False
        for peer in bgp.peers if bgp else ():
            self.sessions.setdefault(peer.address, (SessionState.UP, 0.0))

    async def announce(self, announcements: frozenset[Announcement]) -> None:
        self.asked += 1
        if self.broken:
            raise UnavailableError("ExaBGP does not answer")
        for gone in self.announced - announcements:
            self._journal.note(f"withdraw {gone.prefix}")
        for new in announcements - self.announced:
            self._journal.note(f"announce {new.prefix}")
        self.announced = announcements
        if self.silent:
            await asyncio.Event().wait()


class FakeChecker:
    """Believes what a test tells it to."""

    def __init__(self) -> None:
        self.beliefs: dict[ProbeTarget, Belief] = {}
        self._changed = asyncio.Event()

    def set_targets(self, targets: frozenset[ProbeTarget]) -> None:
        """Those that stay are the objects that they were, as in a real one."""
        for target in self.beliefs.keys() - targets:
            del self.beliefs[target]
        self.beliefs |= dict.fromkeys(targets - self.beliefs.keys(), Belief(Health.UNKNOWN, 0.0))

    async def wait(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def run(self) -> None:
        await asyncio.Event().wait()

    def believe(self, health: Health, *addresses: str, pool: str = "", reason: str = "") -> None:
        """Have this believed of endpoints; of all if none is named."""
        for target, belief in self.beliefs.items():
            is_meant = not addresses or str(target.endpoint) in addresses
            if is_meant and pool in {"", target.pool} and belief.health is not health:
                self.beliefs[target] = Belief(health, 0.0, reason)
                self._changed.set()


class FakeProbePaths:
    def __init__(self) -> None:
        self.paths: dict[tuple[IPAddress, Encapsulation], Path] = {}
        self.vips: frozenset[IPAddress] = frozenset()
        self.broken = False

    async def set_paths(
        self,
        paths: Mapping[tuple[IPAddress, Encapsulation], Path],
        vips: frozenset[IPAddress],
    ) -> None:
        if self.broken:
            raise KernelError("rule", 95)
        self.paths, self.vips = dict(paths), vips


class FakeStore:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.authors: list[str] = []

    def latest(self) -> tuple[int, str] | None:
        return (len(self.texts), self.texts[-1]) if self.texts else None

    def append(self, text: str, *, author: str) -> int:
        assert author
        self.texts.append(text)
        self.authors.append(author)
        return len(self.texts)

    def history(self, limit: int) -> list[Revision]:
        numbers = range(len(self.texts), 0, -1)
        return [self.at(number) for number in numbers][:limit]

    def at(self, number: int) -> Revision:
        if not 0 < number <= len(self.texts):
            raise NotFoundError(f"revision {number} is not kept")
        return Revision(number, TIME, self.authors[number - 1], self.texts[number - 1])
