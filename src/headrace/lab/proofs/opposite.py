"""Two load balancers believe the opposite of one endpoint: one cannot reach it, the other can."""

from collections import Counter

from headrace.lab.network import set_links
from headrace.lab.proofs.drain import settle
from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.traffic import LiveTraffic, ask_names

_OPEN_TIMEOUT_S = 20.0
_ASKED = 40


async def opposite_views(network: AnnounceNetwork, connections: int) -> None:
    """Cut the first load balancer off from the first endpoint, and join them again."""
    blind, seeing = network.balancers
    node = network.endpoints[0]
    device = f"e{node.name}{blind.node.name}"
    name = network.base.server_name(network.base.identities[0])
    lab, client = network.lab, network.base.client
    traffic = await LiveTraffic.start(lab, client, first_port=network.take_ports(connections))
    try:
        await traffic.open(connections, timeout_s=_OPEN_TIMEOUT_S)
        before = (await traffic.report()).live_by_server()
        set_links(lab.namespace(node.name), [device], up=False)
        await network.wait_healthy_on(blind, len(network.endpoints) - 1)
        await network.wait_healthy_on(seeing, len(network.endpoints))
        report = await settle(traffic)
        after = report.live_by_server()
        innocent = report.broken() - report.broken(servers=[name])
        network.view.check(
            f"{node.name} is down for {blind.node.name} alone: only connections that "
            f"{blind.node.name} sent to it break ({network.speaker})",
            held=innocent == 0 and 0 < after.get(name, 0) < before[name],
            seen=f"{report.broken(servers=[name])} of {before[name]} on {name} broke, "
            f"{innocent} on others",
        )
        await _check_serving(network)
        set_links(lab.namespace(node.name), [device], up=True)
        await network.wait_whole()
        again = await settle(traffic)
        network.view.check(
            f"nothing breaks when both believe the same again ({network.speaker})",
            held=again.broken() == report.broken(),
            seen=f"{again.broken() - report.broken()} broke",
        )
    finally:
        set_links(lab.namespace(node.name), [device], up=True)
        await traffic.stop()


async def _check_serving(network: AnnounceNetwork) -> None:
    """Both still announce, and new connections are answered by whoever is there for them."""
    client = network.base.client
    names = Counter(await ask_names(network.lab, client, source_port=0, count=_ASKED))
    legs = {subject: watch.legs for subject, watch in network.watches.items()}
    network.view.check(
        f"both still announce, and every new connection is answered ({network.speaker})",
        held=names[None] == 0 and all(each == network.all_legs for each in legs.values()),
        seen=", ".join(f"{count} by {name or 'nobody'}" for name, count in names.items()),
    )
