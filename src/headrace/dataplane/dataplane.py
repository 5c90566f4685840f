"""The data plane as the control plane sees it: endpoints, pools, services in the kernel's maps.

Adding runs endpoints, pool, service; removing runs backward. What a packet may be reading is
never half changed (see `bpf/layout.h`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path as FilePath

from headrace.dataplane import encoding, layout, libbpf
from headrace.dataplane.explain import explain_flow
from headrace.dataplane.indexes import Indexes
from headrace.dataplane.loader import Loader, Program
from headrace.dataplane.maps import Counters, HashMap, SharedArray
from headrace.dataplane.slots import Region, SlotLines, lines_for
from headrace.dataplane.tables import EndpointEntry, PoolTable, Tables
from headrace.dataplane.verdicts import all_verdicts
from headrace.model import (
    Count,
    Explanation,
    Flow,
    Forwarding,
    Path,
    Port,
    Reach,
    ServiceKey,
    VerdictCount,
)
from headrace.model.limits import (
    LIMIT_ENDPOINTS_PER_NODE,
    LIMIT_NEXT_HOPS,
    LIMIT_POOLS,
    LIMIT_SERVICES,
    SLOT_COUNT_DEFAULT,
)

_PROGRAM = Program(
    "headrace",
    (
        "settings",
        "services",
        "pools",
        "pool_infos",
        "slot_lines",
        "endpoints",
        "next_hops",
        "ports",
        "verdict_counts",
        "service_counts",
        "endpoint_counts",
    ),
)
_SLOT_LINES_AT_FIRST = 8 * lines_for(SLOT_COUNT_DEFAULT)
_NO_STAMP = 0
_MODES = {libbpf.XDP_ATTACHED_DRV: "native", libbpf.XDP_ATTACHED_SKB: "generic"}


class Dataplane:
    """One instance's program, maps and links, opened from its pins or made anew."""

    def __init__(self, directory: FilePath, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._loader = Loader(_PROGRAM, directory)
        self._loader.load({"slot_lines": _SLOT_LINES_AT_FIRST})
        self._open_maps()
        self._loader.commit()
        self._read_kernel()

    # --- reading -------------------------------------------------------------------------------

    def read(self) -> Forwarding:
        """What the kernel forwards now."""
        names = {index: name for name, index in self._pool_index.items()}
        return Forwarding(
            hash_keys=tuple(self._settings.values[0].hash_keys),
            endpoints={
                reach: self._path_of(index) for reach, index in self._endpoint_index.items()
            },
            pools={
                name: self._pool_infos.values[index].stamp
                for name, index in self._pool_index.items()
            },
            services={
                encoding.key_of(key): names.get(value.pool, "")
                for key, value in self._services.items()
                if not encoding.is_vip_mark(key)
            },
        )

    def tables(self) -> Tables:
        """The maps as plain values, for `reference` and `explain`."""
        pools = {
            index: PoolTable(
                name, self._slots.view(self._region_of(index), self._slot_count(index))
            )
            for name, index in self._pool_index.items()
        }
        return Tables(
            hash_keys=tuple(self._settings.values[0].hash_keys),
            services={
                encoding.key_of(key): pools[value.pool]
                for key, value in self._services.items()
                if not encoding.is_vip_mark(key) and value.pool in pools
            },
            endpoints={
                index: EndpointEntry(reach.endpoint, self._path_of(index))
                for reach, index in self._endpoint_index.items()
            },
            ports={
                port.ifindex: tuple(bytes(mac) for mac in port.macs)
                for port in self._ports.values
                if port.ifindex
            },
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where each flow goes, by the reference pipeline over what the maps hold now."""
        tables = self.tables()
        return [explain_flow(flow, tables) for flow in flows]

    def verdict_counts(self) -> list[VerdictCount]:
        """Packets by verdict since the program was first loaded."""
        return [
            VerdictCount(v.name, v.action, v.meaning, self._verdict_counts.read(index))
            for index, v in enumerate(all_verdicts(_PROGRAM.name))
        ]

    def service_count(self, key: ServiceKey) -> Count:
        """Packets that came for a service."""
        value = self._services.get(encoding.service_key(key))
        return self._service_counts.read(value.counter) if value else Count(0, 0)

    def endpoint_count(self, reach: Reach) -> Count:
        """Packets sent to an endpoint, for all services together."""
        index = self._endpoint_index.get(reach)
        return Count(0, 0) if index is None else self._endpoint_counts.read(index)

    # --- adding and changing -------------------------------------------------------------------

    def set_hash_keys(self, keys: Sequence[int]) -> None:
        """Set the keys of the flow hash; every flow may get another endpoint."""
        self._settings.values[0].hash_keys[:] = list(keys)

    def put_endpoint(self, reach: Reach, path: Path | None) -> None:
        """Add an endpoint, or give it another next hop; None: its packets are dropped, counted."""
        hop = 0 if path is None else self._hop_for(path)
        index = self._endpoint_index.get(reach)
        if index is None:
            index = self._endpoint_indexes.take()
            self._endpoint_counts.clear(index)
            self._endpoints.values[index] = encoding.endpoint(reach)
            self._endpoint_index[reach] = index
        before = self._endpoints.values[index].next_hop
        self._endpoints.values[index].next_hop = hop
        self._hop_users[hop] += 1
        self._release_hop(before)

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        """Write a pool's lookup table beside the old one, then point the pool to it.

        `owners` has one index into `reaches` a slot. Every reach must have been put.
        """
        labels = [self._endpoint_index[reach] for reach in reaches]
        region = self._find_region(lines_for(len(owners)))
        self._slots.write(region, owners, labels)
        index = self._pool_index.get(name)
        before = None if index is None else self._region_of(index)
        if index is None:
            index = self._pool_indexes.take()
        # A daemon killed between these three leaves a pool that has to be written again.
        self._pool_infos.values[index] = layout.PoolInfo(name.encode(), _NO_STAMP)
        self._pools.values[index].table = layout.Table(region.first_line, len(owners))
        self._pool_infos.values[index].stamp = stamp
        self._pool_index[name] = index
        if before is not None:
            self._slots.retire(before, self._now())

    def put_service(self, key: ServiceKey, pool: str) -> None:
        """Serve a VIP, protocol and port from a pool."""
        known = self._services.get(encoding.service_key(key))
        counter = self._counter_indexes.take() if known is None else known.counter
        if known is None:
            self._service_counts.clear(counter)
        value = layout.Service(self._pool_index[pool], counter)
        self._services.put(encoding.service_key(key), value)
        self._services.put(encoding.vip_mark(key.vip), layout.Service())

    # --- removing ------------------------------------------------------------------------------

    def remove_service(self, key: ServiceKey) -> None:
        """Serve it no longer; its VIP stays a VIP while another service has it."""
        value = self._services.get(encoding.service_key(key))
        if value is None:
            return
        self._services.remove(encoding.service_key(key))
        others = (
            encoding.key_of(k) for k, _ in self._services.items() if not encoding.is_vip_mark(k)
        )
        if all(other.vip != key.vip for other in others):
            self._services.remove(encoding.vip_mark(key.vip))
        self._counter_indexes.give_back(value.counter)

    def remove_pool(self, name: str) -> None:
        """Forget a pool that no service names any more."""
        index = self._pool_index.pop(name, None)
        if index is None:
            return
        self._slots.retire(self._region_of(index), self._now())
        self._pool_infos.values[index] = layout.PoolInfo()
        self._pool_indexes.give_back(index)

    def remove_endpoint(self, reach: Reach) -> None:
        """Forget an endpoint that no pool's table names any more."""
        index = self._endpoint_index.pop(reach, None)
        if index is None:
            return
        entry = self._endpoints.values[index]
        # A packet may still be on its way through the rest of the entry; it never reads this.
        entry.identity[:] = bytes(16)
        self._release_hop(entry.next_hop)
        self._endpoint_indexes.give_back(index)

    # --- interfaces ----------------------------------------------------------------------------

    def attach(self, ports: Sequence[Port]) -> None:
        """Run on exactly these interfaces; those that run already are left alone."""
        self.set_ports(ports)
        wanted = {port.name for port in ports}
        for name in self._loader.attached():
            if name not in wanted:
                self._loader.detach(name)
        for port in ports:
            self._loader.attach(port)

    def set_ports(self, ports: Iterable[Port]) -> None:
        """Take VIP packets that arrive on these interfaces and are addressed to them."""
        for index, entry in enumerate(encoding.port_entries(ports)):
            self._ports.values[index] = entry

    def modes(self) -> dict[str, str]:
        """Each attached interface's XDP mode: native, generic, or missing if its device is gone."""
        return {
            name: _MODES.get(libbpf.xdp_mode(ifindex), "missing") if ifindex else "missing"
            for name, ifindex in self._loader.attached().items()
        }

    @property
    def program_fd(self) -> int:
        """The running program, for BPF_PROG_TEST_RUN."""
        return self._loader.program_fd

    def close(self) -> None:
        """Let go of the kernel's objects; the data plane runs on."""
        self._loader.close()

    # --- inside --------------------------------------------------------------------------------

    def _open_maps(self) -> None:
        fds = self._loader.map_fds
        self._settings = SharedArray(fds["settings"], layout.Settings)
        self._pools = SharedArray(fds["pools"], layout.Pool)
        self._pool_infos = SharedArray(fds["pool_infos"], layout.PoolInfo)
        self._endpoints = SharedArray(fds["endpoints"], layout.Endpoint)
        self._next_hops = SharedArray(fds["next_hops"], layout.NextHop)
        self._ports = SharedArray(fds["ports"], layout.Port)
        self._services = HashMap(fds["services"], layout.ServiceKey, layout.Service)
        self._verdict_counts = Counters(fds["verdict_counts"])
        self._service_counts = Counters(fds["service_counts"])
        self._endpoint_counts = Counters(fds["endpoint_counts"])
        self._slots = SlotLines(SharedArray(fds["slot_lines"], layout.SlotLine))

    def _read_kernel(self) -> None:
        """Build the indexes of what the maps hold; only this class writes them from now on."""
        used = [(i, e) for i, e in enumerate(self._endpoints.values) if any(e.identity)]
        self._endpoint_index = {encoding.reach_of(entry): index for index, entry in used}
        self._hop_users = Counter(entry.next_hop for _, entry in used)
        self._hop_index = {
            encoding.hop_of(hop): index
            for index, hop in enumerate(self._next_hops.values)
            if self._hop_users[index] and hop.ifindex
        }
        names = enumerate(self._pool_infos.values)
        self._pool_index = {info.name.decode(): index for index, info in names if info.name}
        counters = [v.counter for k, v in self._services.items() if not encoding.is_vip_mark(k)]
        if not self._loader.is_complete:
            for index in self._pool_index.values():
                self._pool_infos.values[index].stamp = _NO_STAMP
        now = self._now
        self._endpoint_indexes = Indexes(
            "endpoints", LIMIT_ENDPOINTS_PER_NODE, self._endpoint_index.values(), now
        )
        self._hop_indexes = Indexes(
            "next_hops", LIMIT_NEXT_HOPS, self._hop_index.values(), now, first=1
        )
        self._pool_indexes = Indexes("pools", LIMIT_POOLS, self._pool_index.values(), now)
        self._counter_indexes = Indexes("services", LIMIT_SERVICES, counters, now)

    def _path_of(self, index: int) -> Path | None:
        entry = self._endpoints.values[index]
        if not self._next_hops.values[entry.next_hop].ifindex:  # entry 0 has none, ever
            return None
        return encoding.path_of(entry, self._next_hops.values[entry.next_hop])

    def _hop_for(self, path: Path) -> int:
        wanted = (path.next_hop, path.mtu_bytes)
        index = self._hop_index.get(wanted)
        if index is None:
            index = self._hop_indexes.take()
            self._next_hops.values[index] = encoding.next_hop(*wanted)
            self._hop_index[wanted] = index
        return index

    def _release_hop(self, index: int) -> None:
        self._hop_users[index] -= 1
        if index and not self._hop_users[index]:
            del self._hop_index[encoding.hop_of(self._next_hops.values[index])]
            self._hop_indexes.give_back(index)

    def _slot_count(self, pool_index: int) -> int:
        return int(self._pools.values[pool_index].table.slot_count)

    def _region_of(self, pool_index: int) -> Region:
        table = self._pools.values[pool_index].table
        return Region(table.first_line, lines_for(table.slot_count))

    def _find_region(self, line_count: int) -> Region:
        taken = [self._region_of(index) for index in self._pool_index.values()]
        region = self._slots.find(taken, line_count, self._now())
        if region is None:
            self._grow(line_count)
            region = self._slots.find(taken, line_count, self._now())
        if region is None:
            raise AssertionError("a grown array holds the table it was grown for")
        return region

    def _grow(self, line_count: int) -> None:
        """Load the program over a larger array of slot lines and copy the tables there."""
        smaller = self._slots
        self._loader.load({"slot_lines": smaller.capacity_with(line_count)})
        self._open_maps()
        lines = SharedArray(self._loader.map_fds["slot_lines"], layout.SlotLine)
        self._slots = smaller.grown_into(lines)
        self._loader.commit()
