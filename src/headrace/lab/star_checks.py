"""What must be so in every star: who answers whom, what is on the wires, what was counted."""

from collections import Counter
from collections.abc import Sequence

from headrace.lab.capture import Capture, CapturePoint
from headrace.lab.endpoint import GUE_PORT
from headrace.lab.network import WIRE
from headrace.lab.star_network import StarNetwork, server_name
from headrace.lab.topology import Node, Role, Topology
from headrace.lab.waiting import together
from headrace.model.errors import UnavailableError
from headrace.model.values import Encapsulation, Protocol

SOURCE_PORT, CONNECTION_COUNT = 55_001, 12
"""LoxiLB's check: so many connections from this source port reach one server."""

_OTHER_PORTS = range(40_000, 40_036)
"""Each of three endpoints has some of 36 flows, but for one case in a million."""

_PAYLOAD_BYTES = 7_000
"""With every header less than the client's link carries, so it leaves in one packet, or nearly."""

_DRAIN_S = 0.5  # for tcpdump to tell of the last packets
_SHOWN_LINES = 2


async def check_star(network: StarNetwork) -> None:
    """Every claim about a star that has been brought up."""
    view, topology = network.view, network.lab.topology
    view.step(2, "Each endpoint by itself")
    await _check_endpoints(network)
    explained = await network.explained([SOURCE_PORT, *_OTHER_PORTS])
    for number, protocol in enumerate(topology.protocols, start=3):
        view.step(number, f"{_spoken(topology, protocol)} by the VIP")
        await _check_one_flow(network, protocol, explained[protocol, SOURCE_PORT])
        names = [explained[protocol, port] for port in _OTHER_PORTS]
        await _check_many_flows(network, protocol, names)
    view.step(3 + len(topology.protocols), "On the wires, and in the counters")
    protocol = topology.protocols[0]
    await _check_wires(network, protocol, explained[protocol, SOURCE_PORT])
    await _check_counters(network)


async def _check_endpoints(network: StarNetwork) -> None:
    protocol = network.lab.topology.protocols[0]
    answers = {}
    for node in network.endpoints:
        address = network.own_address(node)
        answers[server_name(node)] = (await network.ask(protocol, [0], address=address))[0]
    network.view.check(
        "each endpoint answers on its own address, past the load balancer's data plane",
        held=all(name == answer for name, answer in answers.items()),
        seen=", ".join(str(answer) for answer in answers.values()),
    )


async def _check_one_flow(network: StarNetwork, protocol: Protocol, explained: str) -> None:
    answers = Counter(await network.ask(protocol, [SOURCE_PORT] * CONNECTION_COUNT))
    network.view.check(
        f"{CONNECTION_COUNT} conversations from port {SOURCE_PORT} reach the one server that "
        "`explain` names",
        held=answers == {explained: CONNECTION_COUNT},
        seen=f"{_shown(answers)}; explained: {explained}",
    )


async def _check_many_flows(
    network: StarNetwork, protocol: Protocol, explained: Sequence[str]
) -> None:
    answers = await network.ask(protocol, _OTHER_PORTS, payload_bytes=_PAYLOAD_BYTES)
    right = sum(answer == name for answer, name in zip(answers, explained, strict=True))
    network.view.check(
        f"{len(answers)} flows with {_PAYLOAD_BYTES:,} bytes each go where `explain` says, to "
        "every endpoint",
        held=right == len(answers) and set(answers) == set(map(server_name, network.endpoints)),
        seen=f"{right} right: {_shown(Counter(answers))}",
    )


async def _check_wires(network: StarNetwork, protocol: Protocol, explained: str) -> None:
    """One conversation seen on the way to its endpoint, and on the load balancer's way back."""
    view, topology, lab = network.view, network.lab.topology, network.lab
    balancer, client = network.balancer.node.name, network.client.name
    owners = [node for node in network.endpoints if server_name(node) == explained]
    if not owners:
        raise UnavailableError(f"no endpoint has the flow from port {SOURCE_PORT}: {explained}")
    (owner,) = owners
    there = CapturePoint(WIRE, f"w{balancer}{owner.name}")
    back = CapturePoint(balancer, f"e{balancer}{client}")
    async with (
        Capture(lab, there, _wire_filter(topology, owner)) as wire,
        Capture(lab, back, f"src host {topology.vip}") as replies,
    ):
        await network.ask(protocol, [SOURCE_PORT])
        packets, returned = await together(
            capture.packets(timeout_s=_DRAIN_S) for capture in (wire, replies)
        )
    view.packets(f"on {balancer}'s cable to {owner.name}", [p.text for p in packets[:_SHOWN_LINES]])
    view.check(
        f"on the wire to {owner.name} the packets are {_on_wire(topology, owner)}",
        held=bool(packets),
        seen=f"{len(packets)} packets",
    )
    if topology.with_role(Role.SWITCH):
        view.check(
            f"no reply returns by {balancer}",
            held=not returned,
            seen=f"{len(returned)} packets from the VIP there",
        )


async def _check_counters(network: StarNetwork) -> None:
    verdicts = (await network.balancer.status())["verdicts"]
    counts = {entry["name"]: entry["count"]["packets"] for entry in verdicts}
    bad = {name: count for name, count in counts.items() if count and name.startswith("drop")}
    network.view.check(
        "the load balancer sent every packet for the VIP on, and dropped none",
        held=counts.get("sent", 0) > 0 and not bad,
        seen=f"{counts.get('sent', 0):,} sent, dropped: "
        + (", ".join(f"{name} {count}" for name, count in bad.items()) or "none"),
    )


def _wire_filter(topology: Topology, endpoint: Node) -> str:
    """What tcpdump looks for between the load balancer and an endpoint."""
    match topology.encapsulation:
        case Encapsulation.GUE:
            return f"udp dst port {GUE_PORT}"
        case Encapsulation.L2:
            return f"dst host {topology.vip}"
        case Encapsulation.IPIP:
            field = "ip6[6]" if _outer_version(endpoint) == 6 else "ip[9]"
            return f"{field} = {4 if topology.vip.version == 4 else 41}"


def _on_wire(topology: Topology, endpoint: Node) -> str:
    if topology.encapsulation is Encapsulation.L2:
        return "as the client sent them, with another MAC"
    outer = f"IPv{_outer_version(endpoint)}"
    between = f"UDP to port {GUE_PORT} in " if topology.encapsulation is Encapsulation.GUE else ""
    return f"IPv{topology.vip.version} in {between}{outer}"


def _outer_version(endpoint: Node) -> int:
    outer = endpoint.tunnels[0].local if endpoint.tunnels else endpoint.identity
    return outer.version if outer is not None else 4


def _spoken(topology: Topology, protocol: Protocol) -> str:
    return "HTTP" if topology.http else str(protocol).upper()


def _shown(answers: Counter[str | None]) -> str:
    return ", ".join(f"{name or 'no answer'} {n}" for name, n in sorted(answers.items(), key=str))
