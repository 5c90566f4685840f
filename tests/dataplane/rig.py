"""A data plane of a test's own, with services on it, and both ways to run a packet through it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path as FilePath

from headrace.dataplane import Dataplane, libbpf, reference
from headrace.dataplane.layout import SLOT_OWNER_MASK
from headrace.maglev import FlowHash
from headrace.model import NextHop, Path, Port, Protocol, Reach, ServiceEntry, ServiceKey, Tuning

OWN_MAC = bytes.fromhex("020000000001")
BRIDGE_MAC = bytes.fromhex("020000000002")
ROUTER_MAC = bytes.fromhex("0200000000fe")
HOP_MAC = bytes.fromhex("0200000000aa")
SOURCE_MAC = bytes.fromhex("0200000000bb")
LOOPBACK = 1  # BPF_PROG_TEST_RUN says that packets arrive on lo
EGRESS = 77
VIP = ip_address("20.20.20.1")
VIP_ANY_PORT = ip_address("20.20.20.2")
VIP_NO_PATH = ip_address("20.20.20.3")
VIP_SMALL_MTU = ip_address("20.20.20.4")
MTU = 9000
SMALL_MTU = 1500
SLOTS = 65_537

_XDP_NAMES = {1: "drop", 2: "pass", 3: "send", 4: "send"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the program in the kernel did with a packet."""

    action: str
    verdict: str
    packet: bytes


def reach(number: int, outer: str = "31.31.31") -> Reach:
    return Reach(
        IPv4Address(f"56.56.{number >> 8}.{number & 255}"),
        IPv4Address("31.31.31.253"),
        IPv4Address(f"{outer}.{number & 255}"),
    )


def path(reach: Reach, mtu_bytes: int = MTU, mac: bytes = HOP_MAC) -> Path:
    assert reach.outer_source is not None
    assert reach.outer_destination is not None
    hop = NextHop(EGRESS, SOURCE_MAC, mac)
    return Path(reach.outer_source, reach.outer_destination, hop, mtu_bytes)


def spread(count: int, slots: int = SLOTS) -> list[int]:
    """A table that is no Maglev table, but uses every endpoint everywhere."""
    return [(slot * 7919) % count for slot in range(slots)]


class Rig:
    """The data plane under test and its reference."""

    def __init__(self, directory: FilePath) -> None:
        self.dataplane = Dataplane(directory)
        self.memory = reference.Memory()

    def serve(self) -> None:
        """The services that the packet cases are about."""
        plane = self.dataplane
        plane.set_hash_keys(FlowHash.of_seed(0x5EED).keys)
        plane.set_tuning(Tuning(answers_per_s=1_000_000_000))
        plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC, BRIDGE_MAC))])
        self._pool("web", [reach(number) for number in range(1, 4)])
        self._pool("small", [reach(9)], mtu_bytes=SMALL_MTU)
        plane.put_endpoint(reach(10), None)
        plane.put_pool("dark", [reach(10)], spread(1), 1)
        for key, pool in {
            ServiceKey(VIP, Protocol.TCP, 8080): "web",
            ServiceKey(VIP, Protocol.UDP, 53): "web",
            ServiceKey(VIP_ANY_PORT, Protocol.TCP, 0): "web",
            ServiceKey(VIP_ANY_PORT, Protocol.TCP, 443): "small",
            ServiceKey(VIP_NO_PATH, Protocol.TCP, 80): "dark",
            ServiceKey(VIP_SMALL_MTU, Protocol.TCP, 80): "small",
        }.items():
            plane.put_service(key, ServiceEntry(pool))

    def _pool(self, name: str, reaches: Sequence[Reach], mtu_bytes: int = MTU) -> None:
        for each in reaches:
            self.dataplane.put_endpoint(each, path(each, mtu_bytes))
        self.dataplane.put_pool(name, reaches, spread(len(reaches)), stamp=1)

    def run(self, packet: bytes) -> Seen:
        """Run a packet through the kernel's program."""
        before = self.counts()
        code, out = libbpf.run_program(self.dataplane.program_fd, packet)
        after = self.counts()
        verdicts = [name for name in after if after[name] != before[name]]
        assert len(verdicts) == 1
        assert after[verdicts[0]] == before[verdicts[0]] + 1
        return Seen(_XDP_NAMES[code], verdicts[0], out)

    def expected(self, packet: bytes) -> reference.Outcome:
        """What the reference says about it."""
        return reference.process(
            packet, LOOPBACK, self.dataplane.tables(), self.memory, int(time.monotonic())
        )

    def counts(self) -> dict[str, int]:
        return {each.name: each.count.packets for each in self.dataplane.verdict_counts()}


def endpoints_of(plane: Dataplane, pool: str) -> set[int]:
    """The indexes of the endpoints that own a pool's slots."""
    table = next(row.pool for row in plane.tables().services.values() if row.pool.name == pool)
    return {word & SLOT_OWNER_MASK for word in table.words}
