"""One look at the kernel that answers how a set of endpoints is reached. Blocks: for a thread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.model import IPAddress, OuterSources, Path, Target, Tunnel, Unresolved
from headrace.model.limits import LIMIT_NEXT_HOPS
from headrace.underlay.changes import Destinations, Interest
from headrace.underlay.kernel import Kernel
from headrace.underlay.memory import KnownMac, remember
from headrace.underlay.outer import Outer, outer_header
from headrace.underlay.paths import find_path, wanted_fdb, wanted_neighbours
from headrace.underlay.snapshot import Link, Neighbour, NeighbourKey, Snapshot

_TOO_MANY = (
    f"needs one more next hop than the {LIMIT_NEXT_HOPS} that a node keeps; "
    "reach endpoints through routers, or spread them over nodes"
)


@dataclass(frozen=True, slots=True)
class Question:
    """Which endpoints to reach and how, and what the document says of the way."""

    targets: tuple[Target, ...]
    tunnels: Mapping[IPAddress, Tunnel]
    sources: OuterSources


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a survey leaves to the next one and to the watch."""

    wanted: tuple[NeighbourKey, ...] = ()  # kept resolved for the answers given
    macs: Mapping[NeighbourKey, KnownMac] = field(default_factory=dict)
    interest: Interest = field(default_factory=Interest)
    memory: "Memory | None" = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the routes say: enough to look for the neighbours, and to look for them again."""

    links: Mapping[int, Link]
    outers: Mapping[Target, Outer | Unresolved]
    wanted: tuple[NeighbourKey, ...]
    destinations: Destinations


@dataclass(frozen=True, slots=True)
class Memory:
    """The last answers, while nothing that they were made from has changed."""

    question: Question
    plan: Plan
    answers: Mapping[Target, Path | Unresolved]
    taken_s: float

    def is_of(self, question: Question) -> bool:
        """Whether these are the answers to this question."""
        same = question.targets == self.question.targets
        same = same or set(question.targets) == self.answers.keys()
        return same and bool(self.outers(question))

    def outers(self, question: Question) -> Mapping[Target, Outer | Unresolved]:
        """The headers that hold for another question, too."""
        before = self.question
        same = (before.tunnels, before.sources) == (question.tunnels, question.sources)
        return self.plan.outers if same else {}


@dataclass(frozen=True, slots=True)
class Survey:
    """The answers, and what they were made from."""

    answers: dict[Target, Path | Unresolved]
    asked: tuple[NeighbourKey, ...]  # neighbours that were asked for the first time now
    plan: Plan
    knowledge: Knowledge


def take_survey(kernel: Kernel, question: Question, before: Knowledge, now: float) -> Survey:
    """Answer a question; neighbours that it needs are kept resolved, others released."""
    links = kernel.links()
    routes = kernel.routes()
    memory = before.memory
    if memory is not None and memory.plan.links != links:
        memory = None  # headers name links; the watch has yet to hear of what befell these
    known = {} if memory is None else memory.outers(question)
    headers: dict[Target, Outer | Unresolved] = {}
    for target in question.targets:
        header = known.get(target)
        if not isinstance(header, Outer):
            tunnel = question.tunnels.get(target.endpoint)
            header = outer_header(target, tunnel, question.sources, links, routes)
        headers[target] = header
    asked = routes.destinations
    if known and memory is not None:
        asked |= memory.plan.destinations.addresses
    outers, wanted = limit_neighbours(headers, links)
    for key in set(before.wanted) - set(wanted):
        kernel.release(key)
    plan = Plan(links, outers, wanted, Destinations(asked))
    return look_for_neighbours(kernel, question, plan, before, now)


def look_for_neighbours(
    kernel: Kernel, question: Question, plan: Plan, before: Knowledge, now: float
) -> Survey:
    """Answer by the neighbours as they are now; those missing are asked for."""
    neighbours = kernel.neighbours()
    asked = keep_neighbours(kernel, plan.wanted, neighbours)
    macs = remember(before.macs, neighbours, plan.wanted, now)
    fdb_keys = wanted_fdb(plan.wanted, plan.links, macs)
    snapshot = Snapshot(plan.links, neighbours, kernel.fdb() if fdb_keys else {})
    answers = {
        target: outer if isinstance(outer, Unresolved) else find_path(outer, snapshot, macs)
        for target, outer in plan.outers.items()
    }
    if before.memory is not None:
        answers = _as_before(answers, before.memory.answers)
    interest = Interest(
        links=plan.links,
        neighbours={key: _usable_mac(neighbours.get(key)) for key in plan.wanted},
        fdb={key: snapshot.fdb.get(key) for key in fdb_keys},
        destinations=plan.destinations,
    )
    memory = Memory(question, plan, answers, now)
    return Survey(answers, asked, plan, Knowledge(plan.wanted, macs, interest, memory))


def look_again(
    kernel: Kernel, question: Question, plan: Plan, before: Knowledge, now: float
) -> Survey:
    """Answer once neighbours that this plan asked for have had their time.

    A whole survey where the plan is not to be relied on any more: what it was made from has changed
    meanwhile, or another question was asked.
    """
    if before.memory is None or before.memory.plan is not plan:
        return take_survey(kernel, question, before, now)
    return look_for_neighbours(kernel, question, plan, before, now)


def _as_before(
    answers: dict[Target, Path | Unresolved], before: Mapping[Target, Path | Unresolved]
) -> dict[Target, Path | Unresolved]:
    """The same answers; those that are equal to earlier ones are the same objects."""
    pairs = ((target, answer, before.get(target)) for target, answer in answers.items())
    return {target: old if answer == old else answer for target, answer, old in pairs}


def keep_neighbours(
    kernel: Kernel,
    wanted: Iterable[NeighbourKey],
    neighbours: Mapping[NeighbourKey, Neighbour],
) -> tuple[NeighbourKey, ...]:
    """Have the wanted neighbours kept resolved that are not yet; those asked for."""
    missing = tuple(key for key in wanted if _needs_asking(neighbours.get(key)))
    for key in missing:
        kernel.keep_resolved(key)
    return missing


def limit_neighbours(
    outers: Mapping[Target, Outer | Unresolved], links: Mapping[int, Link]
) -> tuple[dict[Target, Outer | Unresolved], tuple[NeighbourKey, ...]]:
    """The outer headers and the neighbours they need, LIMIT_NEXT_HOPS at most.

    A target that would need more is unresolved; the earlier ones keep theirs.
    """
    kept: dict[Target, Outer | Unresolved] = {}
    wanted: dict[NeighbourKey, None] = {}
    for target, outer in outers.items():
        keys = () if isinstance(outer, Unresolved) else wanted_neighbours(outer, links)
        added = [key for key in keys if key not in wanted]
        if len(wanted) + len(added) > LIMIT_NEXT_HOPS:
            kept[target] = Unresolved(f"{target.endpoint} {_TOO_MANY}")
            continue
        kept[target] = outer
        wanted.update(dict.fromkeys(added))
    return kept, tuple(wanted)


def _needs_asking(neighbour: Neighbour | None) -> bool:
    """Whether the kernel does not keep a neighbour resolved; one with a fixed MAC is left alone."""
    return neighbour is None or not (neighbour.managed or neighbour.fixed)


def _usable_mac(neighbour: Neighbour | None) -> bytes | None:
    return neighbour.usable_mac if neighbour is not None else None
