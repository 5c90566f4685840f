"""Whether a changed document is sound, by a look at what the change touches.

Parts that two documents share are the same objects. A part that was checked before contradicts
another only if that one, or one between them, is new.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from headrace.model.checks import contradictions
from headrace.model.document import Document, Node, Pool, Service
from headrace.model.limits import (
    LIMIT_ENDPOINTS_PER_NODE,
    LIMIT_POOLS,
    LIMIT_PROBES,
    LIMIT_PROBES_PER_S,
    LIMIT_SERVER_IDS,
    LIMIT_SERVICES,
    LIMIT_SOURCES,
    LIMIT_VIP_PREFIXES,
)
from headrace.model.parts import parts_of

_OTHERS = 2  # prefixes for all others that a list of clients may have besides those told


def is_sound_change(checked: Document, document: Document) -> bool:
    """Whether this one is certainly as sound as the one that was checked.

    False says nothing: the whole document has to be looked at.
    """
    if document.health != checked.health or document.node.tunnels is not checked.node.tunnels:
        return False
    came, gone = _apart(checked, document)
    touched = _touched(checked, document, came, gone)
    if touched is None or any(contradictions(parts_of(touched))):
        return False
    return _fits(document, _needs_after(checked, document, came, gone))


def _apart(before: Document, after: Document) -> tuple[list[Service], list[Service]]:
    """The services that only one of two documents has: those that came, and those that are gone."""
    old, new = set(map(id, before.services)), set(map(id, after.services))
    came, gone = new - old, old - new
    return (
        [service for service in after.services if id(service) in came] if came else [],
        [service for service in before.services if id(service) in gone] if gone else [],
    )


def _touched(
    before: Document, after: Document, came: list[Service], gone: list[Service]
) -> Document | None:
    """What of a document may contradict: what is new, and what shares a VIP or a pool with it.

    None where a service names a pool that is not there.
    """
    pools = {service.pool_name for service in (*came, *gone)}
    pools |= _changed_names(before.pools, after.pools)
    # To compare texts is much faster than to hash addresses.
    vips = tuple({service.label.rpartition(":")[0] + ":" for service in came})
    services = [
        s for s in after.services if (s.pool or s.label) in pools or s.label.startswith(vips)
    ]
    named = {service.pool for service in services if service.pool is not None}
    if not named <= after.pools.keys():
        return None
    kept = {name: pool for name, pool in after.pools.items() if name in pools or name in named}
    return Document.model_construct(
        services=tuple(services), pools=kept, health=after.health, node=Node()
    )


def _changed_names(before: dict[str, Pool], after: dict[str, Pool]) -> set[str]:
    if before is after:
        return set()
    changed = {name for name, pool in after.items() if before.get(name) is not pool}
    return changed | (before.keys() - after.keys())


class _Needs(NamedTuple):
    """What services need of a node if nothing is shared; of one, or of all together."""

    ports: int = 0
    vip_prefixes: int = 0
    sources: int = 0
    own_endpoints: int = 0
    probes: int = 0
    probes_per_s: float = 0.0

    def plus(self, other: "_Needs", times: int = 1) -> "_Needs":
        return _Needs(
            self.ports + times * other.ports,
            self.vip_prefixes + times * other.vip_prefixes,
            self.sources + times * other.sources,
            self.own_endpoints + times * other.own_endpoints,
            self.probes + times * other.probes,
            self.probes_per_s + times * other.probes_per_s,
        )


_NEEDS = "_needs"  # what is noted of a document


def _needs_after(
    before: Document, after: Document, came: list[Service], gone: list[Service]
) -> _Needs:
    """What the services of a document need, from what those of the one before did."""
    noted: _Needs | None = before.__dict__.get(_NEEDS)
    if noted is None or before.pools is not after.pools:
        noted, came, gone = _Needs(), list(after.services), []
    pools = {service.pool_name: after.pool_of(service) for service in (*came, *gone)}
    asked = {name: _asked(after, pool) for name, pool in pools.items()}
    for services, times in ((came, 1), (gone, -1)):
        for service in services:
            noted = noted.plus(_needs_of(service, *asked[service.pool_name]), times)
    after.__dict__[_NEEDS] = noted
    return noted


def _needs_of(service: Service, probes: int, probes_per_s: float) -> _Needs:
    sources = len(service.sources) + len(service.denied_sources)
    return _Needs(
        ports=len(service.ports),
        vip_prefixes=int(isinstance(service.vip, IPv4Network | IPv6Network)),
        sources=sources + _OTHERS if sources else 0,
        own_endpoints=len(service.endpoints or ()),
        probes=probes,
        probes_per_s=probes_per_s,
    )


def _fits(document: Document, needs: _Needs) -> bool:
    """Whether a document is within all limits even if nothing in it is shared."""
    endpoints = needs.own_endpoints + sum(len(pool.endpoints) for pool in document.pools.values())
    return (
        len(document.pools) <= LIMIT_POOLS
        and len(document.all_pools()) <= LIMIT_POOLS
        and needs.ports <= LIMIT_SERVICES
        and needs.vip_prefixes <= LIMIT_VIP_PREFIXES
        and needs.sources <= LIMIT_SOURCES
        and endpoints <= min(LIMIT_ENDPOINTS_PER_NODE, LIMIT_SERVER_IDS)
        and needs.probes <= LIMIT_PROBES
        and needs.probes_per_s <= LIMIT_PROBES_PER_S
    )


def _asked(document: Document, pool: Pool) -> tuple[int, float]:
    """How many endpoints of a pool are asked, and how often in a second, at one place.

    No endpoint is asked at more places than its pool has services.
    """
    own = [document.check_of(pool, endpoint) for endpoint in pool.particular]
    checks = [check for check in own if check is not None]
    count, rate = len(checks), sum(1 / check.interval_s for check in checks)
    usual = document.check_of(pool)
    if usual is not None:
        others = len(pool.endpoints) - len(own)
        count, rate = count + others, rate + others / usual.interval_s
    return count, rate
