"""What health has to say of each pool: whom it takes the flows from, and whether it is believed.

`judge` is pure. `Beliefs` adds what it needs of earlier: who was down before anything was known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from headrace.control.ports import Checker
from headrace.model import (
    Belief,
    Document,
    Encapsulation,
    Health,
    IPAddress,
    Pool,
    ProbePath,
    ProbeTarget,
    Service,
    WhenUnknown,
)

PoolTargets = Mapping[str, Mapping[IPAddress, ProbeTarget]]
DownSets = Mapping[str, frozenset[IPAddress]]  # by pool: the endpoints that get nothing


@dataclass(frozen=True, slots=True)
class PoolHealth:
    """What is believed of a pool's endpoints, and what follows from it."""

    beliefs: dict[IPAddress, Belief] = field(default_factory=dict)  # of those that are checked
    down: frozenset[IPAddress] = frozenset()  # that health takes the flows from
    unknown: WhenUnknown = WhenUnknown.KEEP
    fails_open: bool = False  # too many are down at once to be believed

    def health_of(self, address: IPAddress) -> Health | None:
        """What is believed of an endpoint; None of one that is not checked."""
        belief = self.beliefs.get(address)
        return None if belief is None else belief.health

    def is_healthy(self, address: IPAddress) -> bool:
        """Whether a VIP may be announced for this endpoint."""
        health = self.health_of(address)
        up_anyway = health is Health.UNKNOWN and self.unknown is WhenUnknown.UP
        return health in {None, Health.UP} or up_anyway

    def is_undecided(self, address: IPAddress) -> bool:
        """Whether an endpoint must neither begin nor end an announcement."""
        return self.health_of(address) is Health.UNKNOWN and self.unknown is WhenUnknown.KEEP


def targets_to_probe(document: Document) -> PoolTargets:
    """The endpoints to check, for each pool that is in use and is to be checked.

    A pool's probes go where the clients of its first service go. Who is disabled gets none.
    """
    first: dict[str, Service] = {}
    for service in sorted(document.services, key=lambda each: each.first_key):
        first.setdefault(service.pool_name, service)
    found = {}
    for name, service in first.items():
        pool = document.pool_of(service)
        check = document.check_of(pool)
        if check is not None:
            probe = check.probe
            vip, port = _vip_of(service), probe.port or service.ports[0]
            found[name] = {
                each.address: ProbeTarget(name, each.address, vip, port, probe, pool.encapsulation)
                for each in pool.endpoints
                if not each.disabled
            }
    return found


def tunnelled(
    targets: PoolTargets,
) -> tuple[frozenset[tuple[IPAddress, Encapsulation]], frozenset[IPAddress]]:
    """What the probes that take the way of clients' packets need: endpoints by way, and VIPs."""
    through = [
        target
        for pool in targets.values()
        for target in pool.values()
        if target.probe.path is ProbePath.TUNNEL
    ]
    return (
        frozenset((target.endpoint, target.encapsulation) for target in through),
        frozenset(target.vip for target in through),
    )


def judge(pool: Pool, beliefs: dict[IPAddress, Belief], kept: frozenset[IPAddress]) -> PoolHealth:
    """What follows from the beliefs of a pool's endpoints; `kept` were down before."""
    sick = {address for address, belief in beliefs.items() if belief.health is Health.DOWN}
    if len(sick) > pool.fail_open_above * len(beliefs):
        return PoolHealth(beliefs, unknown=pool.unknown, fails_open=True)
    unknown = {address for address, belief in beliefs.items() if belief.health is Health.UNKNOWN}
    match pool.unknown:
        case WhenUnknown.UP:
            held = frozenset[IPAddress]()
        case WhenUnknown.DOWN:
            held = frozenset(unknown)
        case WhenUnknown.KEEP:
            held = kept & unknown
    return PoolHealth(beliefs, frozenset(sick) | held, pool.unknown)


class Beliefs:
    """Has the checker ask about a document's endpoints, and judges the answers."""

    def __init__(self, checker: Checker, down: frozenset[IPAddress]) -> None:
        """`down` is whom the kernel sent nothing to before this daemon began."""
        self._checker = checker
        self._before = down
        self._pools: Mapping[str, Pool] = {}
        self._judged: dict[str, PoolHealth] = {}
        self._seen: dict[int, tuple[ProbeTarget, Belief]] = {}  # by id: to hash targets is slow

    def follow(self, document: Document, targets: PoolTargets) -> None:
        """Ask about these targets, which are those of this document."""
        pools = document.all_pools()
        down = {name: health.down for name, health in self._judged.items()}
        self._pools = {name: pools[name] for name in targets}
        self._checker.set_targets(
            frozenset(target for pool in targets.values() for target in pool.values())
        )
        self._seen = {}
        self._judged = {name: PoolHealth(down=down.get(name, self._before)) for name in targets}
        self._before = frozenset()

    def judge(self) -> Mapping[str, PoolHealth]:
        """What is believed now, of each pool that is checked; quick where little is new."""
        new: dict[str, dict[IPAddress, Belief]] = {}
        for target, belief in self._checker.beliefs.items():
            seen = self._seen.get(id(target))
            if seen is None or seen[1] is not belief:
                self._seen[id(target)] = target, belief
                new.setdefault(target.pool, {})[target.endpoint] = belief
        changed = {}
        for name, beliefs in new.items():
            if name in self._pools:
                before = self._judged[name]
                changed[name] = judge(self._pools[name], before.beliefs | beliefs, before.down)
        self._judged = self._judged | changed
        return self._judged


def disabled_sets(document: Document) -> DownSets:
    """By pool in use: whom the operator has get nothing."""
    return {
        name: frozenset(each.address for each in pool.endpoints if each.disabled)
        for name, pool in document.all_pools().items()
    }


def down_sets(disabled: DownSets, judged: Mapping[str, PoolHealth], over: DownSets) -> DownSets:
    """By pool in use: who gets nothing: disabled, down, or with their time to drain over."""
    nobody = frozenset[IPAddress]()
    return {
        name: others | (judged[name].down if name in judged else nobody) | over.get(name, nobody)
        for name, others in disabled.items()
    }


def _vip_of(service: Service) -> IPAddress:
    """The address that probes go to: the VIP, or the first behind a prefix's own address."""
    vip = service.vip
    return vip[1] if isinstance(vip, IPv4Network | IPv6Network) else vip
