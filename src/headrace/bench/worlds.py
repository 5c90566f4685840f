"""What the data plane forwards while it is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from headrace.bench.frames import NODE_MAC, PORT, ROUTER_MAC, SYN, tcp_frame
from headrace.dataplane import Dataplane
from headrace.maglev import Candidate, FlowHash, Table, build_table
from headrace.model import (
    Encapsulation,
    IPAddress,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
)

SEED = 0x5EED
SLOTS = 65_537
ENDPOINTS = 100
LOOPBACK = 1  # BPF_PROG_TEST_RUN says that packets arrive on lo
MTU = 9000
SMALL_MTU = 1400
ANSWERS_PER_S = 1_000_000_000  # the limit is not what is measured

VIP = {4: ip_address("198.18.0.1"), 6: ip_address("2001:db8:ffff::1")}
STRANGER = ip_address("9.9.9.9")

_OUTER_SOURCE = {4: ip_address("10.100.255.1"), 6: ip_address("fd00::ffff:1")}
_FIRST_ENDPOINT = {4: ip_address("10.100.0.1"), 6: ip_address("fd00::1")}

World = Callable[[Dataplane, int], None]
"""Builds it for packets that arrive on, and leave by, the interface of an index."""


def one_service(version: int = 4, *, mtu_bytes: int = MTU) -> World:
    """One VIP with TCP and UDP, and a pool of 100 endpoints."""

    def build(plane: Dataplane, ifindex: int) -> None:
        _begin(plane, ifindex)
        _put_pool(plane, "bench", version, _Way(ifindex, mtu_bytes))
        for protocol in (Protocol.TCP, Protocol.UDP):
            key = ServiceKey(VIP[version], protocol, PORT)
            plane.put_service(key, ServiceEntry("bench"))

    return build


def many_services(services: int, pools: int) -> World:
    """VIPs one after another, a service each, spread over pools of 100 endpoints."""

    def build(plane: Dataplane, ifindex: int) -> None:
        _begin(plane, ifindex)
        for number in range(pools):
            _put_pool(plane, f"bench{number}", 4, _Way(ifindex))
        for number in range(services):
            key = ServiceKey(VIP[4] + number, Protocol.TCP, PORT)
            plane.put_service(key, ServiceEntry(f"bench{number % pools}"))

    return build


def all_unstable(*, noted_flows: int) -> World:
    """One VIP, each of whose slots has just got another owner and keeps the one it had.

    The bench's first `noted_flows` flows have begun since then.
    """

    def build(plane: Dataplane, ifindex: int) -> None:
        one_service()(plane, ifindex)
        table = _table(4)
        moved = [(owner + 1) % ENDPOINTS for owner in table.owners]
        plane.put_pool("bench", _reaches(table, 4), moved, stamp=2)
        syn = tcp_frame(VIP[4], flags=SYN)
        for flow in range(noted_flows):
            plane.run(syn.of_flow(flow), ifindex)

    return build


def after(world: World, frame: bytes) -> World:
    """A world in which a frame has been seen already."""

    def build(plane: Dataplane, ifindex: int) -> None:
        world(plane, ifindex)
        plane.run(frame, ifindex)

    return build


def _begin(plane: Dataplane, ifindex: int) -> None:
    plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
    plane.set_tuning(Tuning(answers_per_s=ANSWERS_PER_S))
    plane.set_ports([Port("bench", ifindex, (NODE_MAC,))])


@dataclass(frozen=True, slots=True)
class _Way:
    """Back out of the interface that the packet came in by, as a NIC does it."""

    ifindex: int
    mtu_bytes: int = MTU

    @property
    def hop(self) -> NextHop:
        return NextHop(self.ifindex, NODE_MAC, ROUTER_MAC, transmit=True)


def _put_pool(plane: Dataplane, name: str, version: int, way: _Way) -> None:
    table = _table(version)
    reaches = _reaches(table, version)
    for reach in reaches:
        path = Path(reach.outer_source, reach.outer_destination, way.hop, way.mtu_bytes)
        plane.put_endpoint(reach, path)
    plane.put_pool(name, reaches, table.owners, stamp=1)


def _table(version: int) -> Table:
    candidates = [Candidate(_FIRST_ENDPOINT[version] + number) for number in range(ENDPOINTS)]
    return build_table(SEED, candidates, SLOTS)


def _reaches(table: Table, version: int) -> Sequence[Reach]:
    return [_reach(candidate.address, version) for candidate in table.candidates]


def _reach(address: IPAddress, version: int) -> Reach:
    return Reach(address, _OUTER_SOURCE[version], address, Encapsulation.IPIP)
