"""The endpoints in the kernel and the next hops they share.

An entry never changes while a slot or a note may name it, but for its next hop and whether it is
down. So an endpoint that is removed lingers as it is while flows of earlier tables may be sent to
it, and the next endpoint at its index is of another generation: notes of the old one are void.
"""

import ctypes
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from headrace.dataplane import encoding, layout
from headrace.dataplane.indexes import Indexes
from headrace.dataplane.maps import Counters, SharedArray
from headrace.dataplane.tables import EndpointRow
from headrace.maglev import SKETCH_BYTES
from headrace.model import Count, IPAddress, NextHop, Path, Reach
from headrace.model.limits import LIMIT_ENDPOINTS_PER_NODE, LIMIT_NEXT_HOPS

_GENERATIONS = 1 << 32


class Endpoints:
    """Entries of `endpoints` and `next_hops`; only this class writes them."""

    def __init__(self, fds: Mapping[str, int], now: Callable[[], float]) -> None:
        self._entries = SharedArray(fds["endpoints"], layout.Endpoint)
        self._hops = SharedArray(fds["next_hops"], layout.NextHop)
        self._counts = Counters(fds["endpoint_counts"])
        self._sketches = SharedArray(fds["flow_sketches"], layout.FlowSketch)
        self._read_kernel(now)
        self._seen: object = None  # what was read last, and what it said
        self._seen_paths: dict[int, tuple[bytes, bytes, Path | None]] = {}
        self._paths: dict[Reach, Path | None] = {}
        self._seen_down: frozenset[IPAddress] = frozenset()
        self._down = self.down()
        # A daemon killed in the middle of `set_down` leaves some of an address's entries behind.
        for address in self._down:
            for index in self._indexes_of[address]:
                self._entries.values[index].down = 1

    # --- reading -----------------------------------------------------------------------------

    def read(self) -> dict[Reach, Path | None]:
        """The endpoints that were put and not removed, with their paths.

        The same object while they are the same.
        """
        self._look()
        return self._paths

    def rows(self) -> dict[int, EndpointRow]:
        """All entries that packets may be sent by, also of those that linger, by index."""
        return {
            index: self._row(reach, index)
            for reach, index in {**self._lingering, **self._index}.items()
        }

    def index_of(self, reach: Reach) -> int:
        """The index of an endpoint that was put; KeyError if it was not."""
        return self._index[reach]

    def addresses(self) -> dict[int, IPAddress]:
        """The addresses of the endpoints that were put and not removed, by index."""
        return {index: reach.endpoint for reach, index in self._index.items()}

    def down(self) -> frozenset[IPAddress]:
        """The addresses of endpoints that get nothing."""
        self._look()
        return self._seen_down

    def down_indexes(self) -> list[int]:
        """The indexes of endpoints that get nothing, also of those that linger."""
        lingering = (i for i in self._lingering.values() if self._entries.values[i].down)
        return [*(i for address in self._down for i in self._indexes_of[address]), *lingering]

    def count(self, reach: Reach) -> Count:
        """Packets sent to an endpoint, for all services together."""
        index = self._index.get(reach)
        return Count(0, 0) if index is None else self._counts.read(index)

    def take_flows(self, reach: Reach) -> bytes:
        """A sketch of the flows that it got, not as their slot's owner, since asked last."""
        index = self._index.get(reach)
        if index is None:
            return bytes(SKETCH_BYTES)
        taken = bytes(self._sketches.values[index])
        if any(taken):
            self._sketches.values[index] = layout.FlowSketch()
        return taken

    # --- changing ----------------------------------------------------------------------------

    def put(self, reach: Reach, path: Path | None) -> None:
        """Add an endpoint, or give it another next hop; None: its packets are dropped, counted."""
        hop = 0 if path is None else self._hop_for(path)
        index = self._index.get(reach)
        if index is None:
            index = self._lingering.pop(reach, None)
            if index is None:
                index = self._add(reach)
            self._entries.values[index].down = reach.endpoint in self._down
            self._index[reach] = index
            self._indexes_of[reach.endpoint].add(index)
        self._set_hop(index, hop)
        for old in self._lingering:
            self._follow(old, reach)

    def set_down(self, addresses: frozenset[IPAddress]) -> None:
        """Exactly the endpoints with these addresses get nothing.

        One that lingers and was down stays so: nobody asks any more whether it is up again.
        """
        for address in self._down ^ addresses:
            for index in self._indexes_of[address]:
                self._entries.values[index].down = address in addresses
        self._down = addresses
        for reach, index in self._lingering.items():
            if reach.endpoint in addresses:
                self._entries.values[index].down = 1

    def remove(self, reach: Reach, is_held: Callable[[int], bool]) -> None:
        """Forget an endpoint that no table names; while something holds its index it lingers."""
        index = self._index.pop(reach, None)
        if index is None:
            return
        self._indexes_of[reach.endpoint].remove(index)
        if is_held(index):
            self._lingering[reach] = index
            for successor in self._index:
                self._follow(reach, successor)
        else:
            self._free(index)

    def release(self, is_held: Callable[[int], bool]) -> None:
        """Free those that linger and that nothing holds any more, by index."""
        for reach, index in list(self._lingering.items()):
            if not is_held(index):
                del self._lingering[reach]
                self._free(index)

    # --- inside ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Read all entries; what is as it was need not be decoded again."""
        size = ctypes.sizeof(layout.Endpoint)
        raw = self._entries.raw(max(self._index.values(), default=-1) + 1)
        hops = self._hops.raw(max(self._hop_index.values(), default=-1) + 1)
        if (raw, hops, self._index) == self._seen:
            return
        paths, seen = {}, dict[int, tuple[bytes, bytes, Path | None]]()
        for reach, index in self._index.items():
            entry = raw[size * index : size * (index + 1)]
            hop = bytes(self._hops.values[layout.Endpoint.from_buffer_copy(entry).next_hop])
            before = self._seen_paths.get(index)
            if before is None or before[:2] != (entry, hop):
                before = entry, hop, self._path_of(index)
            seen[index], paths[reach] = before, before[2]
        self._seen, self._seen_paths, self._paths = (raw, hops, dict(self._index)), seen, paths
        self._seen_down = frozenset(
            reach.endpoint
            for reach, index in self._index.items()
            if self._entries.values[index].down
        )

    def _read_kernel(self, now: Callable[[], float]) -> None:
        """Build the indexes of what the maps hold.

        What lingered when the last daemon ended is an endpoint again, for control to remove.
        """
        used = [(i, e) for i, e in enumerate(self._entries.values) if any(e.identity)]
        self._index = {encoding.reach_of(entry): index for index, entry in used}
        self._indexes_of: defaultdict[IPAddress, set[int]] = defaultdict(set)
        for reach, index in self._index.items():
            self._indexes_of[reach.endpoint].add(index)
        self._lingering: dict[Reach, int] = {}
        self._hop_users = Counter(entry.next_hop for _, entry in used)
        self._hop_index: dict[tuple[NextHop, int], int] = {
            encoding.hop_of(hop): index
            for index, hop in enumerate(self._hops.values)
            if self._hop_users[index] and hop.ifindex
        }
        self._indexes = Indexes("endpoints", LIMIT_ENDPOINTS_PER_NODE, self._index.values(), now)
        self._hop_indexes = Indexes(
            "next_hops", LIMIT_NEXT_HOPS, self._hop_index.values(), now, first=1
        )

    def _follow(self, old: Reach, successor: Reach) -> None:
        """Have an entry that lingers take the next hop of the one that took its place.

        So the old flows of an endpoint survive a route that gives it another outer source.
        """
        if (old.endpoint, old.encapsulation) == (successor.endpoint, successor.encapsulation):
            hop = self._entries.values[self._index[successor]].next_hop
            self._set_hop(self._lingering[old], hop)

    def _set_hop(self, index: int, hop: int) -> None:
        before = self._entries.values[index].next_hop
        self._entries.values[index].next_hop = hop
        self._hop_users[hop] += 1
        self._release_hop(before)

    def _add(self, reach: Reach) -> int:
        index = self._indexes.take()
        self._counts.clear(index)
        self._sketches.values[index] = layout.FlowSketch()
        entry = encoding.endpoint(reach)
        entry.generation = self._entries.values[index].generation
        self._entries.values[index] = entry
        return index

    def _free(self, index: int) -> None:
        entry = self._entries.values[index]
        entry.generation = (entry.generation + 1) % _GENERATIONS  # from here on its notes are void
        # A packet may still be on its way through the rest of the entry; it never reads this.
        entry.identity[:] = bytes(16)
        self._release_hop(entry.next_hop)
        self._indexes.give_back(index)

    def _row(self, reach: Reach, index: int) -> EndpointRow:
        entry = self._entries.values[index]
        return EndpointRow(
            reach.endpoint, self._path_of(index), reach.dscp, entry.generation, bool(entry.down)
        )

    def _path_of(self, index: int) -> Path | None:
        entry = self._entries.values[index]
        if not self._hops.values[entry.next_hop].ifindex:  # entry 0 has none, ever
            return None
        return encoding.path_of(entry, self._hops.values[entry.next_hop])

    def _hop_for(self, path: Path) -> int:
        entry = encoding.next_hop(path.next_hop, path.mtu_bytes)
        wanted = encoding.hop_of(entry)  # an MTU is at most what an IP packet can be
        index = self._hop_index.get(wanted)
        if index is None:
            index = self._hop_indexes.take()
            self._hops.values[index] = entry
            self._hop_index[wanted] = index
        return index

    def _release_hop(self, index: int) -> None:
        self._hop_users[index] -= 1
        if index and not self._hop_users[index]:
            del self._hop_index[encoding.hop_of(self._hops.values[index])]
            self._hop_indexes.give_back(index)
