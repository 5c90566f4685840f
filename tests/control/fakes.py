"""The world as control sees it, in memory. A fake fails on request: at its Nth call."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from headrace.model import (
    Announcement,
    Bgp,
    ConfigError,
    Count,
    Explanation,
    Flow,
    Forwarding,
    IPAddress,
    KernelError,
    NextHop,
    Path,
    Port,
    Reach,
    ServiceKey,
    SessionState,
    Tunnel,
    UnavailableError,
    Unresolved,
    VerdictCount,
)

HOP = NextHop(2, bytes(5) + b"\1", bytes(5) + b"\2")


def path_to(address: IPAddress) -> Path:
    return Path(ip_address("31.31.31.253"), address, HOP, 9000)


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
        self.services: dict[ServiceKey, str] = {}
        self.ports: list[Port] = []

    def read(self) -> Forwarding:
        return Forwarding(
            self.hash_keys, dict(self.endpoints), dict(self.pools), dict(self.services)
        )

    def set_hash_keys(self, keys: Sequence[int]) -> None:
        self._journal.note("hash keys")
        self.hash_keys = tuple(keys)

    def put_endpoint(self, reach: Reach, path: Path | None) -> None:
        self._journal.note(f"+endpoint {reach.endpoint}")
        self.endpoints[reach] = path

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        self._journal.note(f"+pool {name}")
        assert set(reaches) <= set(self.endpoints), "a table names endpoints that are there"
        assert max(owners) < len(reaches)
        self.pools[name] = stamp
        self.uses[name] = frozenset(reaches)

    def put_service(self, key: ServiceKey, pool: str) -> None:
        self._journal.note(f"+service {key}")
        assert pool in self.pools, "a service names a pool that is there"
        self.services[key] = pool

    def remove_service(self, key: ServiceKey) -> None:
        self._journal.note(f"-service {key}")
        del self.services[key]

    def remove_pool(self, name: str) -> None:
        self._journal.note(f"-pool {name}")
        assert name not in self.services.values(), "no service names a removed pool"
        del self.pools[name]
        del self.uses[name]

    def remove_endpoint(self, reach: Reach) -> None:
        self._journal.note(f"-endpoint {reach.endpoint}")
        assert all(reach not in used for used in self.uses.values()), "no table names it"
        del self.endpoints[reach]

    def attach(self, ports: Sequence[Port]) -> None:
        self.ports = list(ports)

    def modes(self) -> dict[str, str]:
        return {port.name: "native" for port in self.ports}

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        return [Explanation(flow, "pass_not_vip") for flow in flows]

    def verdict_counts(self) -> list[VerdictCount]:
        return []

    def service_count(self, key: ServiceKey) -> Count:
        assert key in self.services
        return Count(0, 0)

    def endpoint_count(self, reach: Reach) -> Count:
        assert reach in self.endpoints
        return Count(0, 0)


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
        endpoints: Iterable[IPAddress],
        tunnels: Mapping[IPAddress, Tunnel],
        source: IPAddress | None,
    ) -> dict[IPAddress, Path | Unresolved]:
        return {
            address: Unresolved("no route")
            if address in self.unreachable
            else path_to(self.outer.get(address, address))
            for address in endpoints
        }


class FakeSpeaker:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sessions: dict[IPAddress, tuple[SessionState, float]] = {}
        self.announced: frozenset[Announcement] = frozenset()
        self.configured: list[Bgp | None] = []
        self.asked = 0  # how often to announce
        self.broken = False
        self.silent = False  # it does what it is told, and never says so

    async def configure(self, bgp: Bgp | None) -> None:
        if self.broken:
            raise UnavailableError("ExaBGP does not answer")
        self.configured.append(bgp)

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


class FakeStore:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def latest(self) -> tuple[int, str] | None:
        return (len(self.texts), self.texts[-1]) if self.texts else None

    def append(self, text: str, *, author: str) -> int:
        assert author
        self.texts.append(text)
        return len(self.texts)
