"""What contradicts between a service's policy, its VIP, its protocol and its pool."""

from collections.abc import Iterator, Sequence

from headrace.model.document import Service
from headrace.model.errors import Problem
from headrace.model.parts import Parts, PoolPart, ServicePart
from headrace.model.problems import Location, path_of
from headrace.model.values import (
    Encapsulation,
    FlowTable,
    IPAddress,
    IPNetwork,
    Protocol,
    Unserved,
)

_KEYS_OF_POOLS = ("encapsulation", "dscp", "health", "fail_open_above", "unknown")


def check_policies(parts: Parts) -> Iterator[Problem]:
    """Every contradiction of a service with itself, its pool, or another service of its VIP."""
    for part in parts.services:
        if part.service is not None:
            yield from _check_udp_only(part.location, part.service)
            yield from _check_sources(part.location, part.service)
            yield from _check_pools_own(part.location, part.service)
            yield from _check_l2_family(part, part.service, parts.pool_of(part))
    for pool in parts.all_pools():
        yield from _check_l2_dscp(pool)
    yield from _check_server_ids(parts)
    yield from _check_unserved(parts.services)


def _check_udp_only(location: Location, service: Service) -> Iterator[Problem]:
    if service.protocol is Protocol.UDP:
        return
    if service.quic:
        yield Problem(
            path_of((*location, "quic")), f"QUIC is over udp, not {service.protocol}; leave it out"
        )
    if service.flow_table is FlowTable.ALWAYS:
        yield Problem(
            path_of((*location, "flow_table")),
            f"always is for udp, not {service.protocol}; use unstable, which keeps its flows",
        )


def _check_sources(location: Location, service: Service) -> Iterator[Problem]:
    seen: dict[IPNetwork, str] = {}
    listed = [("sources", *each) for each in enumerate(service.sources)]
    listed += [("denied_sources", *each) for each in enumerate(service.denied_sources)]
    for key, index, source in listed:
        path = path_of((*location, key, index))
        known = seen.setdefault(source, path)
        if known != path:
            yield Problem(path, f"{source} is already {known}; keep one of them")
        if source.version != service.vip.version:
            yield Problem(
                path,
                f"{source} is no client of VIP {service.vip}; give IPv{service.vip.version} ones",
            )


def _check_pools_own(location: Location, service: Service) -> Iterator[Problem]:
    """How endpoints are reached is said once, where they are listed."""
    if service.pool is None:
        return
    for key in _KEYS_OF_POOLS:
        if getattr(service, key) is not None:
            where = path_of(("pools", service.pool, key))
            yield Problem(
                path_of((*location, key)), f"the pool says it for all its services; set {where}"
            )


def _check_l2_family(
    part: ServicePart, service: Service, pool: PoolPart | None
) -> Iterator[Problem]:
    """What is sent on as it is can be resolved only as a neighbour of its own family."""
    if pool is None or pool.encapsulation is not Encapsulation.L2:
        return
    for location, endpoint in pool.endpoints:
        if endpoint.address.version != service.vip.version:
            where = (*location, "address") if part.pool is None else (*part.location, "pool")
            yield Problem(
                path_of(where),
                f"{endpoint.address} is not of the family of VIP {service.vip}, as l2 needs it; "
                "use ipip or gue",
            )


def _check_l2_dscp(pool: PoolPart) -> Iterator[Problem]:
    if pool.encapsulation is Encapsulation.L2 and pool.dscp != "copy":
        yield Problem(
            path_of((*pool.location, "dscp")), "l2 has no outer header to put it in; leave it out"
        )


def _check_server_ids(parts: Parts) -> Iterator[Problem]:
    """A server id that no service asks for is a service that lacks its key."""
    served = [(parts.pool_of(part), part.service) for part in parts.services]
    routed = {pool.location for pool, service in served if pool and (not service or service.quic)}
    plain = {pool.location for pool, service in served if pool} - routed
    for pool in parts.all_pools():
        for location, endpoint in pool.endpoints:
            if pool.location in plain and endpoint.server_id is not None:
                yield Problem(
                    path_of((*location, "server_id")),
                    "none of its services routes by it; set quic: true there, or leave it out",
                )


def _check_unserved(parts: Sequence[ServicePart]) -> Iterator[Problem]:
    first: dict[IPAddress | IPNetwork, tuple[Location, Unserved]] = {}
    for part in parts:
        if part.service is None:
            continue
        vip, unserved = part.service.vip, part.service.unserved
        location, other = first.setdefault(vip, (part.location, unserved))
        if other is not unserved:
            yield Problem(
                path_of((*part.location, "unserved")),
                f"{unserved} for VIP {vip}, but {path_of(location)} says {other}; "
                "say the same in all its services",
            )
