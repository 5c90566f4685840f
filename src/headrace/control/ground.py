"""What announcements stand on: what is forwarded, who is reached, and who is healthy. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import NamedTuple

from headrace.control.announce import Strength, Wish, wish_of
from headrace.control.beliefs import DownSets, PoolHealth
from headrace.control.desired import Desired, Paths
from headrace.control.kept import Kept
from headrace.model import (
    Document,
    Endpoint,
    Forwarding,
    Health,
    IPAddress,
    IPNetwork,
    Path,
    Pool,
    Target,
    Unresolved,
)

_UNCHECKED = PoolHealth()
_NOBODY = frozenset[IPAddress]()


@dataclass(frozen=True, slots=True)
class Ground:
    """A document, and how far the data plane follows it."""

    document: Document = field(default_factory=Document)
    paths: Paths = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()  # labels of services that were read back as desired
    attached: bool = False  # VIP packets can come in at all


@dataclass(frozen=True, slots=True)
class View:
    """What is believed of the endpoints, and whose time to drain is over."""

    judged: Mapping[str, PoolHealth] = field(default_factory=dict)
    over: DownSets = field(default_factory=dict)


def fresh_services(document: Document, desired: Desired, actual: Forwarding) -> frozenset[str]:
    """The services that the kernel forwards by the very tables that are desired, by label."""
    return frozenset(
        service.label
        for service in document.services
        if (pool := desired.pools.get(service.pool_name)) is not None
        and actual.pools.get(service.pool_name) == pool.stamp
        and all(actual.services.get(key) == service.entry for key in service.keys)
    )


def all_services(document: Document) -> frozenset[str]:
    """The labels of all services, for a ground that will be once it is read back."""
    return document.labels


def strength_of(pool_name: str, pool: Pool, ground: Ground, view: View) -> Strength:
    """How many of a pool's endpoints take new flows and serve.

    Those that drain count where no other is left, as the lookup table has it.
    """
    health = view.judged.get(pool_name, _UNCHECKED)
    over = view.over.get(pool_name, frozenset())
    left = [e for e in pool.endpoints if not e.disabled and e.address not in over]
    counted = [e for e in left if not e.drained] or left
    reached = [e for e in counted if isinstance(_path(e, pool, ground), Path)]
    healthy = sum(health.is_healthy(e.address) for e in reached)
    undecided = sum(health.is_undecided(e.address) for e in reached)
    why = next(_faults(counted, pool, ground, health), "")
    return Strength(healthy, undecided, len(counted), why)


class Strengths:
    """How strong each pool is, counted anew where something else is known of it."""

    def __init__(self) -> None:
        self._known: dict[str, _Counted] = {}
        self._wishes = Kept[dict[IPNetwork, Wish]]()

    def of(self, name: str, pool: Pool, ground: Ground, view: View) -> Strength:
        """What `strength_of` says."""
        health, over = view.judged.get(name, _UNCHECKED), view.over.get(name, _NOBODY)
        known = self._known.get(name)
        if (
            known is None
            or known.pool is not pool
            or known.health is not health
            or known.over != over
        ):
            known = None
        elif known.paths is ground.paths:
            return known.strength
        ways = tuple(ground.paths.get(target) for target in pool.targets)
        strength = (
            strength_of(name, pool, ground, view)
            if known is None or not all(map(is_, known.ways, ways))
            else known.strength
        )
        self._known[name] = _Counted(pool, health, over, ground.paths, ways, strength)
        return strength

    def wishes(self, ground: Ground, view: View) -> dict[IPNetwork, Wish]:
        """What `wishes_of` says; the same object while it stands on the same ground."""
        pools = ground.document.all_pools()
        strong = {name: self.of(name, pool, ground, view) for name, pool in pools.items()}
        basis = ground.document, ground.fresh, ground.attached, *strong.values()
        return self._wishes.of("all", basis, lambda: _wishes(ground, strong))


class _Counted(NamedTuple):
    """A pool's strength, and what it follows from."""

    pool: Pool
    health: PoolHealth
    over: frozenset[IPAddress]
    paths: Paths
    ways: tuple[Path | Unresolved | None, ...]  # of the pool's endpoints
    strength: Strength


def wishes_of(ground: Ground, view: View) -> dict[IPNetwork, Wish]:
    """What is wished of every prefix that is to be announced."""
    return Strengths().wishes(ground, view)


def _wishes(ground: Ground, strong: Mapping[str, Strength]) -> dict[IPNetwork, Wish]:
    found: dict[IPNetwork, Wish] = {}
    if ground.document.bgp is None:
        return found
    judged: dict[tuple[str, int | str], Wish] = {}  # few are asked the same, of few pools
    for service in ground.document.services:
        if not service.announce:
            continue
        wish = Wish.WITHDRAW
        if ground.attached and service.label in ground.fresh:
            asked = service.pool_name, service.min_healthy
            if asked not in judged:
                judged[asked] = strong[service.pool_name].wish(service.min_healthy)
            wish = judged[asked]
        other = found.setdefault(service.prefix, wish)
        if other is not wish:
            found[service.prefix] = wish_of((other, wish))
    return found


def _path(endpoint: Endpoint, pool: Pool, ground: Ground) -> Path | Unresolved:
    target = Target(endpoint.address, pool.encapsulation)
    return ground.paths.get(target, Unresolved("not looked up yet"))


def _faults(
    endpoints: list[Endpoint], pool: Pool, ground: Ground, health: PoolHealth
) -> Iterator[str]:
    """What is wrong with each endpoint that does not serve."""
    for each in endpoints:
        path = _path(each, pool, ground)
        if isinstance(path, Unresolved):
            yield f"{each.address}: {path.reason}"
        elif health.health_of(each.address) is Health.DOWN:
            yield f"{each.address}: {reason_of(health, each.address)}"


def reason_of(health: PoolHealth, address: IPAddress) -> str:
    """The last result of an endpoint's probes, in words."""
    belief = health.beliefs.get(address)
    if belief is None:
        return ""
    return belief.reason or ("not asked yet" if belief.health is Health.UNKNOWN else "")
