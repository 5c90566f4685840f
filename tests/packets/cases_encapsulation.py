"""The outer header: every pair of families, protocol, encapsulation; marks, sources, next hops."""

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, sent
from .packets import frame, ip, marked, q, tcp, transport, udp
from .world import FAMILIES

ECN = {0: "not capable of ECN", 1: "ECT(1)", 2: "ECT(0)", 3: "congestion experienced"}
DSCP = {0: "best effort", 8: "CS1", 10: "AF11", 46: "EF", 56: "CS7", 63: "every DSCP bit"}


def pairs() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        ways = {
            "ipip in IPv4": (services.WEB, world.WEB),
            "ipip in IPv6": (services.FAR, world.FAR),
            "gue in IPv4": (services.BY_GUE4, world.BY_GUE4),
            "gue in IPv6": (services.BY_GUE6, world.BY_GUE6),
            "l2": (services.BY_L2, world.BY_L2[family]),
        }
        for name, (vips, pool) in ways.items():
            for protocol in Protocol:
                packet = ip(vips[family]) / transport(protocol)
                cases.append(
                    sent(f"{protocol.upper()} in IPv{family} goes by {name}", frame(packet), pool)
                )
            short = frame(ip(vips[family]) / udp()) + bytes(18)
            cases.append(
                sent(f"padding stays out of every length of IPv{family} by {name}", short, pool)
            )
            tagged = frame(ip(vips[family]) / tcp(), tags=(q(9),))
            cases.append(sent(f"a tag is off before IPv{family} goes by {name}", tagged, pool))
    return cases


def marks() -> list[Case]:
    """DSCP is the inner packet's or the endpoint's own; ECN is the inner packet's always."""
    cases: list[Case] = []
    for family in FAMILIES:
        for dscp, called in DSCP.items():
            for ecn, name in ECN.items():
                packet = frame(marked(services.WEB[family], dscp << 2 | ecn) / tcp())
                cases.append(
                    sent(f"IPv{family}: {called}, {name} is copied to IPv4", packet, world.WEB)
                )
        for ecn, name in ECN.items():
            value = 10 << 2 | ecn
            copies = {
                "IPv6": (services.FAR, world.FAR),
                "gue in IPv4": (services.BY_GUE4, world.BY_GUE4),
                "gue in IPv6": (services.BY_GUE6, world.BY_GUE6),
                "l2, where nothing is copied": (services.BY_L2, world.BY_L2[family]),
            }
            for what, (vips, pool) in copies.items():
                packet = frame(marked(vips[family], value) / tcp())
                cases.append(sent(f"IPv{family}: AF11, {name} on the way to {what}", packet, pool))
            cases += _fixed(family, ecn, name)
    return cases


def _fixed(family: int, ecn: int, name: str) -> list[Case]:
    vip = services.MARKED[family]
    cases: list[Case] = []
    for (outer, dscp), pool in world.MARKED.items():
        port = services.MARK_PORTS[dscp] + outer * 1000
        cases.append(
            sent(
                f"IPv{family}: DSCP {dscp} of the endpoint in IPv{outer}, {name} of the packet",
                frame(marked(vip, 26 << 2 | ecn) / tcp(port)),
                pool,
            )
        )
    for outer, pool in world.MARKED_GUE.items():
        cases.append(
            sent(
                f"IPv{family}: DSCP 10 of the endpoint by gue in IPv{outer}, {name} of the packet",
                frame(marked(vip, 26 << 2 | ecn) / udp(outer * 1000)),
                pool,
            )
        )
    return cases


def hashed_sources() -> list[Case]:
    """The low 16 bits of the outer source tell flows apart."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.HASHED[family]
        for key, pool in world.HASHED.items():
            outer, by = key
            for number in range(3):
                packet = frame(ip(vip) / tcp(services.HASHED_PORTS[key], 40000 + number))
                cases.append(
                    sent(
                        f"IPv{family}: flow {number} has an outer source of its own "
                        f"by {by} in IPv{outer}",
                        packet,
                        pool,
                    )
                )
    return cases


def next_hops() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip, back, dark = services.TAGGED[family], services.BACK[family], services.DARK[family]
        tagged = {
            80: ("ipip", world.TAGGED),
            81: ("gue in IPv6", world.TAGGED_GUE),
            82: ("l2", world.TAGGED_L2[family]),
        }
        for port, (name, pool) in tagged.items():
            cases += [
                sent(
                    f"IPv{family}: a next hop in a VLAN gets its tag, by {name}",
                    frame(ip(vip) / tcp(port)),
                    pool,
                ),
                sent(
                    f"IPv{family}: the next hop's tag is in place of the packet's, by {name}",
                    frame(ip(vip) / tcp(port), tags=(q(9),)),
                    pool,
                ),
                sent(
                    f"IPv{family}: the next hop's tag is in place of two, by {name}",
                    frame(ip(vip) / tcp(port), tags=(q(9), q(10))),
                    pool,
                ),
            ]
        cases += [
            sent(
                f"IPv{family}: what leaves by where it came is transmitted where that works",
                frame(ip(back) / tcp(80)),
                world.BACK,
            ),
            sent(
                f"IPv{family}: what leaves by where it came is redirected where it must be",
                frame(ip(back) / tcp(81)),
                world.BACK_BY_REDIRECT,
            ),
            sent(
                f"IPv{family}: what leaves by another interface is redirected, always",
                frame(ip(back) / tcp(82)),
                world.ONWARD,
            ),
            dropped(
                f"IPv{family}: an endpoint whose next hop is lost gets nothing",
                frame(ip(dark) / tcp(80)),
                "drop_no_path",
            ),
            dropped(
                f"IPv{family}: an endpoint that never had a path gets nothing",
                frame(ip(dark) / tcp(81)),
                "drop_no_path",
            ),
        ]
    return cases


CASES = [*pairs(), *marks(), *hashed_sources(), *next_hops()]
