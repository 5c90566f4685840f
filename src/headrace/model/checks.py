"""What contradicts between the parts of a document, told part by part."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from headrace.model.announcing import check_announcing
from headrace.model.checking import check_health
from headrace.model.errors import Problem
from headrace.model.limits import (
    LIMIT_ENDPOINTS_PER_NODE,
    LIMIT_POOLS,
    LIMIT_SERVER_IDS,
    LIMIT_SERVICES,
    LIMIT_SOURCES,
    LIMIT_VIP_PREFIXES,
)
from headrace.model.parts import Parts, PoolPart, ServicePart
from headrace.model.policies import check_policies
from headrace.model.problems import Location, path_of
from headrace.model.values import IPAddress

_PREFIXES_OF_OTHERS = 2
"""A list that only denies some has one more of each family, for all others."""

_Port = tuple[int, int, int]  # of one VIP and protocol: first, last, index of the service


def contradictions(parts: Parts) -> Iterator[Problem]:
    """Everything that contradicts between the parts."""
    yield from _check_counts(parts)
    yield from _check_ports(parts.services)
    for service in parts.services:
        yield from _check_pool_choice(service, parts)
    yield from check_policies(parts)
    yield from check_health(parts)
    yield from check_announcing(parts)
    for pool in parts.all_pools():
        yield from _check_endpoints(pool)
    yield from _check_tunnels(parts)


def _check_counts(parts: Parts) -> Iterator[Problem]:
    """Limits of what all parts need together; a document over a section's limit is told that."""
    if parts.is_whole and len(parts.services) > LIMIT_SERVICES:
        yield Problem(
            "services",
            f"{len(parts.services)} entries are over the limit of {LIMIT_SERVICES}; "
            "serve some from other nodes",
        )
    if parts.is_whole and len(parts.pools) > LIMIT_POOLS:
        yield Problem(
            "pools",
            f"{len(parts.pools)} entries are over the limit of {LIMIT_POOLS}; "
            "serve some from other nodes",
        )
    if len(parts.services) <= LIMIT_SERVICES:
        yield from _check_service_counts(parts)
    yield from _check_endpoint_counts(parts)


def _check_service_counts(parts: Parts) -> Iterator[Problem]:
    services = [part.service for part in parts.services if part.service is not None]
    pools = {repr(part.pool) for part in parts.services if part.pool is not None}
    owned = sum(part.pool is None and part.own is not None for part in parts.services)
    yield from _over(
        ("services", sum(len(service.ports) for service in services), LIMIT_SERVICES),
        "ports of all services",
        "use port any, or serve some from other nodes",
    )
    yield from _over(
        ("services", len(pools) + owned, LIMIT_POOLS),
        "pools of all services",
        "share some under pools, or serve some from other nodes",
    )
    prefixes = {s.vip for s in services if isinstance(s.vip, IPv4Network | IPv6Network)}
    yield from _over(
        ("services", len(prefixes), LIMIT_VIP_PREFIXES), "VIP prefixes", "join some into one"
    )
    lists = {(service.entry.sources, service.entry.denied_sources) for service in services}
    others = _PREFIXES_OF_OTHERS * sum(bool(denied and not allowed) for allowed, denied in lists)
    yield from _over(
        ("services", sum(len(each) for both in lists for each in both) + others, LIMIT_SOURCES),
        "source prefixes of all services",
        "join some into one",
    )


def _check_endpoint_counts(parts: Parts) -> Iterator[Problem]:
    reaches = {
        (endpoint.address, pool.encapsulation, pool.dscp)
        for pool in parts.all_pools()
        for _, endpoint in pool.endpoints
    }
    if len(reaches) > LIMIT_ENDPOINTS_PER_NODE:
        yield Problem(
            "pools",
            f"{len(reaches)} endpoints are over the {LIMIT_ENDPOINTS_PER_NODE} of one node; "
            "serve some VIPs from other nodes",
        )
    ids = sum(
        endpoint.server_id is not None
        for pool in parts.all_pools()
        for _, endpoint in pool.endpoints
    )
    yield from _over(("pools", ids, LIMIT_SERVER_IDS), "server ids", "serve some from other nodes")


def _over(counted: tuple[str, int, int], what: str, remedy: str) -> Iterator[Problem]:
    path, count, limit = counted
    if count > limit:
        yield Problem(path, f"{count} {what} are over the limit of {limit}; {remedy}")


def _check_ports(parts: Sequence[ServicePart]) -> Iterator[Problem]:
    """One service for each VIP, protocol and port."""
    found: defaultdict[Hashable, list[_Port]] = defaultdict(list)
    for index, part in enumerate(parts):
        if part.service is not None:
            ports = part.service.ports
            place = part.service.vip, part.service.protocol
            found[place].append((ports[0], ports[-1], index))
    clashes = [clash for ports in found.values() for clash in _clashes(sorted(ports))]
    for first, second in sorted(clashes, key=lambda clash: clash[::-1]):
        yield _clash(parts[first], parts[second])


def _clashes(ports: Iterable[_Port]) -> Iterator[tuple[int, int]]:
    """Indexes of services that share ports, the lower one first; each service at least once."""
    widest: _Port | None = None
    for each in ports:
        if widest is not None and each[0] <= widest[1]:
            yield min(widest[2], each[2]), max(widest[2], each[2])
        if widest is None or each[1] > widest[1]:
            widest = each


def _clash(first: ServicePart, second: ServicePart) -> Problem:
    assert first.service is not None and second.service is not None  # noqa: PT018, S101 - have keys
    path, other = path_of(second.location), path_of(first.location)
    label = second.service.label
    if label == first.service.label:
        return Problem(path, f"{label} is already {other}; keep one of them")
    return Problem(
        path, f"{label} has ports of {other}, {first.service.label}; leave them to one of the two"
    )


def _check_pool_choice(part: ServicePart, parts: Parts) -> Iterator[Problem]:
    path = path_of(part.location)
    label = None if part.service is None else part.service.label
    if (part.pool is None) != part.has_endpoints:
        yield Problem(path, "give either pool (a name) or endpoints (a list), not both or neither")
    elif part.pool is not None and part.pool not in parts.pools:
        known = ", ".join(sorted(str(name) for name in parts.pools)) or "none"
        yield Problem(f"{path}.pool", f"{part.pool!r} is not under pools; there: {known}")
    elif part.pool is None and label in parts.pools:
        yield Problem(
            path, f"its own pool would be called {label}, as one under pools; rename that"
        )


def _check_endpoints(pool: PoolPart) -> Iterator[Problem]:
    """An address is one endpoint of a pool, and so is a server id."""
    addresses: dict[IPAddress, Location] = {}
    ids: dict[int, Location] = {}
    for location, endpoint in pool.endpoints:
        first = addresses.setdefault(endpoint.address, location)
        if first != location:
            yield Problem(
                path_of((*location, "address")),
                f"{endpoint.address} is already {path_of(first)}; keep one of them",
            )
        if endpoint.server_id is not None:
            first = ids.setdefault(endpoint.server_id, location)
            if first != location:
                yield Problem(
                    path_of((*location, "server_id")),
                    f"{endpoint.server_id} is already that of {path_of(first)}; use another",
                )


def _check_tunnels(parts: Parts) -> Iterator[Problem]:
    seen: dict[IPAddress, Location] = {}
    for location, tunnel in parts.tunnels:
        path = path_of(location)
        first = seen.setdefault(tunnel.endpoint, location)
        if first != location:
            yield Problem(path, f"{tunnel.endpoint} already has {path_of(first)}; keep one of them")
        if tunnel.local.version != tunnel.remote.version:
            yield Problem(path, "local and remote are of different families; use one family")
