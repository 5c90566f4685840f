"""A data plane that changes all the time, and where each flow may go meanwhile."""

import functools
import random
from array import array
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path as FilePath

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from headrace.dataplane import Dataplane
from headrace.maglev import FlowHash, SlotWord, build_table, change_down, slot_of
from headrace.model import (
    Affinity,
    Flow,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
)
from tests.maglev.evenness import equal_pool

from .prove import SEED, SLOTS
from .rig import OWN_MAC, ROUTER_MAC, VIP, reach

ENDPOINTS = 40
FLOWS = 500
KEY, OTHER_KEY = ServiceKey(VIP, Protocol.TCP, 80), ServiceKey(VIP, Protocol.TCP, 81)
MACS = (bytes.fromhex("0200000000a0"), bytes.fromhex("0200000000b0"))
GROWTH = (700_000, 1_400_000, 2_800_000)
"""Slots of pools of which each is more than the array's room so far."""
FALLS, MOVES, REPEATS, RELOADS = 120, 30, 15, 7
CHANGES = FALLS + MOVES + 3 * REPEATS + RELOADS + len(GROWTH)

_FIRST_PORT = 1024
_MTU = 1500
_STAMPS = 1 << 63


def seen(frame: bytes) -> bytes:
    """What tells where a packet in IPv4 in Ethernet goes: both MAC addresses and the outer one."""
    return frame[:12] + frame[30:34]


def flow_of(frame: bytes) -> int:
    """The number of the flow whose packet is in IPv4 in Ethernet."""
    return int.from_bytes(frame[54:56], "big") - _FIRST_PORT


class Changing:
    """One service, and changes of everything about it and around it.

    A *state* is what holds from one change's end to the next one's. Packets that are on their way
    while `done` grows to `started` go by one of the states in between, ends included.
    """

    def __init__(self, directory: FilePath, port: Port) -> None:
        self._directory, self._port = directory, port
        self._random = random.Random(3)
        self._plane = Dataplane(directory)
        self._plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
        self._plane.set_tuning(Tuning())
        self._plane.set_ports([port])
        self._table = build_table(SEED, equal_pool(ENDPOINTS), SLOTS)
        self._reaches = [reach(number) for number in range(ENDPOINTS)]
        for each in self._reaches:
            self._put_endpoint(each, 0)
        self._put_pool(frozenset())
        self._plane.put_service(KEY, ServiceEntry("web"))
        self._flows = [
            Flow(
                Protocol.TCP,
                IPv4Address(f"198.18.{n >> 8}.{n & 255}"),
                _FIRST_PORT + n,
                VIP,
                80,
            )
            for n in range(FLOWS)
        ]
        flow_hash = FlowHash.of_seed(SEED)
        self._slots = [slot_of(flow_hash.hash32(f, Affinity.FLOW), SLOTS) for f in self._flows]
        self.frames = [_frame(flow, _flags(n)) for n, flow in enumerate(self._flows)]
        self.started = self.done = 0
        self.states = [self._where()]

    def attach(self) -> None:
        """Run on the port."""
        self._plane.attach([self._port])

    def changes(self) -> Iterator[None]:
        """Make `CHANGES` changes in an order of chance, each when it is asked for."""
        todo: list[Callable[[], None]] = [
            *[self._fall] * FALLS,
            *[self._move] * MOVES,
            *[self._add_service, self._remove_service, self._settle] * REPEATS,
            *[self._reload] * RELOADS,
        ]
        self._random.shuffle(todo)
        for at, slot_count in enumerate(GROWTH, 1):
            place = at * len(todo) // (len(GROWTH) + 1)
            todo.insert(place, functools.partial(self._grow, slot_count))
        for change in todo:
            change()
            yield

    def is_right(self, flow: int, what: bytes, before: int, after: int) -> bool:
        """Whether a packet of a flow may have gone so, `done` before and `started` after it."""
        return any(what == self.states[state][flow] for state in range(before, after + 1))

    def dropped(self) -> dict[str, int]:
        """Packets that were dropped, by verdict."""
        counts = self._plane.verdict_counts()
        return {v.name: v.count.packets for v in counts if v.action == "drop" and v.count.packets}

    def close(self) -> None:
        """Let go of the kernel's objects."""
        self._plane.close()

    # --- changes ---------------------------------------------------------------------------------

    def _fall(self) -> None:
        """Others than before are down: first packets know, then the table does."""
        fallen = self._random.sample(range(ENDPOINTS), self._random.randrange(5))
        self._step(
            lambda: self._plane.set_down(frozenset(self._reaches[n].endpoint for n in fallen))
        )
        self._step(lambda: self._put_pool(frozenset(fallen)))

    def _move(self) -> None:
        """An endpoint's next hop is another one."""
        moved, hop = self._random.choice(self._reaches), self._random.randrange(len(MACS))
        self._step(lambda: self._put_endpoint(moved, hop))

    def _grow(self, slot_count: int) -> None:
        """Another pool's table is more than there is room for: the program is loaded anew."""
        owners = array("H", bytes(2 * slot_count))
        name = f"large{slot_count}"
        self._step(lambda: self._plane.put_pool(name, self._reaches[:1], owners, stamp=1))

    def _add_service(self) -> None:
        self._step(lambda: self._plane.put_service(OTHER_KEY, ServiceEntry("web")))

    def _remove_service(self) -> None:
        self._step(lambda: self._plane.remove_service(OTHER_KEY))

    def _settle(self) -> None:
        """Slots settle, though flows are elsewhere: those go to the owner from then on."""
        self._step(lambda: self._plane.settle(-5))

    def _reload(self) -> None:
        """The next daemon takes over."""
        before = self._plane
        self._step(self._open)
        before.close()

    # --- inside ----------------------------------------------------------------------------------

    def _step(self, change: Callable[[], object]) -> None:
        self.started += 1
        change()
        self.states.append(self._where())
        self.done += 1

    def _open(self) -> None:
        self._plane = Dataplane(self._directory)

    def _put_endpoint(self, each: Reach, hop: int) -> None:
        to = NextHop(self._port.ifindex, OWN_MAC[:5] + bytes([0xA0 + hop]), MACS[hop])
        self._plane.put_endpoint(each, Path(each.outer_source, each.outer_destination, to, _MTU))

    def _put_pool(self, fallen: frozenset[int]) -> None:
        down = [self._table.candidates[number].address for number in fallen]
        table = change_down(self._table, down)
        self._plane.put_pool("web", self._reaches, table.owners, table.digest % _STAMPS)

    def _where(self) -> list[bytes]:
        """Where each flow goes by what the maps hold now."""
        tables = self._plane.tables()
        ways = {}
        for index, row in tables.endpoints.items():
            assert row.path is not None
            assert row.path.outer_destination is not None
            hop = row.path.next_hop
            ways[index] = hop.destination_mac + hop.source_mac + row.path.outer_destination.packed
        down = {index for index, row in tables.endpoints.items() if row.down}
        words = tables.services[KEY].pool.words
        return [ways[_endpoint(words[s], down, _flags(n))] for n, s in enumerate(self._slots)]


def _flags(flow: int) -> str:
    """Every fourth flow always begins, the others are under way and nobody noted them."""
    return "A" if flow % 4 else "S"


def _frame(flow: Flow, flags: str) -> bytes:
    packet = IP(src=str(flow.source), dst=str(flow.destination))
    segment = packet / TCP(sport=flow.source_port, dport=flow.destination_port, flags=flags)
    return bytes(Ether(dst=OWN_MAC.hex(":"), src=ROUTER_MAC.hex(":")) / segment)


def _endpoint(word: int, down: set[int], flags: str) -> int:
    slot = SlotWord.of_word(word)
    if not slot.unstable or flags == "S" or slot.anchor is None or slot.anchor in down:
        return slot.owner
    return slot.anchor
