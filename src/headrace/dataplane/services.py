"""The services in the kernel: their entries, their VIPs' marks, and who may use them.

What a packet looks up first is written last: sources, service, the VIP's mark, then the filter's
bit or the prefix by which the address is known to be a VIP. Removing runs backward. Everything but
services and sources follows from the services, and is mended so when a daemon starts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from headrace.dataplane import encoding, layout
from headrace.dataplane.indexes import Indexes
from headrace.dataplane.maps import Counters, HashMap, NotingMap, SharedArray, Snapshot
from headrace.dataplane.shortcuts import Shortcuts
from headrace.dataplane.sources import Clients, Sources
from headrace.model import Count, IPNetwork, Protocol, ServiceEntry, ServiceKey, Unserved
from headrace.model.limits import LIMIT_SERVICES

_Kind = tuple[int, int, int, int]  # what must be equal where ports do not matter


@dataclass(slots=True)
class _Group:
    """The services of one VIP and protocol."""

    entries: dict[int, layout.Service] = field(default_factory=dict)  # by port
    kinds: Counter[_Kind] = field(default_factory=Counter)

    def put(self, port: int, entry: layout.Service) -> None:
        self.remove(port)
        self.entries[port] = entry
        self.kinds[_kind(entry)] += 1

    def remove(self, port: int) -> None:
        if port in self.entries:
            kind = _kind(self.entries.pop(port))
            self.kinds[kind] -= 1
            self.kinds += Counter()  # forgets what has come down to zero

    def portless(self) -> layout.Service | None:
        """The entry for packets without ports, where ports decide nothing."""
        if len(self.kinds) != 1 or next(iter(self.kinds))[0] != layout.AFFINITY_SOURCE_IP:
            return None
        lowest = self.entries[min(self.entries)]
        portless = layout.Service.from_buffer_copy(lowest)
        portless.flags &= ~layout.SERVICE_QUIC  # a server id lies behind ports
        return portless


_EVERYBODY = Clients()


class _Row:
    """An entry as it was read, and what it says."""

    def __init__(self, raw: bytes, key: encoding.ServiceKeyEntry, value: layout.Service) -> None:
        self.raw, self.key, self._value = raw, key, value
        self.pool, self.sources = int(value.pool), int(value.sources)
        self.service = encoding.key_of(key) if encoding.is_service(key) else None
        self.is_passing = encoding.is_mark(key) and bool(value.flags & layout.SERVICE_PASS)
        self._basis: tuple[str, Clients, bool] | None = None
        self._entry = ServiceEntry("")

    def entry(self, pool: str, clients: Clients, is_passing: bool) -> ServiceEntry:  # noqa: FBT001
        """The service, given what its numbers mean and whether its VIP passes the unserved."""
        basis = pool, clients, is_passing
        if basis != self._basis:
            self._basis = basis
            self._entry = ServiceEntry(
                pool=pool,
                affinity=encoding.affinity_of(self._value),
                flow_table=encoding.flow_table_of(self._value),
                unserved=Unserved.PASS if is_passing else Unserved.DROP,
                sources=clients.allowed,
                denied_sources=clients.denied,
                quic=bool(self._value.flags & layout.SERVICE_QUIC),
            )
        return self._entry


class Services:
    """Entries of `services4`, `services6`, `vip_prefixes`, `vip_filter`; only we write them."""

    def __init__(
        self,
        fds: Mapping[str, int],
        now: Callable[[], float],
    ) -> None:
        v4, v6 = layout.ServiceKey4, layout.ServiceKey6
        self._maps: dict[int, NotingMap[encoding.ServiceKeyEntry, layout.Service]] = {
            4: NotingMap(fds["services4"], v4, layout.Service),
            6: NotingMap(fds["services6"], v6, layout.Service),
        }
        self._prefixes = HashMap(fds["vip_prefixes"], layout.PrefixKey, layout.Number)
        self._vips = SharedArray(fds["vip_filter"], layout.VipFilter).values[0]
        self._filter = self._vips.words
        self._counts = Counters(fds["service_counts"])
        self._groups: defaultdict[encoding.Vip, dict[Protocol, _Group]] = defaultdict(dict)
        self._shown: set[encoding.Vip] = set()
        self._bits: Counter[int] = Counter()  # VIPs shown, by their bit of the filter
        self._raw: list[Snapshot] = []  # what was read last, if that was all
        self._lists: Mapping[int, Clients] = {}
        self._meaning: object = None  # of the numbers in it
        self._rows: dict[bytes, _Row] = {}
        self._passes: set[encoding.Vip] = set()  # VIPs that pass on what no service is for
        self._read: dict[ServiceKey, ServiceEntry] = {}
        self._counted: tuple[ServiceKey, ...] | None = None  # that counts were asked for last
        self._numbers: list[int | None] = []  # their counters
        services = list(self._service_items())
        self._shortcuts = Shortcuts(fds, services, now)
        self._sources = Sources(fds, (entry.sources for _, entry in services), now)
        self._counters = Indexes(
            "services", LIMIT_SERVICES, (entry.counter for _, entry in services), now
        )
        for key, entry in services:
            self._group(key).put(key.port, entry)
        self._mend()

    # --- reading -----------------------------------------------------------------------------

    def read(
        self, pools: Mapping[int, str], *, whole: bool = True
    ) -> dict[ServiceKey, ServiceEntry]:
        """The services, given the pools' names by index; the same object while they are the same.

        One that does not hang together is of no pool: control writes it again. If not `whole`, only
        what was written here is read back; the rest is as it was read last.
        """
        came, gone = self._read_rows() if whole else self._read_written()
        lists = self._sources.read() if whole or came else self._lists
        meaning = lists, pools
        if not came and not gone and meaning == self._meaning:
            return self._read
        if meaning != self._meaning or any(row.is_passing for row in (*came, *gone)):
            rows = self._rows.values()
            self._passes = {encoding.vip_of(row.key) for row in rows if row.is_passing}
            came, self._read = list(rows), {}
        self._lists, self._meaning = lists, meaning
        found = self._read.copy()
        for row in gone:
            if row.service is not None:
                found.pop(row.service, None)
        found.update(self._read_entries(came, lists, pools))
        self._read = found
        return self._read

    def _read_rows(self) -> tuple[list[_Row], list[_Row]]:
        """Read the services' entries and the VIPs' marks: those that came, those that are gone.

        One with another value is in both; what is as it was needs no decoding.
        """
        came, gone = list[_Row](), list[_Row]()
        raw = [entries.snapshot() for entries in self._maps.values()]
        if raw == self._raw and not any(entries.written for entries in self._maps.values()):
            return came, gone
        before, self._rows, self._raw = self._rows, {}, raw
        for entries, snapshot in zip(self._maps.values(), raw, strict=True):
            entries.written.clear()
            for key, value in entries.entries_of(snapshot):
                row = before.pop(key, None)
                if row is None or row.raw != value:
                    gone += [] if row is None else [row]
                    row = _Row(value, entries.key_of(key), entries.value_of(value))
                    came.append(row)
                self._rows[key] = row
        return came, [*gone, *before.values()]

    def _read_written(self) -> tuple[list[_Row], list[_Row]]:
        """The same of entries that were written since they were read last."""
        came, gone = list[_Row](), list[_Row]()
        for entries in self._maps.values():
            for raw in entries.written:
                row = self._rows.pop(raw, None)
                gone += [] if row is None else [row]
                key = entries.key_of(raw)
                value = entries.get(key)
                if value is not None:
                    self._rows[raw] = _Row(bytes(value), key, value)
                    came.append(self._rows[raw])
            if entries.written:
                self._raw = []  # it is of before
                entries.written.clear()
        return came, gone

    def _read_entries(
        self, rows: Iterable[_Row], lists: Mapping[int, Clients], pools: Mapping[int, str]
    ) -> Iterator[tuple[ServiceKey, ServiceEntry]]:
        for row in rows:
            if row.service is not None:
                clients = lists.get(row.sources) if row.sources else _EVERYBODY
                pool = "" if clients is None else pools.get(row.pool, "")
                is_passing = bool(self._passes) and row.service.vip in self._passes
                yield row.service, row.entry(pool, clients or _EVERYBODY, is_passing)

    def counts(self, keys: Iterable[ServiceKey]) -> list[Count]:
        """Packets that came for each of these services, in their order.

        Quick where the same tuple is asked for again.
        """
        if keys is not self._counted:
            entries = map(self._entry, keys)
            self._counted = keys if isinstance(keys, tuple) else None
            self._numbers = [None if entry is None else entry.counter for entry in entries]
        counts = self._counts.read_all()
        return [Count(0, 0) if number is None else counts[number] for number in self._numbers]

    # --- changing ----------------------------------------------------------------------------

    def put(self, key: ServiceKey, entry: ServiceEntry, pool: int) -> None:
        """Serve a VIP, protocol and port from the pool with an index."""
        self._counted = None
        known = self._entry(key)
        counter = self._counters.take() if known is None else known.counter
        if known is None:
            self._counts.clear(counter)
        sources = self._sources.use(Clients(entry.sources, entry.denied_sources))
        written = encoding.service(entry, pool, counter, sources)
        group = self._group(key)
        group.put(key.port, written)
        if group.portless() is None:
            self._remove_portless(key)
        self._shortcuts.remove(key)
        self._map(key.vip).put(encoding.service_key(key), written)
        self._shortcuts.put(key, written)
        self._put_portless(key, group)
        self._put_mark(key.vip, layout.SERVICE_PASS * (entry.unserved is Unserved.PASS))
        self._show(key.vip)
        if known is not None:
            self._sources.release(known.sources)

    def remove(self, key: ServiceKey) -> None:
        """Serve it no longer; its VIP stays a VIP while another service has it."""
        known = self._entry(key)
        if known is None:
            return
        self._counted = None
        group = self._group(key)
        group.remove(key.port)
        if not group.entries:
            del self._groups[key.vip][key.protocol]
        if not self._groups[key.vip]:
            del self._groups[key.vip]
            self._hide(key.vip)
            self._map(key.vip).remove(encoding.vip_mark(key.vip))
        if group.portless() is None:
            self._remove_portless(key)
        self._shortcuts.remove(key)
        self._map(key.vip).remove(encoding.service_key(key))
        self._put_portless(key, group)
        self._counters.give_back(known.counter)
        self._sources.release(known.sources)

    def sweep(self) -> None:
        """Do what had to wait until no packet could be reading something any more."""
        self._sources.sweep()
        self._shortcuts.sweep()

    # --- VIPs --------------------------------------------------------------------------------

    def _show(self, vip: encoding.Vip) -> None:
        """Have packets to a VIP looked up from now on."""
        if vip in self._shown:
            return
        self._shown.add(vip)
        if isinstance(vip, IPNetwork):
            self._prefixes.put(encoding.prefix_key(vip), layout.Number(vip.prefixlen))
            self._set_has_prefixes()
        else:
            bit = encoding.filter_bit(vip)
            self._bits[bit] += 1
            self._filter[bit >> 6] |= 1 << (bit & 63)

    def _hide(self, vip: encoding.Vip) -> None:
        """Have packets to what was a VIP passed on."""
        self._shown.discard(vip)
        if isinstance(vip, IPNetwork):
            self._prefixes.remove(encoding.prefix_key(vip))
            self._set_has_prefixes()
        else:
            bit = encoding.filter_bit(vip)
            self._bits[bit] -= 1
            if not self._bits[bit]:
                self._filter[bit >> 6] &= ~(1 << (bit & 63))

    def _set_has_prefixes(self) -> None:
        versions = {vip.version for vip in self._shown if isinstance(vip, IPNetwork)}
        self._vips.has_prefixes4 = 4 in versions
        self._vips.has_prefixes6 = 6 in versions

    def _put_mark(self, vip: encoding.Vip, flags: int) -> None:
        self._map(vip).put(encoding.vip_mark(vip), layout.Service(flags=flags))

    def _put_portless(self, key: ServiceKey, group: _Group) -> None:
        entry = group.portless()
        if entry is not None:
            self._map(key.vip).put(encoding.portless_key(key.vip, key.protocol), entry)

    def _remove_portless(self, key: ServiceKey) -> None:
        self._map(key.vip).remove(encoding.portless_key(key.vip, key.protocol))

    # --- a daemon's start --------------------------------------------------------------------

    def _mend(self) -> None:
        """Make all that follows from the services so: a daemon may have been killed over it."""
        marked = self._remove_strays()
        for vip, groups in self._groups.items():
            for protocol, group in groups.items():
                self._put_portless(ServiceKey(vip, protocol, 0), group)
            if vip not in marked:
                self._put_mark(vip, 0)
            self._show(vip)
        for word in range(layout.VIP_FILTER_WORDS):
            bits = (bit for bit in range(64) if self._bits[word << 6 | bit])
            self._filter[word] = sum(1 << bit for bit in bits)
        self._set_has_prefixes()

    def _remove_strays(self) -> set[encoding.Vip]:
        """Remove marks, prefixes and portless entries that no service explains; the VIPs marked."""
        marked = set()
        for key in [key for services in self._maps.values() for key in services]:
            vip, number = encoding.vip_of(key), encoding.port_of(key)
            if encoding.is_service(key):
                continue
            if vip in self._groups and number == 0:
                marked.add(vip)
            elif not self._is_portless(vip, number):
                self._map(vip).remove(key)
        for prefix in list(self._prefixes):
            if encoding.vip_prefix_of(prefix) not in self._groups:
                self._prefixes.remove(prefix)
        return marked

    def _is_portless(self, vip: encoding.Vip, number: int) -> bool:
        """Whether ports decide nothing for a VIP and the protocol with a number."""
        groups = self._groups.get(vip, {})
        return any(p.number == number and g.portless() is not None for p, g in groups.items())

    # --- inside ------------------------------------------------------------------------------

    def _map(self, vip: encoding.Vip) -> HashMap[encoding.ServiceKeyEntry, layout.Service]:
        return self._maps[vip.version]

    def _group(self, key: ServiceKey) -> _Group:
        return self._groups[key.vip].setdefault(key.protocol, _Group())

    def _entry(self, key: ServiceKey) -> layout.Service | None:
        group = self._groups.get(key.vip, {}).get(key.protocol)
        return None if group is None else group.entries.get(key.port)

    def _items(self) -> Iterator[tuple[encoding.ServiceKeyEntry, layout.Service]]:
        for services in self._maps.values():
            yield from services.items()

    def _service_items(self) -> Iterator[tuple[ServiceKey, layout.Service]]:
        return (
            (encoding.key_of(key), value)
            for key, value in self._items()
            if encoding.is_service(key)
        )


def _kind(entry: layout.Service) -> _Kind:
    return entry.affinity, entry.pool, entry.sources, entry.flow_table
