"""The data plane as the control plane sees it: endpoints, pools, services in the kernel's maps.

Adding runs endpoints, pool, service; removing runs backward. What a packet may be reading is
never half changed (see `bpf/layout.h`).
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path as FilePath

from headrace.dataplane import encoding, layout, libbpf
from headrace.dataplane.endpoints import Endpoints
from headrace.dataplane.explain import explain_flow
from headrace.dataplane.loader import Loader, Program
from headrace.dataplane.maps import Counters, SharedArray
from headrace.dataplane.notes import read_flows
from headrace.dataplane.pools import Pools
from headrace.dataplane.samples import Samples
from headrace.dataplane.server_ids import ServerIds
from headrace.dataplane.services import Services
from headrace.dataplane.slots import SlotLines
from headrace.dataplane.tables import ServiceRow, Tables
from headrace.dataplane.verdicts import all_verdicts
from headrace.model import (
    Count,
    Explanation,
    Flow,
    Forwarding,
    IPAddress,
    KernelError,
    Path,
    Port,
    PortMode,
    Reach,
    RememberedFlow,
    ServiceEntry,
    ServiceKey,
    Tuning,
    VerdictCount,
)

_FLOWS = (
    "settings",
    "next_hops",
    "endpoints",
    "pools",
    "pool_infos",
    "block_ages",
    "slot_lines",
    "server_ids",
    "notes",
    "flow_sketches",
)
"""All that says who gets a flow: they name each other's entries by index."""

_SERVICES = (
    "services4",
    "services6",
    "shortcuts4",
    "shortcuts6",
    "vip_prefixes",
    "vip_filter",
    "sources",
)
"""All that is known of services, which name pools by index."""

_PROGRAM = Program(
    "headrace",
    (
        *_FLOWS,
        *_SERVICES,
        "ports",
        "fragments",
        "answers",
        "samples",
        "verdict_counts",
        "service_counts",
        "endpoint_counts",
    ),
    "node.interfaces",
    generations=(frozenset(_FLOWS), frozenset(_SERVICES)),
    redirects=True,
)


class Dataplane:
    """One instance's program, maps and links, opened from its pins or made anew."""

    def __init__(self, directory: FilePath, now: Callable[[], float] = time.monotonic) -> None:
        self._loader = Loader(_PROGRAM, directory)
        lines = SlotLines(self._loader, now)
        fds = self._loader.map_fds
        self._settings = SharedArray(fds["settings"], layout.Settings).values[0]
        self._ports = SharedArray(fds["ports"], layout.Port)
        self._verdict_counts = Counters(fds["verdict_counts"])
        self._endpoints = Endpoints(fds, now)
        self._now = now
        self._pools = Pools(fds, lines, now)
        self._services = Services(fds, now)
        self._server_ids = ServerIds(fds)
        self._samples: Samples | None = None
        self._attached_to: tuple[str, ...] = ()  # as was asked for last
        if self._loader.made:
            self._loader.hold()  # packets would find maps that are empty yet
        self._loader.commit()

    # --- reading -------------------------------------------------------------------------------

    def read(self, *, whole: bool = True) -> Forwarding:
        """What the kernel forwards now.

        If not `whole`, of the services only those are read back that were written here since.
        """
        names, ids_of = self._pools.names(), self._server_ids.read()
        addresses = self._endpoints.addresses() if ids_of else {}
        server_ids = {
            names[pool]: {i: addresses[at] for i, at in ids.items() if at in addresses}
            for pool, ids in ids_of.items()
            if pool in names
        }
        return Forwarding(
            hash_keys=tuple(self._settings.hash_keys),
            endpoints=self._endpoints.read(),
            pools=self._pools.stamps(),
            services=self._services.read(names, whole=whole),
            down=self._endpoints.down(),
            server_ids={name: ids for name, ids in server_ids.items() if ids},
            tuning=self.tuning(),
        )

    def tuning(self) -> Tuning:
        """What holds for the whole node."""
        return Tuning(
            self._settings.answers_per_s,
            self._settings.udp_idle_s,
            int.from_bytes(bytes(self._settings.gue_port), "big"),
            self._settings.sample_one_in,
        )

    def tables(self) -> Tables:
        """The maps as plain values, for `reference` and `explain`.

        Lookup tables are the kernel's memory itself: what is read from them later is later.
        """
        pools = self._pools.tables()
        names = self._pools.names()
        services = self._services.read(names)
        by_name = {table.name: table for table in pools.values()}
        return Tables(
            hash_keys=tuple(self._settings.hash_keys),
            services={
                key: ServiceRow(entry, by_name[entry.pool])
                for key, entry in services.items()
                if entry.pool in by_name
            },
            endpoints=self._endpoints.rows(),
            ports={
                port.ifindex: tuple(bytes(mac) for mac in port.macs)
                for port in self._ports.values
                if port.ifindex
            },
            server_ids={
                (names[pool], number): endpoint
                for pool, ids in self._server_ids.read().items()
                for number, endpoint in ids.items()
                if pool in names
            },
            tuning=self.tuning(),
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where each flow goes, by the reference pipeline over what the maps hold now."""
        tables = self.tables()
        return [explain_flow(flow, tables) for flow in flows]

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Flows that are noted one by one, so many at most, also those whose note is void."""
        fd = self._loader.map_fds["notes"]
        return read_flows(fd, self._endpoints.rows(), int(self._now()), limit)

    def verdict_counts(self) -> list[VerdictCount]:
        """Packets by verdict since the program was first loaded."""
        return [
            VerdictCount(v.name, v.action, v.meaning, self._verdict_counts.read(index))
            for index, v in enumerate(all_verdicts(_PROGRAM.name))
        ]

    def service_counts(self, keys: Iterable[ServiceKey]) -> list[Count]:
        """Packets that came for each of these services, in their order."""
        return self._services.counts(keys)

    def endpoint_count(self, reach: Reach) -> Count:
        """Packets sent to an endpoint, for all services together."""
        return self._endpoints.count(reach)

    def take_flows(self, reach: Reach) -> bytes:
        """A sketch of the flows that an endpoint got since this was asked last.

        Only of flows whose slot has another owner (`maglev.count_flows`), for all services.
        """
        return self._endpoints.take_flows(reach)

    def samples(self) -> Samples:
        """The ring of sampled packets; always the same reader."""
        if self._samples is None:
            self._samples = Samples(self._loader.map_fds["samples"])
        return self._samples

    # --- adding and changing -------------------------------------------------------------------

    def set_hash_keys(self, keys: Sequence[int]) -> None:
        """Set the keys of the flow hash; every flow may get another endpoint."""
        if list(keys) != list(self._settings.hash_keys):
            self._pools.forget_history()
            self._settings.hash_keys[:] = list(keys)

    def set_tuning(self, tuning: Tuning) -> None:
        """Set what holds for the whole node."""
        self._settings.answers_per_s = tuning.answers_per_s
        self._settings.udp_idle_s = tuning.udp_idle_s
        self._settings.sample_one_in = tuning.sample_one_in
        self._settings.gue_port[:] = tuning.gue_port.to_bytes(2, "big")

    def put_endpoint(self, reach: Reach, path: Path | None) -> None:
        """Add an endpoint, or give it another next hop; None: its packets are dropped, counted."""
        self._endpoints.put(reach, path)

    def set_down(self, addresses: frozenset[IPAddress]) -> None:
        """Let exactly the endpoints with these addresses get nothing, whatever notes say."""
        self._endpoints.set_down(addresses)

    def reserve(self, slot_counts: Collection[int]) -> None:
        """Make room for pools of these sizes, all there will be, at once; never necessary.

        Pool by pool the room grows, and each time the program is loaded anew.
        """
        self._pools.reserve(slot_counts)

    def prepare_pool(self, name: str, slot_count: int) -> float:
        """Make room for a pool's table of so many slots; how long `put_pool` would sleep now.

        Packets may be at the place, or in the program of before there was room. Who waits so long
        first, and lets others work meanwhile, need not sleep then.
        """
        return self._pools.prepare(name, slot_count)

    def put_pool(
        self, name: str, reaches: Sequence[Reach], owners: Sequence[int], stamp: int
    ) -> None:
        """Write a pool's lookup table.

        `owners` has one index into `reaches` a slot. Every reach must have been put. A slot that
        gets another owner is unstable until it settles, unless keys or number of slots changed.
        """
        labels = [self._endpoints.index_of(reach) for reach in reaches]
        self._pools.put(name, labels, owners, stamp, self._endpoints.down_indexes())

    def put_service(self, key: ServiceKey, entry: ServiceEntry) -> None:
        """Serve a VIP, protocol and port; what `entry` says of unserved holds for the whole VIP."""
        self._services.put(key, entry, self._pools.index_of(entry.pool))

    def set_server_ids(self, pool: str, server_ids: Mapping[int, Reach]) -> None:
        """Have exactly these QUIC server ids name endpoints of a pool."""
        self._server_ids.put(
            self._pools.index_of(pool),
            {number: self._endpoints.index_of(reach) for number, reach in server_ids.items()},
        )

    @property
    def is_followed(self) -> bool:
        """Whether packets go by these maps: not while another version's program forwards yet."""
        return not self._loader.is_held

    def commit(self) -> None:
        """All is put: where another version's program forwards yet, this one's takes over."""
        self._loader.release()

    def settle(self, idle_s: float) -> int:
        """Settle the slots whose line has been idle for so long; how many there were."""
        settled = self._pools.settle(idle_s)
        self._endpoints.release(self._is_held)
        self._services.sweep()
        return settled

    # --- removing ------------------------------------------------------------------------------

    def remove_service(self, key: ServiceKey) -> None:
        """Serve it no longer; its VIP stays a VIP while another service has it."""
        self._services.remove(key)

    def remove_pool(self, name: str) -> None:
        """Forget a pool that no service names any more."""
        index = self._pools.remove(name)
        if index is not None:
            self._server_ids.put(index, {})

    def remove_endpoint(self, reach: Reach) -> None:
        """Forget an endpoint that no pool's table names any more.

        It lingers while flows that were its own before may still be sent to it.
        """
        self._endpoints.remove(reach, self._is_held)

    # --- interfaces ----------------------------------------------------------------------------

    def attach(self, ports: Sequence[Port]) -> None:
        """Run on exactly these interfaces; those that run already are left alone.

        Raises KernelError when one refuses or has just gone, UnavailableError when another program
        holds it, after all others were attached.
        """
        self.set_ports(ports)
        self._attached_to = tuple(port.name for port in ports)
        self._loader.follow_names({port.ifindex: port.name for port in ports})
        wanted = {port.name for port in ports}
        for name in self._loader.attached():
            if name not in wanted:
                self._loader.detach(name)
        self._loader.attach_all(ports)

    def set_ports(self, ports: Iterable[Port]) -> None:
        """Take VIP packets that arrive on these interfaces and are addressed to them."""
        for index, entry in enumerate(encoding.port_entries(ports)):
            if bytes(self._ports.values[index]) != bytes(entry):
                self._ports.values[index].ifindex = 0  # nobody's, while it is half written
                entry.ifindex, ifindex = 0, entry.ifindex
                self._ports.values[index] = entry
                self._ports.values[index].ifindex = ifindex

    def modes(self) -> dict[str, PortMode]:
        """How XDP runs on each attached interface.

        All are missing when somebody unmounted the pins, and with them ended the data plane.
        """
        if not self._loader.is_mounted:
            return dict.fromkeys(self._attached_to, PortMode.MISSING)
        return {
            name: _mode(ifindex) if ifindex else PortMode.MISSING
            for name, ifindex in self._loader.attached().items()
        }

    def run(self, frame: bytes, ifindex: int) -> tuple[int, bytes]:
        """Run the program on a frame said to arrive on an interface: XDP code, frame after."""
        return libbpf.run_program(self.program_fd, frame, ifindex=ifindex)

    @property
    def program_fd(self) -> int:
        """The running program, for BPF_PROG_TEST_RUN."""
        return self._loader.program_fd

    def close(self) -> None:
        """Let go of the kernel's objects; the data plane runs on."""
        if self._samples is not None:
            self._samples.close()
        self._loader.close()

    # --- inside --------------------------------------------------------------------------------

    def _is_held(self, endpoint: int) -> bool:
        return self._pools.holds(endpoint) or self._server_ids.names(endpoint)


def _mode(ifindex: int) -> PortMode:
    try:
        return libbpf.XDP_MODES.get(libbpf.xdp_mode(ifindex), PortMode.MISSING)
    except KernelError:  # its device went just now
        return PortMode.MISSING
