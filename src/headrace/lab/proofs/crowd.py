"""How long an endpoint that died is still sent to: many deaths, under steady traffic."""

import asyncio
from functools import partial
from ipaddress import IPv4Address
from time import monotonic
from typing import Any

from headrace.lab.arrivals import Arrivals
from headrace.lab.balancer import Balancer
from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.network import remove_address
from headrace.lab.proofs.figures import Bound, Figures, quantile
from headrace.lab.proofs.topologies import CROWD, crowd_address
from headrace.lab.topology import Role
from headrace.lab.traffic import Crowd, start_sender
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError

INTERVAL_S, FALL, RISE = 0.25, 2, 2
TIMEOUT_S = 0.2
"""Less than the interval: a probe that takes all of it is followed by the next but one instant."""

LAST_PACKET = Bound("last packet to an endpoint after its death, p99, probes each 250 ms", 1.0)

_PACKETS_PER_S = 4_000
_FLOWS = 1_000
_BETWEEN_DEATHS_S = 0.1
_SETTLE_S = 2.0  # twice what the last of them may take
_TIMEOUT_S = 30.0


async def last_packets(lab: Laboratory, view: ClaimView, deaths: int) -> None:
    """Kill endpoints one after the other: half refuse connections, half fall silent."""
    topology = lab.topology
    node = topology.with_role(Role.ENDPOINT)[0].name
    (balancer,) = (Balancer(lab, each) for each in topology.with_role(Role.BALANCER))
    crowd = await Crowd.start(lab, node, crowd_address(0), CROWD)
    try:
        balancer.start(_document(balancer))
        await _wait_all_up(balancer)
        start_sender(lab, "user", packets_per_s=_PACKETS_PER_S, flows=_FLOWS)
        with Arrivals(lab.namespace(node), "eep1llb1") as arrivals:
            await asyncio.sleep(_SETTLE_S)
            died_s = await _kill(lab, node, crowd, deaths)
            await asyncio.sleep(_SETTLE_S)
            last_s = arrivals.last_s()
            ended_s = monotonic()
    finally:
        await crowd.stop()
    unheard = [address for address in died_s if address not in last_s]
    late_s = [
        max(last_s[address] - at_s, 0.0) for address, at_s in died_s.items() if address in last_s
    ]
    living = [a for a, at_s in last_s.items() if a not in died_s and ended_s - at_s < 1.0]
    view.check(
        "every endpoint was sent to, and those that live still are",
        held=not unheard and len(living) == CROWD - deaths,
        seen=f"{CROWD - len(unheard)} of {CROWD} had packets; {len(living)} have them yet",
    )
    figures = Figures(view)
    figures.add(LAST_PACKET, f"{deaths} deaths", [quantile(late_s, 0.99)])
    figures.tell()
    view.note(f"median {quantile(late_s, 0.5) * 1000:.0f} ms, most {max(late_s) * 1000:.0f} ms")


def _document(balancer: Balancer) -> dict[str, Any]:
    document = balancer.document()
    check = {"kind": "tcp", "path": "direct", "interval_s": INTERVAL_S, "timeout_s": TIMEOUT_S}
    document["health"] = {"quick": check | {"rise": RISE, "fall": FALL}}
    endpoints = [{"address": str(crowd_address(index))} for index in range(CROWD)]
    pool = {"endpoints": endpoints, "health": "quick", "fail_open_above": 1}
    document["pools"] = {"servers": pool}
    return document


async def _kill(lab: Laboratory, node: str, crowd: Crowd, deaths: int) -> dict[IPv4Address, float]:
    """When each died."""
    died_s = {}
    for index in range(deaths):
        address = crowd_address(index)
        if index % 2:
            remove = partial(remove_address, lab.namespace(node), "lo", f"{address}/32")
            died_s[address] = monotonic()
            await asyncio.to_thread(remove)
        else:
            died_s[address] = monotonic()
            await crowd.end_listener(address)
        await asyncio.sleep(_BETWEEN_DEATHS_S)
    return died_s


async def _wait_all_up(balancer: Balancer) -> None:
    await balancer.wait_up(timeout_s=_TIMEOUT_S)

    async def probe() -> bool | None:
        (service,) = (await balancer.status())["services"]
        return True if all(each["health"] == "up" for each in service["endpoints"]) else None

    if await poll(probe, timeout_s=_TIMEOUT_S) is None:
        raise UnavailableError(f"after {_TIMEOUT_S:g} s not all of {CROWD} endpoints are up")
