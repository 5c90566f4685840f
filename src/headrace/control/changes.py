"""What is worth telling between two states of the node. Pure."""

from collections.abc import Iterator, Mapping

from headrace.control.beliefs import DownSets, PoolHealth
from headrace.control.ground import reason_of
from headrace.control.journal import DrainChanged, HealthChanged
from headrace.model import Document, Health, IPAddress


def health_changes(
    before: Mapping[str, PoolHealth], after: Mapping[str, PoolHealth]
) -> Iterator[HealthChanged]:
    """Each endpoint of which something else is believed; one that is new is unknown at first."""
    for name, health in after.items():
        earlier = before.get(name, PoolHealth())
        if health is earlier:
            continue
        for address, belief in health.beliefs.items():
            if belief.health is not (earlier.health_of(address) or Health.UNKNOWN):
                yield HealthChanged(name, address, belief.health, reason_of(health, address))


def drain_changes(before: Document, after: Document) -> Iterator[DrainChanged]:
    """Each endpoint that begins to drain or serves again, and the node."""
    if before.node.drain != after.node.drain:
        yield DrainChanged(None, None, "draining" if after.node.drain else "active")
    earlier, later = _drains(before), _drains(after)
    for pool, address in sorted(later - earlier, key=str):
        yield DrainChanged(pool, address, "draining")
    pools = after.all_pools()
    for name, address in sorted(earlier - later, key=str):
        stays = name in pools and any(each.address == address for each in pools[name].endpoints)
        if stays:
            yield DrainChanged(name, address, "active")


def ended_drains(before: DownSets, after: DownSets) -> Iterator[DrainChanged]:
    """Each endpoint whose time to drain is over now."""
    for name, addresses in after.items():
        for address in sorted(addresses - before.get(name, frozenset()), key=str):
            yield DrainChanged(name, address, "drained")


def _drains(document: Document) -> set[tuple[str, IPAddress]]:
    return {(name, each.address) for name, each in document.all_pools().draining}
