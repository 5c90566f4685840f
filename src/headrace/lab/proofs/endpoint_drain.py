"""A drain of one endpoint under live connections: new ones elsewhere, old ones stay and finish."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from time import monotonic

from headrace.lab.balancer import STATUS_POLL_S
from headrace.lab.proofs.drain import by_router, settle
from headrace.lab.proofs.figures import Bound, Figures
from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.topology import RoutingDaemon
from headrace.lab.traffic import LiveTraffic, Report
from headrace.lab.waiting import poll, together
from headrace.model.values import IPAddress

_DRAIN_S = 3.0
"""Longer than it takes to see that nothing broke before."""

LET_GO = Bound("the last old connection ends after --timeout is over", 1.0)
"""Each sends a message five times a second, and breaks by the answer of another endpoint."""

_OPEN_TIMEOUT_S = 20.0
_QUIET_TIMEOUT_S = 15.0
_BREAK_TIMEOUT_S = 15.0


async def endpoint_drain(network: AnnounceNetwork, connections: int) -> None:
    """Drain the first endpoint on every load balancer, behind one router and behind the other."""
    for router in RoutingDaemon:
        with by_router(network, router):
            await _drain_twice(network, router, connections // 2)


async def _drain_twice(network: AnnounceNetwork, router: RoutingDaemon, count: int) -> None:
    """Without end, until the old connections have finished; then with a time-out."""
    lab, client = network.lab, network.base.client
    drained = _Drained(network, network.base.identities[0], f"{network.speaker}, {router.upper()}")
    old = await LiveTraffic.start(lab, client, first_port=network.take_ports(count))
    new = await LiveTraffic.start(lab, client, first_port=network.take_ports(2 * count))
    try:
        await old.open(count, timeout_s=_OPEN_TIMEOUT_S)
        await drained.drain()
        await new.open(count, timeout_s=_OPEN_TIMEOUT_S)
        await _check_drained(drained, old, new)
        await old.stop()  # they finish
        await _check_quiet(drained)
        await drained.undrain()
        await new.open(count, timeout_s=_OPEN_TIMEOUT_S)
        await _check_back(drained, await settle(new), 2 * count)
        await _check_timeout(drained, new)
    finally:
        await old.stop()
        await new.stop()
        await drained.undrain()
    await network.wait_whole()


@dataclass(frozen=True, slots=True)
class _Drained:
    """The endpoint that is drained."""

    network: AnnounceNetwork
    address: IPAddress
    subject: str

    @property
    def server(self) -> str:
        """What its server calls itself."""
        return self.network.base.server_name(self.address)

    async def drain(self, *options: str) -> None:
        """Drain it on every load balancer."""
        await self._everywhere("drain", "endpoint", str(self.address), *options)

    async def undrain(self) -> None:
        """Take it back on every load balancer."""
        await self._everywhere("undrain", "endpoint", str(self.address))

    async def packets_per_s(self) -> float:
        """What all load balancers say that it still gets."""
        balancers = self.network.balancers
        statuses = await together(balancer.status() for balancer in balancers)
        return sum(
            endpoint["packets_per_s"] or 0.0
            for status in statuses
            for pool in status["pools"]
            for endpoint in pool["endpoints"]
            if IPv4Address(endpoint["address"]) == self.address
        )

    def check(self, text: str, *, held: bool, seen: str) -> None:
        """Claim something of this drain."""
        self.network.view.check(f"{text} ({self.subject})", held=held, seen=seen)

    async def _everywhere(self, *arguments: str) -> None:
        balancers = self.network.balancers
        for balancer in balancers:
            self.network.view.command(balancer.node.name, arguments)
        await together(balancer.headrace(*arguments) for balancer in balancers)


async def _check_drained(drained: _Drained, old: LiveTraffic, new: LiveTraffic) -> None:
    """Old connections go on as they were, none of the new ones is the drained endpoint's."""
    before = await old.flows()
    kept, found = await settle(old), await settle(new)
    after = await old.flows()
    own = sum(server == drained.server for server in after.values())
    drained.check(
        "old connections stay on an endpoint that drains, and none breaks",
        held=own > 0 and before == after and kept.broken() == 0,
        seen=f"{own:,} of {len(after):,} are its own, {kept.broken()} broken",
    )
    taken = found.live_by_server().get(drained.server, 0)
    drained.check(
        "new connections go elsewhere",
        held=taken == 0 and found.live > 0 and found.broken() == 0,
        seen=f"{taken} of {found.live:,} go to it, {found.broken()} broken",
    )

    async def probe() -> float | None:
        return await drained.packets_per_s() or None

    rate = await poll(probe, timeout_s=_QUIET_TIMEOUT_S, every_s=STATUS_POLL_S)
    drained.check(
        "`headrace status` tells of the flows that it has left",
        held=rate is not None,
        seen=f"{rate or 0.0:.0f} packets a second",
    )


async def _check_quiet(drained: _Drained) -> None:
    """When all of its flows have finished, that is seen."""
    begun_s = monotonic()

    async def probe() -> bool | None:
        return True if await drained.packets_per_s() == 0 else None

    quiet = await poll(probe, timeout_s=_QUIET_TIMEOUT_S, every_s=STATUS_POLL_S)
    drained.check(
        "when they have finished, `headrace status` tells of none",
        held=bool(quiet),
        seen=f"so after {monotonic() - begun_s:.1f} s",
    )


async def _check_back(drained: _Drained, report: Report, count: int) -> None:
    taken = report.live_by_server().get(drained.server, 0)
    drained.check(
        "undrained, it gets new connections again, and none breaks",
        held=taken > 0 and report.broken() == 0 and report.live == count,
        seen=f"{taken:,} of {report.live:,} go to it, {report.broken()} broken",
    )


async def _check_timeout(drained: _Drained, traffic: LiveTraffic) -> None:
    """Its connections last until the time is over, and those of others for ever."""
    own = (await traffic.report()).live_by_server()[drained.server]
    begun_s = monotonic()
    await drained.drain("--timeout", f"{_DRAIN_S:g}")
    drained_s = monotonic()
    broken_s: list[float] = []

    async def probe() -> bool | None:
        broken = (await traffic.report()).broken(servers=[drained.server])
        if broken:
            broken_s.append(monotonic())
        return True if broken >= own else None

    await poll(probe, timeout_s=_BREAK_TIMEOUT_S)
    report = await settle(traffic)
    ended = report.broken(servers=[drained.server])
    others = report.broken() - ended
    drained.check(
        "--timeout ends the connections of the endpoint that drains, none too early and no other",
        held=ended == own > 0 and others == 0 and broken_s[0] - begun_s >= _DRAIN_S,
        seen=f"{ended:,} of its {own:,} ended, {others} of others, the first "
        f"{broken_s[0] - begun_s:.2f} s after the command",
    )
    figures = Figures(drained.network.view)
    # Its time begins before the command has returned, much before on a busy machine.
    late_s = max(broken_s[-1] - drained_s - _DRAIN_S, 0.0)
    figures.add(LET_GO, drained.subject, [late_s])
    figures.tell()
