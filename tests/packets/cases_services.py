"""Which service a packet is for: exact, any port, ranges, prefixes, nobody."""

from scapy.packet import Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, passed, sent
from .packets import frame, ip, ip_of, sctp, tcp, transport, udp
from .world import FAMILIES

UNSERVED = "drop_unserved"


def ports() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        any_port, crossed, ranged = (
            services.ANY_PORT[family],
            services.CROSSED[family],
            services.RANGE[family],
        )
        cases.extend(
            sent(
                f"IPv{family}: port {port} of an any-port service",
                frame(ip(any_port) / tcp(port)),
                world.WEB,
            )
            for port in (0, 1, 442, 444, 65535)
        )
        cases += [
            sent(
                f"IPv{family}: an exact port goes before any port",
                frame(ip(any_port) / tcp(443)),
                world.FAR,
            ),
            sent(
                f"IPv{family}: any port of SCTP has another pool than any port of TCP",
                frame(ip(any_port) / sctp(9)),
                world.FAR,
            ),
            dropped(
                f"IPv{family}: any port of TCP and SCTP is none of UDP",
                frame(ip(any_port) / udp(443)),
                UNSERVED,
            ),
            sent(f"IPv{family}: TCP 80 has its own pool", frame(ip(crossed) / tcp()), world.WEB),
            sent(f"IPv{family}: UDP 80 has its own pool", frame(ip(crossed) / udp()), world.FAR),
            dropped(
                f"IPv{family}: SCTP 80 has none beside TCP and UDP",
                frame(ip(crossed) / sctp()),
                UNSERVED,
            ),
        ]
        for port in (100, 101, 150, 199, 200):
            for name, header in (("TCP", tcp), ("UDP", udp)):
                cases.append(
                    sent(
                        f"IPv{family}: {name} port {port} is in the range 100-200",
                        frame(ip(ranged) / header(port)),
                        world.WEB,
                    )
                )
        for port in (98, 99, 201, 202, 0, 65535):
            cases.append(
                dropped(
                    f"IPv{family}: port {port} is not in the range 100-200",
                    frame(ip(ranged) / tcp(port)),
                    UNSERVED,
                )
            )
    return cases


def prefixes() -> list[Case]:
    """An exact address, else the longest prefix; each has its own services only."""
    cases: list[Case] = []
    edges = {
        4: {
            "first": "203.0.113.0",
            "last but for the longer one's": "203.0.113.127",
        },
        6: {
            "first": "2001:db8:3::",
            "last but for the longer one's": "2001:db8:3:7f:ffff:ffff:ffff:ffff",
        },
    }
    longer_edges = {
        4: {"first": "203.0.113.128", "last": "203.0.113.255"},
        6: {"first": "2001:db8:3:80::", "last": "2001:db8:3:80:ffff:ffff:ffff:ffff"},
    }
    for family in FAMILIES:
        for what, address in edges[family].items():
            cases.append(
                sent(
                    f"IPv{family}: the {what} address of a VIP prefix is a VIP",
                    frame(ip(address) / tcp(80)),
                    world.WEB,
                )
            )
        for what, address in longer_edges[family].items():
            cases.append(
                sent(
                    f"IPv{family}: the {what} address of the longer prefix is its own",
                    frame(ip(address) / tcp(81)),
                    world.FAR,
                )
            )
    return cases


def prefixes_apart() -> list[Case]:
    """No prefix, and no address in one, has another's services."""
    cases: list[Case] = []
    for family in FAMILIES:
        inside, longer, exact, passing = (
            services.IN_PREFIX[family],
            services.IN_LONGER[family],
            services.WITHIN_EXACT[family],
            services.IN_PASSING_PREFIX[family],
        )
        cases += [
            sent(f"IPv{family}: any UDP port of a prefix", frame(ip(inside) / udp(9)), world.WEB),
            dropped(
                f"IPv{family}: a prefix has not the services of a longer one",
                frame(ip(inside) / tcp(81)),
                UNSERVED,
            ),
            dropped(
                f"IPv{family}: a longer prefix has not the services of the shorter",
                frame(ip(longer) / tcp(80)),
                UNSERVED,
            ),
            dropped(
                f"IPv{family}: a longer prefix has not the shorter one's any port",
                frame(ip(longer) / udp(9)),
                UNSERVED,
            ),
            sent(
                f"IPv{family}: an exact VIP within prefixes has its own service",
                frame(ip(exact) / tcp(82)),
                world.WEB,
            ),
            dropped(
                f"IPv{family}: an exact VIP has not the services of the prefix around it",
                frame(ip(exact) / tcp(81)),
                UNSERVED,
            ),
            sent(
                f"IPv{family}: a prefix whose other packets are the kernel's serves its port",
                frame(ip(passing) / tcp(80)),
                world.WEB,
            ),
            passed(
                f"IPv{family}: what nobody serves of such a prefix is the kernel's",
                frame(ip(passing) / tcp(81)),
                "pass_unserved",
            ),
        ]
    return cases


def unserved() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip, passing = services.WEB[family], services.PASSING[family]
        tunnels = {4: {"IPv4": 4, "IPv6": 41}, 6: {"IPv4": 4, "IPv6": 41}}[family]
        packets = {
            "port 81": transport(Protocol.TCP, 81),
            "port 0": transport(Protocol.TCP, 0),
            "port 20480, which is 80 read backwards": transport(Protocol.TCP, 20480),
            "UDP port 81": transport(Protocol.UDP, 81),
            "SCTP port 81": transport(Protocol.SCTP, 81),
        }
        for what, packet in packets.items():
            cases += [
                dropped(
                    f"IPv{family}: {what} of a VIP is dropped", frame(ip(vip) / packet), UNSERVED
                ),
                passed(
                    f"IPv{family}: {what} is passed where the VIP says so",
                    frame(ip(passing) / packet),
                    "pass_unserved",
                ),
            ]
        protocols = {
            "GRE": 47,
            "OSPF": 89,
            "protocol 255": 255,
            "UDP-Lite": 136,
            "DCCP": 33,
            **{f"{name} in a tunnel": number for name, number in tunnels.items()},
        }
        if family == 4:
            protocols |= {"protocol 0, as the mark of a VIP has": 0}
        for what, number in protocols.items():
            cases.append(
                dropped(
                    f"IPv{family}: {what} to a VIP is dropped",
                    frame(ip_of(vip, number) / Raw(bytes(transport(Protocol.TCP)))),
                    UNSERVED,
                )
            )
    return cases


def left_to_the_kernel() -> list[Case]:
    """VIPs of which the kernel has what nobody serves."""
    cases: list[Case] = []
    for family in FAMILIES:
        passing = services.PASSING[family]
        for what, number in (("GRE", 47), ("a tunnel", 4)):
            cases.append(
                passed(
                    f"IPv{family}: {what} is the kernel's where the VIP says so",
                    frame(ip_of(passing, number) / Raw(bytes(20))),
                    "pass_unserved",
                )
            )
        cases += [
            sent(
                f"IPv{family}: what is served of such a VIP is sent",
                frame(ip(passing) / tcp(80)),
                world.WEB,
            ),
            dropped(
                f"IPv{family}: a protocol number for a port finds no portless entry",
                frame(ip_of(services.BY_SOURCE[family], 253) / Raw(b"\x00\x06\x00\x06" + bytes(8))),
                UNSERVED,
            ),
        ]
    return cases


CASES = [*ports(), *prefixes(), *prefixes_apart(), *unserved(), *left_to_the_kernel()]
