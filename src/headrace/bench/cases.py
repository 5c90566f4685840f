"""What is measured, and the bounds that the product sets itself."""

from dataclasses import dataclass

from headrace.bench import frames, worlds
from headrace.bench.frames import SYN, Frame
from headrace.bench.worlds import STRANGER, VIP, World

_OUTER = {4: 20, 6: 40}
_MANY = (1, 1_000, 100_000, 1_000_000)
_BIG = 1_500
_QUOTED = 512


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    world: World
    frame: Frame
    verdict: str  # of every packet
    must_ns: float
    stretch_ns: float
    flows: int = 1  # 0: each packet is of another
    vips: int = 1
    head_growth: int = 20
    tail_growth: int = 0


@dataclass(frozen=True, slots=True)
class Relation:
    """A bound between rows of one run, which a slow machine does not move."""

    name: str
    above: tuple[str, ...]  # the dearest of these cases costs so many times
    below: tuple[str, ...]  # as much as the cheapest of these, at most
    must: float


def all_relations() -> list[Relation]:
    """The cost does not grow with the flows, and new flows cost what known ones do."""
    found = []
    for version in (4, 6):
        rows = tuple(_tcp_name(version, flows) for flows in _MANY)
        found.append(Relation(f"IPv{version} TCP, dearest to cheapest", rows, rows, 1.25))
        flood = (_flood_name(version),)
        found.append(Relation(f"IPv{version} SYN flood to the most flows", flood, rows[-1:], 1.15))
    return found


def _tcp_name(version: int, flows: int) -> str:
    return f"IPv{version} TCP, {flows:,} flow{'s' if flows > 1 else ''}"


def _flood_name(version: int) -> str:
    return f"IPv{version} SYN flood, each another flow"


def all_cases() -> list[Case]:
    """Every row, in the table's order."""
    return [
        *(_tcp(4, flows, 32, 27) for flows in _MANY),
        *(_tcp(6, flows, 38, 32) for flows in _MANY),
        *_floods(),
        Case(
            "1,000 services on 100 pools, 100,000 flows",
            worlds.many_services(1_000, 100),
            frames.tcp_frame(VIP[4]),
            "sent",
            60,
            45,
            flows=100_000,
            vips=1_000,
        ),
        *_unstable(),
        *_rare(),
        Case(
            "not our VIP",
            worlds.one_service(),
            frames.tcp_frame(STRANGER),
            "pass_not_vip",
            12,
            8,
            head_growth=0,
        ),
    ]


def _tcp(version: int, flows: int, must_ns: float, stretch_ns: float) -> Case:
    return Case(
        _tcp_name(version, flows),
        worlds.one_service(version),
        frames.tcp_frame(VIP[version]),
        "sent",
        must_ns,
        stretch_ns,
        flows=flows,
        head_growth=_OUTER[version],
    )


def _floods() -> list[Case]:
    """A SYN flood costs what established flows do: 1.15 and 1.05 times their bounds."""
    return [
        Case(
            _flood_name(version),
            worlds.one_service(version),
            frames.tcp_frame(VIP[version], flags=SYN),
            "sent",
            round(1.15 * must_ns, 1),
            round(1.05 * stretch_ns, 1),
            flows=0,
            head_growth=_OUTER[version],
        )
        for version, must_ns, stretch_ns in ((4, 32, 27), (6, 38, 32))
    ]


def _unstable() -> list[Case]:
    """Slots that have just moved: SYNs leave notes, the rest looks for them."""
    return [
        Case(
            f"unstable slot, {what}",
            worlds.all_unstable(noted_flows=noted),
            frames.tcp_frame(VIP[4]),
            "sent",
            70,
            50,
            flows=1_000,
        )
        for what, noted in (("a note found", 1_000), ("no note, to the anchor", 0))
    ]


def _rare() -> list[Case]:
    world = worlds.one_service()
    return [
        Case("first fragment", world, frames.fragment_frame(VIP[4], first=True), "sent", 150, 100),
        Case(
            "later fragment",
            worlds.after(world, frames.fragment_frame(VIP[4], first=True).data),
            frames.fragment_frame(VIP[4], first=False),
            "sent",
            150,
            100,
        ),
        Case(
            "ICMP error",
            world,
            frames.error_frame(VIP[4]),
            "sent",
            150,
            100,
            flows=1_000,
        ),
        Case(
            "too big, answered",
            worlds.one_service(mtu_bytes=worlds.SMALL_MTU),
            frames.tcp_frame(VIP[4], size=_BIG),
            "answered_too_big",
            150,
            100,
            flows=1_000,
            head_growth=28,
            tail_growth=_QUOTED - _BIG,
        ),
    ]
