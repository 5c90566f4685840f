"""One configured world, as values: what the packet cases are sent into.

It is brought up in three stages (`STAGES`), because some rules are about what was before a change.
Its services are in `services`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from headrace.dataplane import Dataplane
from headrace.maglev import FlowHash
from headrace.model import (
    Encapsulation,
    IPAddress,
    NextHop,
    Path,
    Port,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
)

OWN_MAC = "02:00:00:00:00:01"
BRIDGE_MAC = "02:00:00:00:00:02"
ROUTER_MAC = "02:00:00:00:00:fe"
HOP_MAC = "02:00:00:00:00:aa"
EGRESS_MAC = "02:00:00:00:00:bb"
INGRESS = 1  # BPF_PROG_TEST_RUN says that packets arrive on lo
EGRESS = 77
VLAN_TAG = 100

SEED = 0x5EED
SLOTS = 251
MTU = 9216
JUMBO_MTU = 9000
SMALL_MTU = 1500
TUNING = Tuning(answers_per_s=1_000_000, udp_idle_s=600)
SHORT_IDLE_S = 30
LONG_AGO_S = 40  # more than that; the machine may have started just before the tests
SOON_S = 7200

FAMILIES = (4, 6)


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


HOP = NextHop(EGRESS, mac_bytes(EGRESS_MAC), mac_bytes(HOP_MAC))
TAGGED_HOP = NextHop(EGRESS, mac_bytes(EGRESS_MAC), mac_bytes(HOP_MAC), tag=VLAN_TAG)
BACK_HOP = NextHop(INGRESS, mac_bytes(OWN_MAC), mac_bytes(HOP_MAC), transmit=True)
BACK_BY_REDIRECT_HOP = NextHop(INGRESS, mac_bytes(OWN_MAC), mac_bytes(HOP_MAC))
ONWARD_HOP = NextHop(EGRESS, mac_bytes(EGRESS_MAC), mac_bytes(HOP_MAC), transmit=True)

Owners = tuple[int, ...]  # an index into the pool's reaches a slot


@dataclass(frozen=True, slots=True)
class WorldPool:
    """A pool's endpoints, how they are reached, and its lookup table at each stage."""

    name: str
    reaches: tuple[Reach, ...]
    tables: tuple[Owners, ...]
    hop: NextHop = HOP
    mtu_bytes: int | None = MTU  # None: there is no path
    changed_s: int = 0  # when the later tables were written, from now

    @property
    def owners(self) -> Owners:
        """The table that holds when packets are sent."""
        return self.tables[-1]

    def path(self, reach: Reach) -> Path | None:
        if self.mtu_bytes is None:
            return None
        return Path(
            reach.outer_source,
            reach.outer_destination,
            self.hop,
            self.mtu_bytes,
            reach.encapsulation,
            reach.source_hashed,
        )


def spread(count: int) -> Owners:
    """A table that is no Maglev table, but uses every endpoint everywhere."""
    return tuple((slot * 79) % count for slot in range(SLOTS))


def all_of(owner: int) -> Owners:
    return (owner,) * SLOTS


def address(family: int, group: int, number: int) -> IPAddress:
    """The address of an endpoint, by pool and number."""
    if family == 4:
        return IPv4Address(f"10.{group}.0.{number}")
    return IPv6Address(f"2001:db8:e:{group:x}::{number:x}")


def reaches(
    group: int,
    count: int = 3,
    *,
    outer: int = 4,
    by: Encapsulation = Encapsulation.IPIP,
    hashed: bool = False,
    dscp: int | None = None,
) -> tuple[Reach, ...]:
    """The endpoints of a pool; `outer` is the family of their addresses."""
    sources: Mapping[int, IPAddress] = {
        4: ip_address("10.240.0.0" if hashed else "10.241.0.9"),
        6: ip_address("2001:db8:f0::" if hashed else "2001:db8:f1::9"),
    }
    identities = [address(outer, group, number) for number in range(1, count + 1)]
    if by is Encapsulation.L2:
        return tuple(Reach(each, encapsulation=by) for each in identities)
    return tuple(Reach(each, sources[outer], each, by, hashed, dscp) for each in identities)


GUE, L2 = Encapsulation.GUE, Encapsulation.L2

TUNNELLED = tuple(
    Reach(address(4, 1, n), ip_address("31.31.31.253"), ip_address(f"31.31.31.{n}"))
    for n in (1, 2, 3)
)
"""Endpoints behind a kernel tunnel: the outer addresses are the tunnel's."""


def plain(name: str, members: tuple[Reach, ...], **fields: object) -> WorldPool:
    """A pool whose table never changes."""
    return WorldPool(name, members, (spread(len(members)),), **fields)  # type: ignore[arg-type]


WEB = plain("web", TUNNELLED)
FAR = plain("far", reaches(2, outer=6))
BY_GUE4 = plain("gue4", reaches(3, by=GUE))
BY_GUE6 = plain("gue6", reaches(4, outer=6, by=GUE))
BY_L2 = {4: plain("l2v4", reaches(5, by=L2)), 6: plain("l2v6", reaches(6, outer=6, by=L2))}
DARK = plain("dark", reaches(7, 1), mtu_bytes=None)
NOWHERE = plain("nowhere", (Reach(address(4, 8, 1)),), mtu_bytes=None)
TAGGED = plain("tagged", reaches(9), hop=TAGGED_HOP)
TAGGED_GUE = plain("tagged-gue", reaches(10, outer=6, by=GUE), hop=TAGGED_HOP)
TAGGED_L2 = {
    4: plain("tagged-l2v4", reaches(11, by=L2), hop=TAGGED_HOP),
    6: plain("tagged-l2v6", reaches(12, outer=6, by=L2), hop=TAGGED_HOP),
}
MARKED = {
    (outer, dscp): plain(f"dscp{dscp}v{outer}", reaches(20 + at, outer=outer, dscp=dscp))
    for at, (outer, dscp) in enumerate([(4, 46), (6, 46), (4, 0), (6, 0), (4, 63), (6, 63)])
}
MARKED_GUE = {
    outer: plain(f"dscp10gue{outer}", reaches(26 + outer, outer=outer, by=GUE, dscp=10))
    for outer in FAMILIES
}
HASHED = {
    (outer, by): plain(f"hashed-{by}{outer}", reaches(34 + at, outer=outer, by=by, hashed=True))
    for at, (outer, by) in enumerate(
        [(4, Encapsulation.IPIP), (6, Encapsulation.IPIP), (4, GUE), (6, GUE)]
    )
}
SMALL = {
    "ipip4": plain("small-ipip4", reaches(40), mtu_bytes=SMALL_MTU),
    "ipip6": plain("small-ipip6", reaches(41, outer=6), mtu_bytes=SMALL_MTU),
    "gue4": plain("small-gue4", reaches(42, by=GUE), mtu_bytes=SMALL_MTU),
    "gue6": plain("small-gue6", reaches(43, outer=6, by=GUE), mtu_bytes=SMALL_MTU),
}
SMALL_L2 = {
    4: plain("small-l2v4", reaches(44, by=L2), mtu_bytes=SMALL_MTU),
    6: plain("small-l2v6", reaches(45, outer=6, by=L2), mtu_bytes=SMALL_MTU),
}
SMALL_TAGGED = plain("small-tagged", reaches(71), hop=TAGGED_HOP, mtu_bytes=SMALL_MTU)
LEAST = plain("least", reaches(46, outer=6), mtu_bytes=1320)  # 1280 within: IPv6's least MTU
NARROW = plain("narrow", reaches(47, outer=6), mtu_bytes=1319)
JUMBO = plain("jumbo", reaches(48), mtu_bytes=JUMBO_MTU)
JUMBO_L2 = {
    4: plain("jumbo-l2v4", reaches(49, by=L2), mtu_bytes=JUMBO_MTU),
    6: plain("jumbo-l2v6", reaches(50, outer=6, by=L2), mtu_bytes=JUMBO_MTU),
}
BACK = plain("back", reaches(51), hop=BACK_HOP)
BACK_BY_REDIRECT = plain("back-by-redirect", reaches(52), hop=BACK_BY_REDIRECT_HOP)
ONWARD = plain("onward", reaches(53), hop=ONWARD_HOP)
QUIC = plain("quic", reaches(54, 8))

# Slots that have had other owners: a table a stage.
A, B, C = 0, 1, 2
MOVED = WorldPool("moved", reaches(60), (all_of(A), all_of(B), all_of(C)))
CHANGED = WorldPool("changed", reaches(61), (all_of(A), all_of(B)))
RETURNED = WorldPool("returned", reaches(62), (all_of(A), all_of(B), all_of(A)))
FALLEN = WorldPool("fallen", reaches(63), (all_of(A), all_of(B)))
ANCHOR_DOWN = WorldPool("anchor-down", reaches(64), (all_of(A), all_of(B)))
NOTED_DOWN = WorldPool("noted-down", reaches(65), (all_of(A), all_of(B), all_of(C)))
LONG_AGO = WorldPool("long-ago", reaches(66), (all_of(A), all_of(B)), changed_s=-LONG_AGO_S)
VOID = WorldPool("void", reaches(67), (all_of(A), all_of(B)), changed_s=SOON_S)
UNSTABLE = (MOVED, CHANGED, RETURNED, FALLEN, ANCHOR_DOWN, NOTED_DOWN, LONG_AGO, VOID)
HALF = WorldPool(
    "half", reaches(68), (all_of(A), tuple(A if slot < SLOTS // 2 else B for slot in range(SLOTS)))
)
ALWAYS = WorldPool("always", reaches(69), (all_of(A), all_of(A), all_of(C)))
ALWAYS_DOWN = WorldPool("always-down", reaches(70), (all_of(A), all_of(A), all_of(C)))

DOWN: tuple[frozenset[IPAddress], ...] = (
    frozenset({FALLEN.reaches[A].endpoint, QUIC.reaches[7].endpoint}),
    frozenset({FALLEN.reaches[A].endpoint, QUIC.reaches[7].endpoint}),
    frozenset(
        {
            FALLEN.reaches[A].endpoint,
            ANCHOR_DOWN.reaches[A].endpoint,
            NOTED_DOWN.reaches[B].endpoint,
            ALWAYS_DOWN.reaches[A].endpoint,
            QUIC.reaches[7].endpoint,
        }
    ),
)
"""Which endpoints are down at each stage, before its tables are written."""
STAGES = len(DOWN)

SERVER_IDS = {1: 0, 0x2A5: 1, 0xFFFF: 2, 0x10000: 3, 0xABCDEF: 4, 0x1000000: 5, 0xFFFFFFFF: 6, 9: 7}
"""Of the pool `quic`: id -> which of its endpoints. The last is down."""

POOLS: tuple[WorldPool, ...] = (
    *(WEB, FAR, BY_GUE4, BY_GUE6, *BY_L2.values(), DARK, NOWHERE, TAGGED, TAGGED_GUE),
    *(*TAGGED_L2.values(), *MARKED.values(), *MARKED_GUE.values(), *HASHED.values()),
    *(*SMALL.values(), *SMALL_L2.values(), SMALL_TAGGED, LEAST, NARROW, JUMBO, *JUMBO_L2.values()),
    *(BACK, BACK_BY_REDIRECT, ONWARD, QUIC, *UNSTABLE, HALF, ALWAYS, ALWAYS_DOWN),
)


@dataclass(slots=True)
class Clock:
    """Seconds of CLOCK_MONOTONIC, moved by as much as a test wants."""

    base: Callable[[], float]
    offset_s: float = 0.0

    def now(self) -> float:
        return self.base() + self.offset_s


def apply_world(
    plane: Dataplane, clock: Clock, services: Mapping[ServiceKey, ServiceEntry], stage: int
) -> None:
    """Bring a data plane, whose clock this is, to a stage of the world."""
    if stage == 0:
        plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
        plane.set_tuning(TUNING)
        plane.set_ports([Port("lo", INGRESS, (mac_bytes(OWN_MAC), mac_bytes(BRIDGE_MAC)))])
        for pool in POOLS:
            for reach in pool.reaches:
                plane.put_endpoint(reach, pool.path(reach))
    plane.set_down(DOWN[stage])
    for pool in POOLS:
        if stage < len(pool.tables):
            clock.offset_s = pool.changed_s if stage else 0
            plane.put_pool(pool.name, pool.reaches, pool.tables[stage], stage + 1)
    clock.offset_s = 0
    if stage == 0:
        plane.set_server_ids(QUIC.name, {k: QUIC.reaches[at] for k, at in SERVER_IDS.items()})
        for key, entry in services.items():
            plane.put_service(key, entry)
