"""Whether a changed document is sound, by a look at what the change touches.

Parts that two documents share are the same objects. A part that was checked before contradicts
another only if that one, or one between them, is new.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

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
    touched = _touched(checked, document)
    if touched is None or any(contradictions(parts_of(touched))):
        return False
    return _fits(document)


def _touched(before: Document, after: Document) -> Document | None:
    """What of a document may contradict: what is new, and what shares a VIP or a pool with it.

    None where a service names a pool that is not there.
    """
    old, new = {id(s) for s in before.services}, {id(s) for s in after.services}
    came = [service for service in after.services if id(service) not in old]
    gone = [service for service in before.services if id(service) not in new]
    pools = {service.pool_name for service in (*came, *gone)}
    pools |= _changed_names(before.pools, after.pools)
    vips = {service.vip for service in came}
    services = [s for s in after.services if s.pool_name in pools or s.vip in vips]
    named = {service.pool for service in services if service.pool is not None}
    if not named <= after.pools.keys():
        return None
    kept = {name: pool for name, pool in after.pools.items() if name in pools or name in named}
    return Document.model_construct(
        services=tuple(services), pools=kept, health=after.health, node=Node()
    )


def _changed_names(before: dict[str, Pool], after: dict[str, Pool]) -> set[str]:
    changed = {name for name, pool in after.items() if before.get(name) is not pool}
    return changed | (before.keys() - after.keys())


def _fits(document: Document) -> bool:
    """Whether a document is within all limits even if nothing in it is shared."""
    services = document.services
    shared, own = document.pools.values(), [s.own_pool for s in services if s.own_pool is not None]
    endpoints = sum(len(pool.endpoints) for pool in (*shared, *own))
    sources = [len(s.sources) + len(s.denied_sources) for s in services]
    return (
        len(document.pools) <= LIMIT_POOLS
        and len(document.all_pools()) <= LIMIT_POOLS
        and sum(len(service.ports) for service in services) <= LIMIT_SERVICES
        and sum(isinstance(s.vip, IPv4Network | IPv6Network) for s in services)
        <= LIMIT_VIP_PREFIXES
        and sum(count + _OTHERS for count in sources if count) <= LIMIT_SOURCES
        and endpoints <= min(LIMIT_ENDPOINTS_PER_NODE, LIMIT_SERVER_IDS)
        and _probes_fit(document, services)
    )


def _probes_fit(document: Document, services: Iterable[Service]) -> bool:
    """The same of probes: no endpoint is asked at more places than its pool has services."""
    asked = {name: _asked(document, pool) for name, pool in document.all_pools().items()}
    everywhere = [asked[service.pool_name] for service in services]
    return (
        sum(count for count, _ in everywhere) <= LIMIT_PROBES
        and sum(rate for _, rate in everywhere) <= LIMIT_PROBES_PER_S
    )


def _asked(document: Document, pool: Pool) -> tuple[int, float]:
    """How many endpoints of a pool are asked, and how often in a second, at one place."""
    own = [document.check_of(pool, endpoint) for endpoint in pool.particular]
    checks = [check for check in own if check is not None]
    count, rate = len(checks), sum(1 / check.interval_s for check in checks)
    usual = document.check_of(pool)
    if usual is not None:
        others = len(pool.endpoints) - len(own)
        count, rate = count + others, rate + others / usual.interval_s
    return count, rate
