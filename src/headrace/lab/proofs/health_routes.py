"""Routes that follow the endpoints' health: withdrawal, hold-down, a service that flaps."""

import asyncio
from functools import partial
from time import monotonic

from headrace.lab.balancer import Balancer
from headrace.lab.proofs.figures import Bound
from headrace.lab.proofs.network import FALL, HOLD_DOWN_S, INTERVAL_S, AnnounceNetwork, Legs
from headrace.lab.topology import Node
from headrace.model.errors import UnavailableError

AFTER_BELIEF = Bound("route gone after the last endpoint is believed down", 0.150)
"""50 ms until the data plane has it, 4 ms (BIRD) or 64 ms (FRR) by BGP, and some to spare."""

AFTER_DEATH = Bound("route gone after the last endpoint died", FALL * INTERVAL_S + 0.150)
RETURN = Bound(
    "route back after its withdrawal, by hold-down", HOLD_DOWN_S + 1.0, HOLD_DOWN_S - 0.1
)
"""FRR tells of a withdrawal up to 0.1 s later than of an announcement."""

_LATER_S = 1e-4  # behind the change itself, whatever floats make of a sum
_RETURN_TIMEOUT_S = 15.0
_FLAPS = 6
_FLAP_S = 1.0  # longer than a change of belief takes


async def last_endpoint(network: AnnounceNetwork) -> None:
    """The last healthy endpoint dies and returns at once."""
    last = await _leave_one(network)
    died_s = monotonic()
    network.stop_server(last)
    gone_s = [await network.gone(str(each.leg), died_s) for each in network.balancers]
    await network.base.start_server(last)
    for balancer, by_router in zip(network.balancers, gone_s, strict=True):
        believed_s = _believed_down_s(network, balancer, died_s)
        has_leg = partial(_has, str(balancer.leg))
        for subject, took_s in by_router.items():
            gone_at_s = died_s + took_s
            network.figures.add(AFTER_DEATH, subject, [took_s])
            network.figures.add(AFTER_BELIEF, subject, [gone_at_s - believed_s])
            back_s = await network.watches[subject].first(
                has_leg, since_s=gone_at_s + _LATER_S, timeout_s=_RETURN_TIMEOUT_S
            )
            network.figures.add(RETURN, subject, [back_s])
    await _revive(network)
    network.figures.tell()


def _has(leg: str, legs: Legs) -> bool:
    return leg in legs


async def flapping_endpoint(network: AnnounceNetwork) -> None:
    """The last healthy endpoint comes and goes; its route changes as seldom as promised."""
    last = await _leave_one(network)
    begun_s = monotonic()
    for _ in range(_FLAPS):
        network.stop_server(last)
        await asyncio.sleep(_FLAP_S)
        await network.base.start_server(last)
        await asyncio.sleep(_FLAP_S)
    took_s = monotonic() - begun_s
    allowed = 2 * (int(took_s / HOLD_DOWN_S) + 1)
    for subject, watch in network.watches.items():
        before = network.all_legs
        counts = dict.fromkeys(network.all_legs, 0)
        for change in watch.since(begun_s):
            for leg in before ^ change.legs:
                counts[leg] += 1
            before = change.legs
        network.view.check(
            f"an endpoint that died {_FLAPS} times in {took_s:.0f} s changes each load balancer's "
            f"route at least once and at most {allowed} times ({subject})",
            held=min(counts.values()) > 0 and max(counts.values()) <= allowed,
            seen=" and ".join(f"{count} by {leg}" for leg, count in sorted(counts.items())),
        )
    await _revive(network)


async def _leave_one(network: AnnounceNetwork) -> Node:
    """Kill all servers but one, which changes no route; the endpoint that is left."""
    *others, last = network.endpoints
    begun_s = monotonic()
    for node in others:
        network.stop_server(node)
    await network.wait_healthy(1)
    changes = [change for watch in network.watches.values() for change in watch.since(begun_s)]
    network.view.check(
        f"while one of {len(network.endpoints)} endpoints is up the route stays",
        held=not changes,
        seen=f"{len(changes)} changes",
    )
    return last


async def _revive(network: AnnounceNetwork) -> None:
    for node in network.endpoints:
        if not network.base.servers[node.name].is_alive():
            await network.base.start_server(node)
    await network.wait_whole()


def _believed_down_s(network: AnnounceNetwork, balancer: Balancer, since_s: float) -> float:
    """When a load balancer first believed an endpoint down, by its log."""
    for at_s, entry in network.logged_s(balancer, "belief_changed", since_s):
        if entry["health"] == "down":
            return at_s
    raise UnavailableError(f"{balancer.node.name} has not logged that an endpoint went down")
