"""What health has to say of each pool: whom it takes the flows from, and whether it is believed.

`judge` is pure. `Beliefs` adds what it needs of earlier: who was down before anything was known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from headrace.control.kept import Kept
from headrace.control.ports import Checker
from headrace.model import (
    Belief,
    Document,
    Encapsulation,
    Health,
    IPAddress,
    Place,
    Places,
    Pool,
    Probe,
    ProbePath,
    ProbeTarget,
    Service,
    WhenUnknown,
)
from headrace.model.health import NO_HEALTH

Targets = Mapping[IPAddress, tuple[ProbeTarget, ...]]  # by endpoint, at each place it is asked
PoolTargets = Mapping[str, Targets]
Tunnelled = tuple[frozenset[tuple[IPAddress, Encapsulation]], frozenset[IPAddress]]
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


def targets_to_probe(document: Document, kept: Kept[Targets] | None = None) -> PoolTargets:
    """How the endpoints of each pool in use are asked, if they are to be checked.

    Each is asked at every VIP and port that the pool's services promise. Who is disabled is not.
    Those of a pool are the same object while it and its services are.
    """
    kept = kept or Kept[Targets]()
    services: dict[str, list[Service]] = {
        name: []
        for name, pool in document.all_pools().items()
        if pool.health != NO_HEALTH or pool.particular
    }
    if not services:
        return {}
    for service in document.services:
        if (name := service.pool_name) in services:
            services[name].append(service)
    found = {}
    for name, each in services.items():
        basis = document.pool_of(each[0]), document.health, *each
        found[name] = kept.of(name, basis, partial(_targets_of, name, document, each))
    kept.keep(found)
    return {name: targets for name, targets in found.items() if targets}


def _targets_of(name: str, document: Document, services: list[Service]) -> Targets:
    pool, places = document.pool_of(services[0]), Places(services)
    probes: dict[int, Probe] = {}  # by id of the check: few checks serve many endpoints
    found = {}
    for endpoint in pool.endpoints:
        check = document.check_of(pool, endpoint)
        if check is not None and not endpoint.disabled:
            if id(check) not in probes:
                probes[id(check)] = check.probe
            probe = probes[id(check)]
            found[endpoint.address] = tuple(
                ProbeTarget(name, endpoint.address, vip, port, probe, pool.encapsulation)
                for vip, port in places.asked(check)
            )
    return found


def tunnelled(targets: PoolTargets, kept: Kept[Tunnelled] | None = None) -> Tunnelled:
    """What the probes that take the way of clients' packets need: endpoints by way, and VIPs."""
    kept = kept or Kept[Tunnelled]()
    parts = [
        kept.of(name, (each,), partial(_tunnelled, {name: each})) for name, each in targets.items()
    ]
    kept.keep(targets)
    ways = frozenset[tuple[IPAddress, Encapsulation]]().union(*(ways for ways, _ in parts))
    return ways, frozenset[IPAddress]().union(*(vips for _, vips in parts))


def _tunnelled(targets: PoolTargets) -> Tunnelled:
    through = [each for each in every(targets) if each.probe.path is ProbePath.TUNNEL]
    return (
        frozenset((target.endpoint, target.encapsulation) for target in through),
        frozenset(target.vip for target in through),
    )


def every(targets: PoolTargets) -> Iterator[ProbeTarget]:
    """All targets of all pools."""
    for pool in targets.values():
        for at_places in pool.values():
            yield from at_places


def worst(answers: Mapping[Place, Belief]) -> Belief:
    """What is believed of an endpoint that is asked at several places: down, unknown, then up.

    It is what it is since it became so at the first place that makes it so; up, at the last.
    """
    for health in (Health.DOWN, Health.UNKNOWN):
        at = {place: each for place, each in answers.items() if each.health is health}
        if at:
            place, first = min(at.items(), key=lambda each: each[1].since_s)
            if len(answers) == 1:
                return first
            others = f" and {len(at) - 1} more" if len(at) > 1 else ""
            return replace(first, reason=f"{_shown(place)}{others}: {first.reason}")
    return max(answers.values(), key=lambda each: each.since_s)


def judge(pool: Pool, beliefs: dict[IPAddress, Belief], kept: frozenset[IPAddress]) -> PoolHealth:
    """What follows from the beliefs of a pool's endpoints; `kept` were down before."""
    sick = {address for address, belief in beliefs.items() if belief.health is Health.DOWN}
    count = sum(not endpoint.disabled for endpoint in pool.endpoints)
    if len(sick) > pool.fail_open_above * count:
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
        self._targets: dict[str, Targets] = {}  # by pool, of the document that is followed
        self._asked: frozenset[ProbeTarget] = frozenset()  # all of them
        self._judged: dict[str, PoolHealth] = {}
        self._seen: dict[str, dict[int, tuple[ProbeTarget, Belief]]] = {}
        """By pool, then by id: to hash targets is slow."""
        self._answers: dict[str, dict[IPAddress, dict[Place, Belief]]] = {}  # by pool and endpoint

    def follow(self, document: Document, targets: PoolTargets) -> None:
        """Ask about these targets, which are those of this document."""
        pools = document.all_pools()
        self._pools = {name: pools[name] for name in targets}
        earlier, self._targets = self._targets, dict(targets)
        new = {name: each for name, each in targets.items() if earlier.get(name) is not each}
        old = {name: each for name, each in earlier.items() if targets.get(name) is not each}
        before, self._before = self._before, frozenset()
        if not new and not old:
            return
        gone = frozenset(every(old))
        self._asked = (self._asked - gone) | frozenset(every(new))
        self._checker.set_targets(self._asked)
        for name in (*old, *new):
            self._seen.pop(name, None)
        down = {name: health.down for name, health in self._judged.items()}
        asked: dict[str, dict[IPAddress, dict[Place, Belief]]] = {
            name: {address: {} for address in each} for name, each in new.items()
        }
        self._answers = {name: asked.get(name) or self._answers[name] for name in targets}
        fresh = {name: PoolHealth(down=down.get(name, before)) for name in new}
        self._judged = {name: fresh.get(name) or self._judged[name] for name in targets}

    def judge(self) -> Mapping[str, PoolHealth]:
        """What is believed now, of each pool that is checked; quick where little is new."""
        new: dict[str, set[IPAddress]] = {}
        for target, belief in self._checker.beliefs.items():
            at_pool = self._seen.setdefault(target.pool, {})
            seen = at_pool.get(id(target))
            if seen is None or seen[1] is not belief:
                at_pool[id(target)] = target, belief
                self._answers[target.pool][target.endpoint][target.vip, target.port] = belief
                new.setdefault(target.pool, set()).add(target.endpoint)
        changed = {}
        for name, addresses in new.items():
            before, answers = self._judged[name], self._answers[name]
            beliefs = before.beliefs | {each: worst(answers[each]) for each in addresses}
            changed[name] = judge(self._pools[name], beliefs, before.down)
        if changed:  # else the same object tells that nothing is new
            self._judged = self._judged | changed
        return self._judged


def disabled_sets(document: Document) -> DownSets:
    """By pool in use: whom the operator has get nothing."""
    return document.all_pools().disabled


def down_sets(disabled: DownSets, judged: Mapping[str, PoolHealth], over: DownSets) -> DownSets:
    """By pool in use: who gets nothing: disabled, down, or with their time to drain over."""
    nobody = frozenset[IPAddress]()
    return {
        name: others | (judged[name].down if name in judged else nobody) | over.get(name, nobody)
        for name, others in disabled.items()
    }


def _shown(place: Place) -> str:
    """192.0.2.1:80, or the VIP alone where no port is asked."""
    vip, port = place
    if not port:
        return str(vip)
    return f"[{vip}]:{port}" if vip.version == 6 else f"{vip}:{port}"
