"""Look at the demo's packets: steps 5 and 6, captures, and who answers which flow."""

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address

from headrace.lab.capture import Capture, CapturePoint, Packet
from headrace.lab.demo_network import DemoNetwork
from headrace.lab.network import WIRE
from headrace.lab.prover_client import BULK_EVERY
from headrace.lab.topology import Node, Role, Topology
from headrace.lab.traffic import LiveTraffic, ask_names
from headrace.lab.waiting import together
from headrace.model.errors import UnavailableError
from headrace.model.values import Flow, IPAddress, Protocol, Tunnel

SAMPLED_FLOW_COUNT = 10_000

SEED_CLIENT_PORT = 57_538
"""The client's port in the seed's dumps."""

LIMIT_PORTS = 256
"""So many are asked for one that leads to the wanted endpoint; every third does."""

IPV4_HEADER_BYTES = 20

_SHOWN_LINES = 5
_OPEN_TIMEOUT_S = 10.0
_EXCHANGE_TIMEOUT_S = 10.0
_DRAIN_S = 0.5  # for tcpdump to tell of the last packets
_SAMPLE_SEED = 20  # any: the same flows are sampled in every run


@dataclass(frozen=True, slots=True)
class Dumps:
    """What each place saw of one connection, from its first packet to its last."""

    client: list[Packet]
    cables: dict[str, list[Packet]]  # by balancer: what the router sent to it
    wires: dict[str, list[Packet]]  # by balancer: its cable to the endpoint
    endpoint: list[Packet]
    balancers: dict[str, list[Packet]]  # replies that a balancer saw, of which there must be none


async def show_captures(network: DemoNetwork) -> None:
    """Step 5: the seed's three dumps, of one connection to the seed's endpoint."""
    view = network.view
    view.step(5, "One connection, seen at the client, the load balancer and the endpoint")
    endpoint = network.endpoints[0]
    port = await _port_leading_to(network, endpoint)
    dumps = await _capture(network, endpoint, port)
    _show(network, f"Client: {network.client}", dumps.client)
    for balancer, packets in dumps.wires.items():
        if packets:
            where = f"Load balancer: {balancer}, on its cable to {endpoint.name}, IP protocol 4"
            _show(network, where, packets)
    _show(network, f"Endpoint: {endpoint.name}", dumps.endpoint)
    _check_dumps(network, endpoint, port, dumps)


async def _port_leading_to(network: DemoNetwork, endpoint: Node) -> int:
    """The client's port, from the seed's on, whose connection `explain` sends to an endpoint."""
    ports = range(SEED_CLIENT_PORT, SEED_CLIENT_PORT + LIMIT_PORTS)
    chosen = await network.balancers[0].explain([network.flow(port) for port in ports])
    for port, identity in zip(ports, chosen, strict=True):
        if identity == str(endpoint.identity):
            return port
    raise UnavailableError(f"none of {len(ports)} flows goes to {endpoint.name} by `explain`")


async def _capture(network: DemoNetwork, endpoint: Node, port: int) -> Dumps:
    """Listen at every place at once while a connection opens, talks and closes."""
    lab, client = network.lab, network.client
    names = [balancer.node.name for balancer in network.balancers]
    device = lab.topology.link_ends(client)[0].device
    tcp = f"tcp port {port}"
    inside_or_outside = f"{tcp} or ip proto 4"
    points = {
        ("client", client): (CapturePoint(client, device), tcp),
        ("endpoint", endpoint.name): (CapturePoint(endpoint.name, "any"), inside_or_outside),
    }
    for name in names:
        wire = CapturePoint(WIRE, f"w{name}{endpoint.name}")
        points["cable", name] = (_router_end(lab.topology, name), tcp)
        points["wire", name] = (wire, "ip proto 4")
        replies = f"src host {lab.topology.vip} and {tcp}"
        points["balancer", name] = (CapturePoint(name, "any"), replies)
    async with AsyncExitStack() as stack:
        captures = await together(
            stack.enter_async_context(Capture(lab, point, text)) for point, text in points.values()
        )
        await _talk(network, port)
        packets = await together(capture.packets(timeout_s=_DRAIN_S) for capture in captures)
    seen = dict(zip(points, packets, strict=True))
    return Dumps(
        seen["client", client],
        {name: seen["cable", name] for name in names},
        {name: seen["wire", name] for name in names},
        seen["endpoint", endpoint.name],
        {name: seen["balancer", name] for name in names},
    )


async def _talk(network: DemoNetwork, port: int) -> None:
    """One connection from a port, from its opening to its end, with a message of full size."""
    traffic = await LiveTraffic.start(network.lab, network.client, first_port=port)
    try:
        await traffic.open(1, timeout_s=_OPEN_TIMEOUT_S)
        await traffic.exchange(BULK_EVERY, timeout_s=_EXCHANGE_TIMEOUT_S)
    finally:
        await traffic.stop()


def _router_end(topology: Topology, balancer: str) -> CapturePoint:
    """The router's end of its cable to a balancer, where no XDP program is."""
    for router in topology.with_role(Role.ROUTER):
        for end in topology.link_ends(router.name):
            if end.peer_node == balancer:
                return CapturePoint(router.name, end.device)
    raise UnavailableError(f"no router has a cable to {balancer}")


def _show(network: DemoNetwork, where: str, packets: list[Packet]) -> None:
    network.view.packets(where, [packet.text for packet in packets[:_SHOWN_LINES]])


def _check_dumps(network: DemoNetwork, endpoint: Node, port: int, dumps: Dumps) -> None:
    """The claims about one connection."""
    service = f"{network.lab.topology.vip}.{network.lab.topology.port}"
    client = f"{network.flow(port).source}.{port}"
    request, reply = f"{client} > {service}: ", f"{service} > {client}: "
    view = network.view
    view.check(
        "the client talks to the VIP and is answered by it",
        held=bool(_having(request, dumps.client) and _having(reply, dumps.client)),
        seen=f"{_having(request, dumps.client)} packets there, "
        f"{_having(reply, dumps.client)} packets back",
    )
    _check_forwarded(network, endpoint, dumps)
    replies = _having(reply, dumps.endpoint)
    view.check(
        "the endpoint answers the client itself, from the VIP",
        held=replies > 0,
        seen=f"{replies} replies at {endpoint.name}",
    )
    back = sum(len(packets) for packets in dumps.balancers.values())
    view.check("no reply passes a load balancer", held=back == 0, seen=f"{back} replies")


def _check_forwarded(network: DemoNetwork, endpoint: Node, dumps: Dumps) -> None:
    """All that the router sent to one balancer has left it in the tunnel, byte for byte."""
    came = {name: [packet.data for packet in packets] for name, packets in dumps.cables.items()}
    left = {name: [packet.data for packet in packets] for name, packets in dumps.wires.items()}
    same = {
        name: unchanged_count(came[name], left[name], tunnel)
        for name in came
        for tunnel in network.lab.topology.tunnels_of(name)
        if tunnel.endpoint == endpoint.identity
    }
    carriers = [name for name in came if came[name] or left[name]]
    network.view.check(
        "one load balancer sends every packet on in IP-in-IP, each byte inside unchanged",
        held=len(carriers) == 1
        and all(same[name] == len(came[name]) == len(left[name]) for name in carriers),
        seen="; ".join(
            f"{name}: {len(came[name])} packets came from the router, {len(left[name])} left, "
            f"{same[name]} of them unchanged"
            for name in carriers
        )
        or "no packet at any load balancer",
    )


def unchanged_count(came: Sequence[bytes], left: Sequence[bytes], tunnel: Tunnel) -> int:
    """How many packets left in IP-in-IP between a tunnel's ends, just as they had come."""
    inside = Counter(
        packet[IPV4_HEADER_BYTES:] for packet in left if _is_outer_header(packet, tunnel)
    )
    return (inside & Counter(came)).total()


def _is_outer_header(packet: bytes, tunnel: Tunnel) -> bool:
    """Whether a packet begins with an IPv4 header without options for IP-in-IP in a tunnel."""
    header = packet[:IPV4_HEADER_BYTES]
    ends = tunnel.local.packed + tunnel.remote.packed
    return header[:1] == b"\x45" and header[9:10] == b"\x04" and header[12:] == ends


def _having(part: str, packets: Sequence[Packet]) -> int:
    """How many packets read so."""
    return sum(part in packet.text for packet in packets)


async def show_agreement(network: DemoNetwork) -> None:
    """Step 6: every balancer would send each of many flows to the same endpoint."""
    view = network.view
    view.step(6, "The same endpoint for every flow, whichever load balancer it meets")
    flows = sample_flows(network.lab.topology.vip, network.lab.topology.port)
    answers = await together(balancer.explain(flows) for balancer in network.balancers)
    first = answers[0]
    same = sum(len(set(choices)) == 1 for choices in zip(*answers, strict=True))
    known = {str(identity) for identity in network.identities}
    view.check(
        f"the load balancers agree on {len(flows):,} flows",
        held=same == len(flows) and set(first) <= known,
        seen=f"{same:,} alike; " + ", ".join(f"{k} {n:,}" for k, n in Counter(first).most_common()),
    )
    names = await ask_names(network.lab, network.client)
    view.check(
        f"{len(names)} connections from one source port reach one server",
        held=len(set(names)) == 1 and names[0] is not None,
        seen=", ".join(f"{name} {count} times" for name, count in Counter(names).items()),
    )


def sample_flows(vip: IPAddress, port: int) -> list[Flow]:
    """Flows from all over the address space to a service; the same ones every time."""
    dice = random.Random(_SAMPLE_SEED)  # noqa: S311 - a sample, not a secret
    return [
        Flow(
            Protocol.TCP,
            IPv4Address(dice.getrandbits(32)),
            dice.randrange(1, 65_536),
            vip,
            port,
        )
        for _ in range(SAMPLED_FLOW_COUNT)
    ]
