"""What contradicts between the ways to check, the pools that use them, and the services."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from headrace.model.document import Service
from headrace.model.errors import Problem
from headrace.model.health import NO_HEALTH, HealthCheck, HealthChoice, misfits
from headrace.model.limits import LIMIT_PROBES, LIMIT_PROBES_PER_S
from headrace.model.parts import Parts, PoolPart
from headrace.model.places import Places
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
        yield from _check_choice((*pool.location, "health"), pool.health, parts)
        for location, endpoint in pool.endpoints:
            if endpoint.health is not None:
                yield from _check_choice((*location, "health"), endpoint.health, parts)
    yield from _check_ports(parts)
    yield from _check_counts(parts)


def _check_choice(where: Location, choice: HealthChoice, parts: Parts) -> Iterator[Problem]:
    if isinstance(choice, HealthCheck):
        yield from _check_misfits(where, choice)
    elif choice != NO_HEALTH and choice not in parts.checks:
        known = ", ".join(sorted(str(name) for name in parts.checks)) or "none"
        yield Problem(path_of(where), f"{choice!r} is not under health; there: {known}")


def _check_misfits(location: Location, check: HealthCheck) -> Iterator[Problem]:
    for key, message in misfits(check):
        yield Problem(path_of((*location, key)), message)


def _check_ports(parts: Parts) -> Iterator[Problem]:
    """Probes go to the ports of a pool's services unless the check names another."""
    for pool, services in _services_by_pool(parts):
        places = Places(services)
        for use in _uses_of(pool, parts):
            for service in places.services(use.check):
                if use.check.needs_port and service.port == "any":
                    yield Problem(
                        path_of(use.location),
                        f"{service.label} has no port of its own to send probes to; give the check "
                        "a port",
                    )


def _check_counts(parts: Parts) -> Iterator[Problem]:
    count, rate = 0, 0.0
    for pool, services in _services_by_pool(parts):
        places = Places(services)
        for use in _uses_of(pool, parts):
            each = len(places.asked(use.check))
            count += use.endpoints * each
            rate += use.rate * each
    if count > LIMIT_PROBES:
        yield Problem(
            "health",
            f"{count} endpoints at VIPs and ports to probe are over the limit of {LIMIT_PROBES}; "
            "give the checks a port, or the pools fewer services",
        )
    if rate > LIMIT_PROBES_PER_S:
        yield Problem(
            "health",
            f"{ceil(rate)} probes a second are over the limit of {LIMIT_PROBES_PER_S}; "
            "raise interval_s",
        )


@dataclass(slots=True)
class _Use:
    """Checks of a pool that ask at the same number of places."""

    location: Location  # where the first of them is chosen
    check: HealthCheck
    endpoints: int = 0
    rate: float = 0.0  # probes a second, at one place


def _uses_of(pool: PoolPart, parts: Parts) -> list[_Use]:
    found: dict[tuple[ProbeKind, bool], _Use] = {}
    for location, endpoint in pool.endpoints:
        check = parts.check_of(pool, endpoint)
        if check is not None and check.kind is not ProbeKind.NONE:
            chosen = pool.location if endpoint.health is None else location
            new = _Use((*chosen, "health"), check)
            use = found.setdefault((check.kind, check.needs_port), new)
            use.endpoints += 1
            use.rate += 1 / check.interval_s
    return list(found.values())


def _services_by_pool(parts: Parts) -> Iterator[tuple[PoolPart, list[Service]]]:
    """The pools that services use, each with those whose key could be read."""
    found: dict[Location, tuple[PoolPart, list[Service]]] = {}
    for part in parts.services:
        pool = parts.pool_of(part)
        if pool is not None and part.service is not None:
            found.setdefault(pool.location, (pool, []))[1].append(part.service)
    yield from found.values()
