"""A planned drain of one load balancer under live connections: no packet is lost."""

from contextlib import AbstractContextManager, nullcontext
from time import monotonic

from headrace.lab.balancer import Balancer
from headrace.lab.network import TcpCounts, read_tcp_counts, routed
from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.proofs.topologies import R3_OF_USER
from headrace.lab.topology import RoutingDaemon
from headrace.lab.traffic import LiveTraffic, Report
from headrace.lab.waiting import poll, together

_OPEN_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 20.0
_EXCHANGE_TIMEOUT_S = 20.0
_QUIET_TIMEOUT_S = 5.0
_ROUNDS = 6
"""So many messages on every connection, on average, after each event: more than a second's."""


async def planned_drain(network: AnnounceNetwork, connections: int, router: RoutingDaemon) -> None:
    """Drain a load balancer behind a router, let connections go on, and bring it back."""
    with by_router(network, router):
        await _planned_drain(network, connections, f"{network.speaker}, {router.upper()}")


def by_router(network: AnnounceNetwork, router: RoutingDaemon) -> AbstractContextManager[None]:
    """The client's packets to the VIP pass this router during the block."""
    if router is RoutingDaemon.BIRD:  # as they do anyway
        return nullcontext()
    namespace = network.lab.namespace(network.base.client)
    return routed(namespace, network.base.vip_prefix, R3_OF_USER)


async def _planned_drain(network: AnnounceNetwork, connections: int, subject: str) -> None:
    lab, client = network.lab, network.base.client
    balancer, begun_s = network.balancers[0], monotonic()
    before, before_sent = read_tcp_counts(lab.namespace(client)), await _sent(network)
    traffic = await LiveTraffic.start(lab, client, first_port=network.take_ports(connections))
    try:
        await traffic.open(connections, timeout_s=_OPEN_TIMEOUT_S)
        carried = await _carried(balancer, traffic)
        await _drain(network, balancer)
        report = await settle(traffic)
        _check_whole(network, f"{balancer.node.name} is drained", subject, report, connections)
        late = await _carried(balancer, traffic)
        network.view.check(
            f"{balancer.node.name} carries connections before the drain and none after it "
            f"({subject})",
            held=carried > 0 and late == 0,
            seen=f"{carried:,} packets before, {late:,} after",
        )
        await balancer.headrace("undrain", "node")
        await network.wait_whole()
        report = await settle(traffic)
        _check_whole(network, f"{balancer.node.name} is back", subject, report, connections)
    finally:
        await traffic.stop()
    _check_routes(network, subject, begun_s)
    await _check_packets(network, subject, before, before_sent)


def _check_routes(network: AnnounceNetwork, subject: str, begun_s: float) -> None:
    """No router was ever without a way: else packets are lost for another reason than the drain."""
    empty = {
        name: sum(not change.legs for change in watch.since(begun_s))
        for name, watch in network.watches.items()
    }
    network.view.check(
        f"no router is ever left without a next hop by a planned drain ({subject})",
        held=not any(empty.values()),
        seen=", ".join(f"{name}: {count} times" for name, count in empty.items()),
    )


async def _carried(balancer: Balancer, traffic: LiveTraffic) -> int:
    """The packets that a load balancer sends while every connection exchanges messages."""
    before = await balancer.sent_packets()
    await settle(traffic)
    return await balancer.sent_packets() - before


async def _drain(network: AnnounceNetwork, balancer: Balancer) -> None:
    """Ask for it, and wait until no router forwards to the load balancer."""
    begun_s = monotonic()
    network.view.command(balancer.node.name, ["drain", "node"])
    await balancer.headrace("drain", "node")
    gone_s = await network.gone(str(balancer.leg), begun_s)
    told = ", ".join(f"{subject}: {took_s:.2f} s" for subject, took_s in gone_s.items())
    network.view.note(f"routers have left it after: {told}")


async def settle(traffic: LiveTraffic) -> Report:
    """Let every connection exchange messages for a while, until none waits for an answer."""
    await traffic.wait_answered(timeout_s=_ANSWER_TIMEOUT_S)
    live = (await traffic.report()).live
    await traffic.exchange(live * _ROUNDS, timeout_s=_EXCHANGE_TIMEOUT_S)
    return await traffic.wait_answered(timeout_s=_ANSWER_TIMEOUT_S)


def _check_whole(
    network: AnnounceNetwork, event: str, subject: str, report: Report, connections: int
) -> None:
    network.view.check(
        f"no connection of {connections:,} breaks: {event} ({subject})",
        held=report.broken() == 0 and report.live == connections,
        seen=f"{report.broken()} broken, {report.live:,} live, longest pause "
        f"{report.longest_pause_s:.2f} s",
    )


async def _check_packets(
    network: AnnounceNetwork, subject: str, before: TcpCounts, before_sent: int
) -> None:
    """Every segment that the client sent went out to an endpoint, once all have arrived."""
    namespace = network.lab.namespace(network.base.client)
    lost = 0

    async def probe() -> bool | None:
        nonlocal lost
        sent = read_tcp_counts(namespace).sent - before.sent
        lost = sent - (await _sent(network) - before_sent)
        return True if lost == 0 else None

    await poll(probe, timeout_s=_QUIET_TIMEOUT_S)
    counts = read_tcp_counts(namespace)
    total, again = counts.sent - before.sent, counts.retransmitted - before.retransmitted
    network.view.check(
        f"0 packets are lost by a planned drain ({subject})",
        held=lost == 0,
        seen=f"{lost} of {total:,} did not leave for an endpoint; {again} were sent again",
    )


async def _sent(network: AnnounceNetwork) -> int:
    return sum(await together(balancer.sent_packets() for balancer in network.balancers))
