"""What probing many endpoints costs, and how long one that died is still sent to."""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from time import monotonic
from typing import Any

from headrace.lab.arrivals import Arrivals
from headrace.lab.balancer import STATUS_POLL_S, Balancer
from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import ProcessId
from headrace.lab.proofs.figures import Bound, Figures, quantile, shown
from headrace.lab.proofs.topologies import crowd_address
from headrace.lab.topology import Role
from headrace.lab.traffic import Crowd, start_sender
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError
from headrace.model.values import Flow, Protocol

INTERVAL_S, TIMEOUT_S, FALL, RISE = 0.25, 0.1, 3, 2
"""A time-out for a network where an answer takes no millisecond; fall and rise are the defaults."""

LAST_PACKET = Bound("last packet to an endpoint after its death, p99", 1.0)

_PACKETS_PER_S = 20
"""To each endpoint that is to die: so often is looked whether it is sent to."""

_CANDIDATES = range(16_384, 32_384)
"""Source ports; sixteen an endpoint on average leave none without a flow."""

_CPU_WINDOW_S = 5.0
_BETWEEN_DEATHS_S = 0.1
_SETTLE_S = 2.0  # twice what the last of them may take
_TIMEOUT_S = 60.0

Times = Mapping[IPv4Address, Sequence[float]]


async def last_packets(lab: Laboratory, view: ClaimView, endpoints: int, deaths: int) -> None:
    """Kill endpoints one after the other: half refuse connections, half fall silent."""
    topology = lab.topology
    node = topology.with_role(Role.ENDPOINT)[0].name
    (balancer,) = (Balancer(lab, each) for each in topology.with_role(Role.BALANCER))
    crowd = await Crowd.start(lab, node, crowd_address(0), endpoints)
    try:
        daemon = balancer.start(_document(balancer, endpoints))
        await _wait_all_up(balancer, endpoints)
        await _tell_cost(view, daemon, endpoints)
        doomed = [crowd_address(index) for index in range(deaths)]
        ports = await _ports_to(lab, balancer, doomed)
        rate = deaths * _PACKETS_PER_S
        start_sender(lab, "user", packets_per_s=rate, ports=list(ports.values()))
        with Arrivals(lab.namespace(node), "eep1llb1") as arrivals:
            await asyncio.sleep(_SETTLE_S)
            died_s = await _kill(crowd, doomed)
            await asyncio.sleep(_SETTLE_S)
            times_s, ended_s = arrivals.times_by_destination(), monotonic()
    finally:
        await crowd.stop()
    _check_traffic(view, times_s, died_s, ended_s, rate)
    late_s = [max(times_s[a][-1] - at_s, 0.0) for a, at_s in died_s.items() if a in times_s]
    subject = f"{deaths} of {endpoints:,} endpoints, tcp each {shown(INTERVAL_S)}"
    figures = Figures(view)
    figures.add(LAST_PACKET, subject, [quantile(late_s, 0.99)])
    figures.tell()
    for name, part in (("that refuse", late_s[::2]), ("that are silent", late_s[1::2])):
        view.note(f"{name}: median {shown(quantile(part, 0.5))}, most {shown(max(part))}")


def _document(balancer: Balancer, endpoints: int) -> dict[str, Any]:
    document = balancer.document()
    check = {"kind": "tcp", "path": "direct", "interval_s": INTERVAL_S, "timeout_s": TIMEOUT_S}
    document["health"] = {"quick": check | {"rise": RISE, "fall": FALL}}
    addresses = [{"address": str(crowd_address(index))} for index in range(endpoints)]
    pool = {"endpoints": addresses, "health": "quick", "fail_open_above": 1}
    document["pools"] = {"servers": pool}
    return document


async def _tell_cost(view: ClaimView, daemon: ProcessId, endpoints: int) -> None:
    """All of the daemon's processor time: what is promised of probing alone is not held to it.

    A virtual cable has the sender's processor do the receiver's half of each handshake.
    """
    begun_s, before_s = monotonic(), daemon.cpu_s()
    await asyncio.sleep(_CPU_WINDOW_S)
    share = (daemon.cpu_s() - before_s) / (monotonic() - begun_s)
    view.note(
        f"the whole daemon and the endpoints' half of TCP use {share:.0%} of one core, "
        f"probing {endpoints:,} endpoints each {shown(INTERVAL_S)}"
    )


async def _ports_to(
    lab: Laboratory, balancer: Balancer, endpoints: Sequence[IPv4Address]
) -> dict[str, int]:
    """A source port of the client for each of these endpoints, as the load balancer chooses."""
    (client,) = lab.topology.with_role(Role.CLIENT)
    source, vip, service_port = (
        client.addresses[0].interface.ip,
        lab.topology.vip,
        lab.topology.port,
    )
    flows = [Flow(Protocol.UDP, source, port, vip, service_port) for port in _CANDIDATES]
    wanted = {str(address) for address in endpoints}
    chosen = await balancer.explain(flows)
    ports = {name: flow.source_port for name, flow in zip(chosen, flows, strict=True) if name}
    missing = wanted - ports.keys()
    if missing:
        raise UnavailableError(f"of {len(flows):,} flows none goes to {', '.join(sorted(missing))}")
    return {name: ports[name] for name in sorted(wanted)}


async def _kill(crowd: Crowd, doomed: Sequence[IPv4Address]) -> dict[IPv4Address, float]:
    """When each died."""
    died_s = {}
    for index, address in enumerate(doomed):
        died_s[address] = await (crowd.silence if index % 2 else crowd.refuse)(address)
        await asyncio.sleep(_BETWEEN_DEATHS_S)
    return died_s


def _check_traffic(
    view: ClaimView, times_s: Times, died_s: Mapping[IPv4Address, float], ended_s: float, rate: int
) -> None:
    """Each was sent to until it died, and what went to them goes to the living."""
    until_death = [a for a, at_s in died_s.items() if _count(times_s, a, at_s - 1.0, at_s) > 1]
    late = {address: _count(times_s, address, ended_s - 1.0, ended_s) for address in times_s}
    total, lost = sum(late.values()), sum(late[a] for a in late if a in died_s)
    view.check(
        "each that dies is sent to until then, and in the end all packets go to the living",
        held=len(until_death) == len(died_s) and lost == 0 and total >= 0.5 * rate,
        seen=f"{len(until_death)} of {len(died_s)} had packets in their last second; in the last "
        f"of all {total:,} packets of {rate:,} came, {lost} of them to the dead",
    )


def _count(times_s: Times, address: IPv4Address, begin_s: float, end_s: float) -> int:
    """The packets to an endpoint in a stretch of time."""
    times = times_s.get(address, ())
    return bisect_left(times, end_s) - bisect_left(times, begin_s)


async def _wait_all_up(balancer: Balancer, endpoints: int) -> None:
    await balancer.wait_up(timeout_s=_TIMEOUT_S)

    async def probe() -> bool | None:
        (pool,) = (await balancer.status())["pools"]
        return True if all(each["health"] == "up" for each in pool["endpoints"]) else None

    if await poll(probe, timeout_s=_TIMEOUT_S, every_s=STATUS_POLL_S) is None:
        raise UnavailableError(f"after {_TIMEOUT_S:g} s not all of {endpoints:,} endpoints are up")
