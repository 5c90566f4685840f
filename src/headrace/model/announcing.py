"""What contradicts between the services of one VIP, or in one, about how it is announced."""

from collections.abc import Iterator

from headrace.model.document import Service
from headrace.model.errors import Problem
from headrace.model.parts import Parts, ServicePart
from headrace.model.problems import Location, path_of
from headrace.model.values import IPNetwork

ROUTE_KEYS = ("hold_down_s", "med", "communities", "prepend", "local_pref")
"""What a route has once, so that all services that announce it must say the same."""


def check_announcing(parts: Parts) -> Iterator[Problem]:
    """Every contradiction about a route."""
    first: dict[IPNetwork, tuple[Location, Service]] = {}
    for part in parts.services:
        if part.service is None or not part.service.announce:
            continue
        yield from _check_enough(part, part.service, parts)
        location, other = first.setdefault(part.service.prefix, (part.location, part.service))
        for key in ROUTE_KEYS:
            mine, theirs = getattr(part.service, key), getattr(other, key)
            if mine != theirs:
                yield Problem(
                    path_of((*part.location, key)),
                    f"{_said(mine)} for the route of VIP {part.service.vip}, but "
                    f"{path_of(location)} says {_said(theirs)}; say the same in both",
                )


def _check_enough(part: ServicePart, service: Service, parts: Parts) -> Iterator[Problem]:
    """A VIP that needs more endpoints than its pool has would never be announced."""
    pool = parts.pool_of(part)
    least = service.min_healthy
    if pool is not None and parts.is_whole and isinstance(least, int):
        count = len(pool.endpoints)
        if least > count:
            yield Problem(
                path_of((*part.location, "min_healthy")),
                f"{least} is more than the {count} endpoints of its pool; use at most {count}",
            )


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)
