"""Which steps must wait for a withdrawal that failed. Pure.

A prefix that peers may still hear of keeps its services, and what those stand on.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from headrace.control.plan import RemoveEndpoint, RemovePool, RemoveService, Step
from headrace.model import Forwarding, IPNetwork


@dataclass(frozen=True, slots=True)
class Split:
    """A plan in two, each part in the plan's order."""

    free: list[Step]
    held: list[Step]


def hold_back(steps: Iterable[Step], actual: Forwarding, heard: Collection[IPNetwork]) -> Split:
    """Set apart the removals that would pull something from under one of these prefixes.

    What the kernel forwards does not say which endpoints a pool's table names, so all of them stay
    while a pool stays that should go.
    """
    services = {key for key in actual.services if key.prefix in heard} if heard else set()
    pools = {actual.services[key].pool for key in services}
    split = Split([], [])
    holds_pool = False
    for step in steps:
        match step:
            case RemoveService(key):
                holds = key in services
            case RemovePool(name):
                holds = name in pools
                holds_pool = holds_pool or holds
            case RemoveEndpoint():
                holds = holds_pool
            case _:
                holds = False
        (split.held if holds else split.free).append(step)
    return split
