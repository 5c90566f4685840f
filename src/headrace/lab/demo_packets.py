"""Look at the demo's packets: steps 5 and 6, captures, and who answers which flow."""

import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address

from headrace.lab.capture import Capture, CapturePoint
from headrace.lab.demo_network import DemoNetwork
from headrace.lab.network import WIRE
from headrace.lab.topology import Node
from headrace.lab.traffic import LiveTraffic, ask_names
from headrace.lab.waiting import together
from headrace.model.errors import UnavailableError
from headrace.model.values import Flow, Protocol

SAMPLED_FLOW_COUNT = 10_000

_CAPTURE_S = 1.0
_SHOWN_LINES = 4
_OPEN_TIMEOUT_S = 10.0
_SAMPLE_SEED = 20  # any: the same flows are sampled in every run


@dataclass(frozen=True, slots=True)
class Dumps:
    """What each place saw of one connection."""

    client: list[str]
    wires: dict[str, list[str]]  # by balancer: its cable to the endpoint
    endpoint: list[str]
    balancers: dict[str, list[str]]  # replies that a balancer saw, of which there must be none


async def show_captures(network: DemoNetwork) -> None:
    """Step 5: the seed's three dumps, of one connection."""
    view, topology = network.view, network.lab.topology
    view.step(5, "One connection, seen at the client, the load balancer and the endpoint")
    traffic = await LiveTraffic.start(network.lab, network.client)
    try:
        await traffic.open(1, timeout_s=_OPEN_TIMEOUT_S)
        flows = await traffic.flows()
        if not flows:
            raise UnavailableError(f"no server answers on {topology.vip}:{topology.port}")
        (port, server), *_ = flows.items()
        endpoint = network.endpoint_of(server)
        dumps = await _capture(network, endpoint, port)
    finally:
        await traffic.stop()
    view.packets(f"Client: {network.client}", dumps.client[:_SHOWN_LINES])
    for balancer, lines in dumps.wires.items():
        if lines:
            where = f"Load balancer: {balancer}, on its cable to {endpoint.name}, IP protocol 4"
            view.packets(where, lines[:_SHOWN_LINES])
    view.packets(f"Endpoint: {endpoint.name}", dumps.endpoint[:_SHOWN_LINES])
    _check_dumps(network, endpoint, port, dumps)


async def _capture(network: DemoNetwork, endpoint: Node, port: int) -> Dumps:
    """Listen at every place at once while the connection talks."""
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
        points["wire", name] = (wire, "ip proto 4")
        replies = f"src host {lab.topology.vip} and {tcp}"
        points["balancer", name] = (CapturePoint(name, "any"), replies)
    async with AsyncExitStack() as stack:
        captures = await together(
            stack.enter_async_context(Capture(lab, point, text)) for point, text in points.values()
        )
        texts = await together(capture.lines(timeout_s=_CAPTURE_S) for capture in captures)
    seen = dict(zip(points, texts, strict=True))
    return Dumps(
        seen["client", client],
        {name: seen["wire", name] for name in names},
        seen["endpoint", endpoint.name],
        {name: seen["balancer", name] for name in names},
    )


def _check_dumps(network: DemoNetwork, endpoint: Node, port: int, dumps: Dumps) -> None:
    """The claims about one connection."""
    service = f"{network.lab.topology.vip}.{network.lab.topology.port}"
    client = network.lab.topology.node(network.client).addresses[0].interface.ip
    request, reply = f"{client}.{port} > {service}: ", f"{service} > {client}.{port}: "
    sent = {_inner(line) for line in dumps.client if request in line}
    outer = [f" IP {tunnel.remote} > {tunnel.local}: IP " for tunnel in endpoint.tunnels]
    forwarded = {
        name: sum(_inner(line) in sent and any(head in line for head in outer) for line in lines)
        for name, lines in dumps.wires.items()
    }
    view = network.view
    view.check(
        "the client talks to the VIP and is answered by it",
        held=_any(dumps.client, request) and _any(dumps.client, reply),
        seen=f"{len(dumps.client)} packets",
    )
    view.check(
        "one load balancer sends it on in IP-in-IP, the packet inside unchanged",
        held=sum(1 for count in forwarded.values() if count) == 1,
        seen=", ".join(f"{count} packets by {name}" for name, count in forwarded.items()),
    )
    view.check(
        "the endpoint answers the client itself, from the VIP",
        held=_any(dumps.endpoint, reply),
        seen=f"{sum(reply in line for line in dumps.endpoint)} replies at {endpoint.name}",
    )
    back = sum(len(lines) for lines in dumps.balancers.values())
    view.check("no reply passes a load balancer", held=back == 0, seen=f"{back} replies")


def _inner(line: str) -> str:
    """The innermost packet of a captured line; older tcpdumps say `(ipip-proto-4)` after it."""
    return line.removesuffix(" (ipip-proto-4)").rpartition("IP ")[2]


def _any(lines: list[str], part: str) -> bool:
    return any(part in line for line in lines)


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


def sample_flows(vip: IPv4Address, port: int) -> list[Flow]:
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
