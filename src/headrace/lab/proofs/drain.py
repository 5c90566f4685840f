"""A planned drain of one load balancer under live connections: no packet is lost."""

from time import monotonic

from headrace.lab.balancer import Balancer
from headrace.lab.network import read_tcp_counts
from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.traffic import LiveTraffic, Report
from headrace.lab.waiting import poll, together

_OPEN_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 20.0
_EXCHANGE_TIMEOUT_S = 20.0
_QUIET_TIMEOUT_S = 5.0
_ROUNDS = 6
"""So many messages on every connection, on average, after each event: more than a second's."""


async def planned_drain(network: AnnounceNetwork, connections: int) -> None:
    """Drain a load balancer, let the connections go on, and bring it back."""
    lab, client = network.lab, network.base.client
    balancer = network.balancers[0]
    before_segments, before_sent = read_tcp_counts(lab.namespace(client)), await _sent(network)
    traffic = await LiveTraffic.start(lab, client, first_port=network.take_ports(connections))
    try:
        await traffic.open(connections, timeout_s=_OPEN_TIMEOUT_S)
        await settle(traffic)
        carried = await balancer.sent_packets()
        await _drain(network, balancer)
        report = await settle(traffic)
        _check_whole(network, f"{balancer.node.name} is drained", report, connections)
        rest = await balancer.sent_packets()
        await settle(traffic)
        late = await balancer.sent_packets() - rest
        network.view.check(
            f"{balancer.node.name} carried connections before the drain and carries none after it",
            held=carried > 0 and late == 0,
            seen=f"{carried:,} packets before, {late:,} after",
        )
        await balancer.headrace("undrain", "node")
        await network.wait_whole()
        _check_whole(network, f"{balancer.node.name} is back", await settle(traffic), connections)
    finally:
        await traffic.stop()
    await _check_packets(network, before_segments.sent, before_sent)


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


def _check_whole(network: AnnounceNetwork, event: str, report: Report, connections: int) -> None:
    network.view.check(
        f"no connection of {connections:,} breaks: {event} ({network.speaker})",
        held=report.broken() == 0 and report.live == connections,
        seen=f"{report.broken()} broken, {report.live:,} live, longest pause "
        f"{report.longest_pause_s:.2f} s",
    )


async def _check_packets(network: AnnounceNetwork, segments: int, sent: int) -> None:
    """Every segment that the client sent went out to an endpoint, once all have arrived."""
    namespace = network.lab.namespace(network.base.client)
    lost, retransmitted = 0, 0

    async def probe() -> bool | None:
        nonlocal lost, retransmitted
        counts = read_tcp_counts(namespace)
        lost = counts.sent - segments - (await _sent(network) - sent)
        retransmitted = counts.retransmitted
        return True if lost == 0 else None

    await poll(probe, timeout_s=_QUIET_TIMEOUT_S)
    total = read_tcp_counts(namespace).sent - segments
    network.view.check(
        f"0 packets are lost by a planned drain ({network.speaker})",
        held=lost == 0,
        seen=f"{lost} of {total:,} did not leave for an endpoint; the client sent "
        f"{retransmitted} again since it began",
    )


async def _sent(network: AnnounceNetwork) -> int:
    return sum(await together(balancer.sent_packets() for balancer in network.balancers))
