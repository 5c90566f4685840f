"""Prepare an endpoint as the seed does: VIP on `lo`, kernel settings, the end of the tunnel."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.lab.laboratory import Laboratory
from headrace.lab.network import add_addresses, set_sysctls
from headrace.lab.processes import ProcessId
from headrace.lab.topology import Node, Topology
from headrace.model.values import Encapsulation, IPAddress

GUE_PORT = 6080

SYSCTLS = (
    ("net.ipv4.conf.all.arp_ignore", "3"),
    ("net.ipv4.conf.all.arp_announce", "2"),
    ("net.ipv4.conf.all.rp_filter", "2"),
)


def prepare_endpoint(lab: Laboratory, node: Node) -> None:
    """Give an endpoint the VIP and its own address on `lo`, and the seed's kernel settings."""
    add_addresses(lab.namespace(node.name), "lo", addresses_on_lo(lab.topology, node))
    tunnels = [tunnel.name for tunnel in node.tunnels] if lab.has_ipip else []
    set_sysctls(lab.namespace(node.name), endpoint_sysctls(tunnels))


def addresses_on_lo(topology: Topology, node: Node) -> list[str]:
    """The endpoint's own address, where no device of its has it, and the VIP."""
    on_devices = {address.interface.ip for address in node.addresses}
    own = [node.identity] if node.identity and node.identity not in on_devices else []
    return [f"{address}/{address.max_prefixlen}" for address in (*own, topology.vip)]


def endpoint_sysctls(tunnels: Sequence[str]) -> list[tuple[str, str]]:
    """The seed's kernel settings for an endpoint with these tunnel devices."""
    return [*SYSCTLS, *((f"net.ipv4.conf.{name}.rp_filter", "0") for name in tunnels)]


def start_decapsulation(lab: Laboratory, node: Node, program: Sequence[str]) -> ProcessId:
    """Start tailrace on an endpoint whose kernel has no `ipip` device.

    `program` is how tailrace is called; it accepts tunnels from the addresses that the topology's
    devices would have as their remote end.
    """
    instance = f"{lab.name}-{node.name}"
    lab.set_environment(node.name, {"TAILRACE_INSTANCE": instance})
    lab.remove_at_end(Path("/run/tailrace") / instance)
    argv = [*program, "run", "--vip", str(lab.topology.vip)]
    for source in tunnel_sources(lab.topology, node):
        argv += ["--from", str(source)]
    for device in tunnel_devices(lab.topology, node):
        argv += ["--interface", device]
    if lab.topology.encapsulation is Encapsulation.GUE:
        argv += ["--gue-port", str(GUE_PORT)]
    return lab.start(node.name, argv, f"{node.name}-tailrace")


def tunnel_sources(topology: Topology, node: Node) -> list[IPAddress]:
    """The balancers' outer addresses, as an endpoint sees them."""
    if node.tunnels:
        return [tunnel.remote for tunnel in node.tunnels]
    return [*_balancer_addresses(topology, node)]


def tunnel_devices(topology: Topology, node: Node) -> list[str]:
    """The devices of an endpoint that tunnelled packets arrive on: those towards balancers."""
    ends = topology.link_ends(node.name)
    return [end.device for end in ends if topology.feeds_from_balancer(end)]


def _balancer_addresses(topology: Topology, node: Node) -> Iterator[IPAddress]:
    """What balancers have at the other end of an endpoint's links, in its identity's family."""
    for end in topology.link_ends(node.name):
        if node.identity is None or not topology.feeds_from_balancer(end):
            continue
        for address in topology.node(end.peer_node).addresses:
            same_family = address.interface.version == node.identity.version
            if address.device == end.peer_device and same_family:
                yield address.interface.ip
