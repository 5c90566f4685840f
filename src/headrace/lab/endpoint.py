"""Prepare an endpoint as the seed does: VIP on `lo`, kernel settings, the end of the tunnel."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from headrace.lab.laboratory import Laboratory
from headrace.lab.network import add_addresses, set_sysctls
from headrace.lab.processes import ProcessId
from headrace.lab.state import Cleanup
from headrace.lab.topology import Node

SYSCTLS = (
    ("net.ipv4.conf.all.arp_ignore", "3"),
    ("net.ipv4.conf.all.arp_announce", "2"),
    ("net.ipv4.conf.all.rp_filter", "2"),
)


def prepare_endpoint(lab: Laboratory, node: Node) -> None:
    """Give an endpoint the VIP and its own address on `lo`, and the seed's kernel settings."""
    addresses = [f"{address}/32" for address in (node.identity, lab.topology.vip) if address]
    add_addresses(lab.namespace(node.name), "lo", addresses)
    tunnels = [tunnel.name for tunnel in node.tunnels] if lab.has_ipip else []
    per_tunnel = [(f"net.ipv4.conf.{name}.rp_filter", "0") for name in tunnels]
    set_sysctls(lab.namespace(node.name), [*SYSCTLS, *per_tunnel])


def start_decapsulation(lab: Laboratory, node: Node, program: Sequence[str]) -> ProcessId:
    """Start tailrace on an endpoint whose kernel has no `ipip` device.

    `program` is how tailrace is called; it accepts tunnels from the addresses that the topology's
    devices would have as their remote end.
    """
    variables = {"TAILRACE_INSTANCE": f"{lab.name}-{node.name}"}
    lab.set_environment(node.name, variables)
    lab.on_removal(Cleanup(node.name, (*program, "detach"), variables))
    argv = [*program, "run", "--vip", str(lab.topology.vip)]
    for source in tunnel_sources(node):
        argv += ["--from", str(source)]
    for device in tunnel_devices(lab, node):
        argv += ["--interface", device]
    return lab.start(node.name, argv, f"{node.name}-tailrace")


def tunnel_sources(node: Node) -> list[IPv4Address]:
    """The balancers' outer addresses, as an endpoint sees them."""
    return [tunnel.remote for tunnel in node.tunnels]


def tunnel_devices(lab: Laboratory, node: Node) -> list[str]:
    """The devices of an endpoint that tunnelled packets arrive on: those towards balancers."""
    ends = lab.topology.link_ends(node.name)
    return [end.device for end in ends if lab.topology.feeds_from_balancer(end)]
