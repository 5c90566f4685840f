"""What is typed on a guest to make it its node: the seed's own commands, from the topology."""

import shlex
from collections.abc import Iterator

from headrace.lab.endpoint import GUE_PORT, addresses_on_lo, endpoint_sysctls
from headrace.lab.topology import Node, Role, Topology, TunnelDevice
from headrace.model.values import Encapsulation

_MORE_OF_KIND = {"ip6tnl": " mode any encaplimit none"}
"""An `ip6tnl` else takes only IPv6, and puts an option into its header that no balancer has."""


def render_guest(topology: Topology, node: Node) -> list[str]:
    """The commands, one a line, in the order that they must be given in."""
    return [
        *(_render_sysctl(*setting) for setting in node.sysctls),
        "ip link set dev lo up",
        *(
            f"ip link set dev {end.device} mtu {end.mtu_bytes} up"
            for end in topology.link_ends(node.name)
        ),
        *(f"ip addr add {address.interface} dev {address.device}" for address in node.addresses),
        *(line for tunnel in node.tunnels for line in _render_tunnel(tunnel)),
        *(_render_gue(node) if topology.encapsulation is Encapsulation.GUE else ()),
        *(f"ip route add {route.destination} via {route.via}" for route in node.routes),
        *(_render_endpoint(topology, node) if node.role is Role.ENDPOINT else ()),
    ]


def _render_tunnel(tunnel: TunnelDevice) -> Iterator[str]:
    name, kind = tunnel.name, tunnel.kind
    ends = f"local {tunnel.local} remote {tunnel.remote}"
    yield f"ip link add name {name} type {kind} {ends}{_MORE_OF_KIND.get(kind, '')}"
    yield f"ip link set dev {name} up"
    yield f"ip addr add {tunnel.address} dev {name}"


def _render_gue(node: Node) -> Iterator[str]:
    """Have the kernel take the UDP header away; what is left is as if it came by the tunnel."""
    for version in sorted({tunnel.local.version for tunnel in node.tunnels}):
        yield f"ip -{version} fou add port {GUE_PORT} gue"


def _render_endpoint(topology: Topology, node: Node) -> Iterator[str]:
    for address in addresses_on_lo(topology, node):
        yield f"ip addr add {address} dev lo"
    for setting in endpoint_sysctls([tunnel.name for tunnel in node.tunnels]):
        yield _render_sysctl(*setting)


def _render_sysctl(name: str, value: str) -> str:
    return f"sysctl -w {shlex.quote(f'{name}={value}')}"
