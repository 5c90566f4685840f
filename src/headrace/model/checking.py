"""What contradicts between the ways to check, the pools that use them, and the services."""

from collections.abc import Iterator
from math import ceil

from headrace.model.document import Service
from headrace.model.errors import Problem
from headrace.model.health import NO_HEALTH, HealthCheck, misfits
from headrace.model.limits import LIMIT_PROBES_PER_S
from headrace.model.parts import Parts, PoolPart
from headrace.model.probes import ProbeKind
from headrace.model.problems import Location, path_of


def check_health(parts: Parts) -> Iterator[Problem]:
    """Every contradiction of a check with itself, its pool, or the services of that."""
    if NO_HEALTH in parts.checks:
        yield Problem(path_of(("health", NO_HEALTH)), "none means no check at all; rename it")
    for name, check in parts.checks.items():
        if check is not None:
            yield from _check_misfits(("health", str(name)), check)
    for pool in parts.all_pools():
        where = (*pool.location, "health")
        if isinstance(pool.health, HealthCheck):
            yield from _check_misfits(where, pool.health)
        elif pool.health != NO_HEALTH and pool.health not in parts.checks:
            known = ", ".join(sorted(str(name) for name in parts.checks)) or "none"
            yield Problem(path_of(where), f"{pool.health!r} is not under health; there: {known}")
    yield from _check_ports(parts)
    yield from _check_rate(parts)


def _check_misfits(location: Location, check: HealthCheck) -> Iterator[Problem]:
    for key, message in misfits(check):
        yield Problem(path_of((*location, key)), message)


def _check_ports(parts: Parts) -> Iterator[Problem]:
    """Probes go to the port of a pool's first service unless the check names another."""
    for pool, services in _services_by_pool(parts):
        check = parts.check_of(pool)
        first = min(services, key=lambda service: service.first_key)
        if check is not None and check.needs_port and first.port == "any":
            yield Problem(
                path_of((*pool.location, "health")),
                f"{first.label} has no port of its own to send probes to; give the check a port",
            )


def _check_rate(parts: Parts) -> Iterator[Problem]:
    rate = 0.0
    for pool, _ in _services_by_pool(parts):
        check = parts.check_of(pool)
        if check is not None and check.kind is not ProbeKind.NONE:
            rate += len(pool.endpoints) / check.interval_s
    if rate > LIMIT_PROBES_PER_S:
        yield Problem(
            "health",
            f"{ceil(rate)} probes a second are over the limit of {LIMIT_PROBES_PER_S}; "
            "raise interval_s",
        )


def _services_by_pool(parts: Parts) -> Iterator[tuple[PoolPart, list[Service]]]:
    """The pools that services use, each with those whose key could be read."""
    found: dict[Location, tuple[PoolPart, list[Service]]] = {}
    for part in parts.services:
        pool = parts.pool_of(part)
        if pool is not None and part.service is not None:
            found.setdefault(pool.location, (pool, []))[1].append(part.service)
    yield from found.values()
