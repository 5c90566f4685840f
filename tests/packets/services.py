"""The services of the packet cases' world: a VIP a subject, a pool a port where they differ."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from headrace.model import (
    Affinity,
    FlowTable,
    IPAddress,
    IPNetwork,
    Protocol,
    ServiceEntry,
    ServiceKey,
    Unserved,
)

from . import world
from .world import FAMILIES, WorldPool

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP
ANY = 0


def vips(number: int) -> dict[int, IPAddress]:
    """A VIP of each family."""
    return {4: IPv4Address(f"192.0.2.{number}"), 6: IPv6Address(f"2001:db8:2::{number:x}")}


WEB = vips(1)
FAR = vips(2)
BY_GUE4 = vips(3)
BY_GUE6 = vips(4)
BY_L2 = vips(5)
ANY_PORT = vips(6)
RANGE = vips(7)
PASSING = vips(8)
DARK = vips(9)
TAGGED = vips(10)
MARKED = vips(11)
HASHED = vips(12)
SMALL = vips(13)
JUMBO = vips(14)
SOURCES = vips(15)
BY_SOURCE = vips(16)
BY_PORT = vips(17)
QUIC = vips(18)
UNSTABLE = vips(19)
ALWAYS = vips(20)
CROSSED = vips(21)
BACK = vips(22)
BY_SOURCE_MIXED = vips(23)
PORTLESS_PASSING = vips(24)
BY_SOURCE_CHANGED = vips(25)

IN_PREFIX = {4: ip_address("203.0.113.7"), 6: ip_address("2001:db8:3::7")}
IN_LONGER = {4: ip_address("203.0.113.200"), 6: ip_address("2001:db8:3:80::c8")}
WITHIN_EXACT = {4: ip_address("203.0.113.129"), 6: ip_address("2001:db8:3:80::81")}
PREFIX: dict[int, IPNetwork] = {
    4: ip_network("203.0.113.0/24"),
    6: ip_network("2001:db8:3::/48"),
}
LONGER: dict[int, IPNetwork] = {
    4: ip_network("203.0.113.128/25"),
    6: ip_network("2001:db8:3:80::/64"),
}
PASSING_PREFIX: dict[int, IPNetwork] = {
    4: ip_network("198.18.0.0/15"),
    6: ip_network("2001:db8:4::/64"),
}
IN_PASSING_PREFIX = {4: ip_address("198.19.255.255"), 6: ip_address("2001:db8:4::1")}

PORT_RANGE = range(100, 201)
MARK_PORTS = {46: 146, 0: 100, 63: 163}
SMALL_PORTS = {"ipip4": 4, "ipip6": 6, "gue4": 14, "gue6": 16}
SMALL_L2_PORT, SMALL_TAGGED_PORT, LEAST_PORT, NARROW_PORT = 2, 3, 80, 79
HASHED_PORTS = {key: 4000 + at for at, key in enumerate(world.HASHED)}
UNSTABLE_PORTS = {pool.name: 1000 + at for at, pool in enumerate((*world.UNSTABLE, world.HALF))}
NEVER = 1000  # added to those ports: the same pool, no flow table
UNSTABLE_POOLS = (*world.UNSTABLE, world.HALF)

ALLOWED: dict[int, frozenset[IPNetwork]] = {
    4: frozenset(ip_network(each) for each in ("198.51.100.0/24", "100.64.0.0/10", "9.9.9.9/32")),
    6: frozenset(ip_network(each) for each in ("2001:db8:c::/48", "2001:db8:d::1/128")),
}
EVERYBODY: dict[int, frozenset[IPNetwork]] = {
    4: frozenset({ip_network("0.0.0.0/0")}),
    6: frozenset({ip_network("::/0")}),
}
DENIED: dict[int, frozenset[IPNetwork]] = {
    4: frozenset(ip_network(each) for each in ("198.51.100.128/25", "8.0.0.0/8", "9.9.9.9/32")),
    6: frozenset(ip_network(each) for each in ("2001:db8:c:8000::/49", "2001:db8:d::/48")),
}

Services = dict[ServiceKey, ServiceEntry]


def entry(pool: WorldPool, **fields: object) -> ServiceEntry:
    return ServiceEntry(pool.name, **fields)  # type: ignore[arg-type]


def of(vip: IPAddress | IPNetwork, ports: dict[tuple[Protocol, int], ServiceEntry]) -> Services:
    return {ServiceKey(vip, protocol, port): each for (protocol, port), each in ports.items()}


def of_every_protocol(
    vip: IPAddress | IPNetwork, port: int, pool: WorldPool, **fields: object
) -> Services:
    return {ServiceKey(vip, protocol, port): entry(pool, **fields) for protocol in (TCP, UDP, SCTP)}


def matching(family: int) -> Services:
    """How a service is found: exact and any port, range, prefix, nobody's."""
    web, far = entry(world.WEB), entry(world.FAR)
    passing = entry(world.WEB, unserved=Unserved.PASS)
    ranged = {(protocol, port): web for protocol in (TCP, UDP) for port in PORT_RANGE}
    return {
        **of_every_protocol(WEB[family], 80, world.WEB),
        **of(ANY_PORT[family], {(TCP, ANY): web, (TCP, 443): far, (SCTP, ANY): far}),
        **of(RANGE[family], ranged),
        **of(PASSING[family], {(TCP, 80): passing}),
        **of(PREFIX[family], {(TCP, 80): web, (UDP, ANY): web}),
        **of(LONGER[family], {(TCP, 81): far}),
        **of(WITHIN_EXACT[family], {(TCP, 82): web}),
        **of(PASSING_PREFIX[family], {(TCP, 80): passing}),
        **of(CROSSED[family], {(TCP, 80): web, (UDP, 80): far}),
    }


def reaching(family: int) -> Services:
    """How an endpoint is reached: encapsulation, next hop, marks, outer source."""
    back = {80: world.BACK, 81: world.BACK_BY_REDIRECT, 82: world.ONWARD}
    tagged = {80: world.TAGGED, 81: world.TAGGED_GUE, 82: world.TAGGED_L2[family]}
    services = {
        **of_every_protocol(FAR[family], 80, world.FAR),
        **of_every_protocol(BY_GUE4[family], 80, world.BY_GUE4),
        **of_every_protocol(BY_GUE6[family], 80, world.BY_GUE6),
        **of_every_protocol(BY_L2[family], 80, world.BY_L2[family]),
        **of(DARK[family], {(TCP, 80): entry(world.DARK), (TCP, 81): entry(world.NOWHERE)}),
        **of(BACK[family], {(TCP, port): entry(pool) for port, pool in back.items()}),
        **of(TAGGED[family], {(TCP, port): entry(pool) for port, pool in tagged.items()}),
    }
    for (outer, dscp), pool in world.MARKED.items():
        services |= of(MARKED[family], {(TCP, MARK_PORTS[dscp] + outer * 1000): entry(pool)})
    for outer, pool in world.MARKED_GUE.items():
        services |= of(MARKED[family], {(UDP, outer * 1000): entry(pool)})
    for key, pool in world.HASHED.items():
        services |= of(HASHED[family], {(TCP, HASHED_PORTS[key]): entry(pool)})
    return services


def sized(family: int) -> Services:
    """How much a path carries."""
    small = {**{SMALL_PORTS[name]: pool for name, pool in world.SMALL.items()}}
    small[SMALL_L2_PORT] = world.SMALL_L2[family]
    small[SMALL_TAGGED_PORT] = world.SMALL_TAGGED
    small |= {LEAST_PORT: world.LEAST, NARROW_PORT: world.NARROW}
    services: Services = {}
    for port, pool in small.items():
        services |= of_every_protocol(SMALL[family], port, pool)
    services |= of_every_protocol(JUMBO[family], 80, world.JUMBO)
    services |= of_every_protocol(JUMBO[family], 81, world.JUMBO_L2[family])
    services |= of_every_protocol(JUMBO[family], 82, world.WEB)
    return services


def choosing(family: int) -> Services:
    """Who may ask, and which endpoint answers."""
    by_source = {"affinity": Affinity.SOURCE_IP}
    by_port = {"affinity": Affinity.DESTINATION_PORT}
    allowed, everybody = {"sources": ALLOWED[family]}, {"sources": EVERYBODY[family]}
    others = {"sources": EVERYBODY[10 - family]}  # of the other family
    denied = {"denied_sources": DENIED[family]}
    both_lists = {"sources": ALLOWED[family], "denied_sources": DENIED[family] - ALLOWED[family]}
    return {
        **of_every_protocol(SOURCES[family], 80, world.WEB, **allowed),
        **of_every_protocol(SOURCES[family], 81, world.WEB, **everybody),
        **of_every_protocol(SOURCES[family], 82, world.WEB),
        **of_every_protocol(SOURCES[family], 84, world.WEB, **others),
        **of_every_protocol(SOURCES[family], 85, world.WEB, sources=EVERYBODY[4] | EVERYBODY[6]),
        **of_every_protocol(SOURCES[family], 86, world.WEB, **denied),
        **of_every_protocol(SOURCES[family], 87, world.WEB, **both_lists),
        **of_every_protocol(SOURCES[family], 88, world.WEB, denied_sources=EVERYBODY[family]),
        **of_every_protocol(BY_SOURCE[family], 80, world.WEB, **by_source),
        **of_every_protocol(BY_SOURCE[family], 443, world.WEB, **by_source),
        **of_every_protocol(BY_SOURCE_MIXED[family], 80, world.WEB, **by_source),
        **of_every_protocol(BY_SOURCE_MIXED[family], 81, world.FAR, **by_source),
        **of_every_protocol(BY_PORT[family], 80, world.WEB, **by_port),
        **of_every_protocol(BY_PORT[family], ANY, world.WEB, **by_port),
        **of(
            PORTLESS_PASSING[family],
            {(UDP, 80): entry(world.WEB, **by_source, unserved=Unserved.PASS)},
        ),
        **of(QUIC[family], {(UDP, 443): entry(world.QUIC, quic=True)}),
        **of(QUIC[family], {(UDP, 444): entry(world.QUIC), (TCP, 443): entry(world.QUIC)}),
    }


def remembering(family: int) -> Services:
    """Services of pools whose slots have had other owners."""
    never, always = {"flow_table": FlowTable.NEVER}, {"flow_table": FlowTable.ALWAYS}
    services: Services = {}
    for pool in UNSTABLE_POOLS:
        port = UNSTABLE_PORTS[pool.name]
        services |= of_every_protocol(UNSTABLE[family], port, pool)
        services |= of_every_protocol(UNSTABLE[family], port + NEVER, pool, **never)
    by_source = {"affinity": Affinity.SOURCE_IP}
    services |= of_every_protocol(BY_SOURCE_CHANGED[family], 80, world.CHANGED, **by_source)
    services |= of(ALWAYS[family], {(UDP, 53): entry(world.ALWAYS, **always)})
    services |= of(ALWAYS[family], {(UDP, 54): entry(world.ALWAYS_DOWN, **always)})
    services |= of(ALWAYS[family], {(UDP, 55): entry(world.MOVED, **always)})
    return services


def all_services() -> Services:
    services: Services = {}
    for family in FAMILIES:
        for part in (matching, reaching, sized, choosing, remembering):
            services |= part(family)
    return services
