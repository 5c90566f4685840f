"""The tables arranged for look-ups by numbers: VIPs, their services, who may use them."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from headrace.dataplane.tables import ServiceRow, Tables
from headrace.maglev import FlowHash
from headrace.model import Affinity, IPAddress, IPNetwork, Protocol, ServiceKey, Unserved

_ANY_PORT = 0

Value = TypeVar("Value")


class Prefixes(Generic[Value]):
    """Values by prefix; the longest that holds an address counts."""

    def __init__(self, values: Mapping[IPNetwork, Value]) -> None:
        self._by_length: dict[int, list[tuple[int, dict[int, Value]]]] = {4: [], 6: []}
        for network in sorted(values, key=lambda each: each.prefixlen, reverse=True):
            levels = self._by_length[network.version]
            shift = network.max_prefixlen - network.prefixlen
            if not levels or levels[-1][0] != shift:
                levels.append((shift, {}))
            levels[-1][1][int(network.network_address) >> shift] = values[network]

    def find(self, version: int, address: int) -> Value | None:
        """The value of the longest prefix that holds an address of this IP version."""
        for shift, values in self._by_length[version]:
            value = values.get(address >> shift)
            if value is not None:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Source:
    """What a service's lists say of a client."""

    allowed: bool
    prefix: IPNetwork | None  # that says so; None: none of the lists holds the client


@dataclass(frozen=True, slots=True)
class Served:
    """A service and the clients that may use it."""

    key: ServiceKey
    row: ServiceRow
    sources: Prefixes[Source]

    def source(self, version: int, client: int) -> Source:
        """What is said of a client, by IP version and number."""
        known = self.sources.find(version, client)
        return known or Source(allowed=not self.row.entry.sources, prefix=None)


@dataclass(frozen=True, slots=True)
class Vip:
    """A VIP, which is an address or a prefix, and its services."""

    name: IPAddress | IPNetwork
    passes: bool  # what no service is for
    services: Mapping[tuple[Protocol, int], Served]  # by protocol and port
    portless: Mapping[Protocol, Served]  # where ports make no difference

    def service(self, protocol: Protocol, port: int) -> Served | None:
        """The service of a packet: its port's, else any port's."""
        return self.services.get((protocol, port)) or self.services.get((protocol, _ANY_PORT))


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """What `Tables` say, by the numbers that packets have."""

    tables: Tables
    flow_hash: FlowHash
    addresses: Mapping[tuple[int, int], Vip] = field(repr=False)  # by IP version and number
    prefixes: Prefixes[Vip] = field(repr=False)

    @staticmethod
    def of(tables: Tables) -> "Lookup":
        """The look-ups of these tables, which must not change; made once for many packets."""
        return _build(_Identity(tables))

    def vip(self, version: int, address: int) -> Vip | None:
        """The VIP that an address is, or is in."""
        return self.addresses.get((version, address)) or self.prefixes.find(version, address)

    def is_up(self, endpoint: int) -> bool:
        """Whether the endpoint of an index is there and not down."""
        row = self.tables.endpoints.get(endpoint)
        return row is not None and not row.down


@dataclass(frozen=True, slots=True, eq=False)
class _Identity:
    """Tables as a key: dictionaries have no hash, so it is this very object that counts."""

    tables: Tables

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.tables is other.tables

    def __hash__(self) -> int:
        return id(self.tables)


@functools.lru_cache(maxsize=2)
def _build(identity: _Identity) -> Lookup:
    tables = identity.tables
    by_vip: dict[IPAddress | IPNetwork, list[Served]] = {}
    for key, row in tables.services.items():
        by_vip.setdefault(key.vip, []).append(_served(key, row))
    addresses: dict[tuple[int, int], Vip] = {}
    prefixes: dict[IPNetwork, Vip] = {}
    for name, served in by_vip.items():
        vip = _vip(name, served)
        if isinstance(name, IPAddress):
            addresses[name.version, int(name)] = vip
        else:
            prefixes[name] = vip
    return Lookup(tables, FlowHash(tables.hash_keys), addresses, Prefixes(prefixes))


def _served(key: ServiceKey, row: ServiceRow) -> Served:
    said = {network: Source(allowed=True, prefix=network) for network in row.entry.sources}
    for network in row.entry.denied_sources:
        said[network] = Source(allowed=False, prefix=network)
    return Served(key, row, Prefixes(said))


def _vip(name: IPAddress | IPNetwork, services: Sequence[Served]) -> Vip:
    by_protocol: dict[Protocol, list[Served]] = {}
    for served in sorted(services, key=lambda each: each.key.port):
        by_protocol.setdefault(served.key.protocol, []).append(served)
    return Vip(
        name=name,
        passes=any(each.row.entry.unserved is Unserved.PASS for each in services),
        services={(each.key.protocol, each.key.port): each for each in services},
        # Whoever of them counts the packets, all send them alike: it is the lowest port's.
        portless={
            protocol: alike[0]
            for protocol, alike in by_protocol.items()
            if _ports_do_not_matter(alike)
        },
    )


def _ports_do_not_matter(services: list[Served]) -> bool:
    """Whether all of a protocol's services send a client's packets to one endpoint."""
    first = services[0].row.entry
    return first.affinity is Affinity.SOURCE_IP and all(
        (entry.affinity, entry.pool, entry.sources, entry.denied_sources, entry.flow_table)
        == (first.affinity, first.pool, first.sources, first.denied_sources, first.flow_table)
        for entry in (each.row.entry for each in services)
    )
