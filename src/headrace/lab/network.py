"""Fill the namespaces of a topology: links, bridges, addresses, routes, kernel settings."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from headrace.lab.namespaces import NETNS_FOLDER, run_in_namespace
from headrace.lab.offloads import set_offloads
from headrace.lab.topology import Link, LinkEnd, Node, Role, Topology, TunnelDevice
from headrace.model.errors import KernelError

_TABLE_MAIN = 254
_IFF_UP = 1
_GRO_MAX_BYTES = 1
"""What GRO may make of several packets: less than any, so that it leaves each as it came."""

_SYSCTL_FOLDER = Path("/proc/sys")
_SYSCTLS_EVERYWHERE = (
    ("net.ipv6.conf.all.disable_ipv6", "1"),  # no router solicitation, no stray multicast
    ("net.ipv6.conf.default.disable_ipv6", "1"),
)


WIRE = "wire"
"""The namespace in the middle of tapped links: no node, only cables that can be listened to."""


def build_network(topology: Topology, namespaces: Mapping[str, str], *, with_tunnels: bool) -> None:
    """Fill one empty namespace a node (`namespaces` names them) with what the topology says.

    `with_tunnels` makes the `ipip` devices and their routes too, where the kernel has them.
    """
    for node in topology.nodes:
        settings = () if node.guest else node.sysctls
        run_in_namespace(namespaces[node.name], partial(_prepare_node, settings))
    for link in topology.links:
        for near, far in _veths_of(link):
            add = partial(_add_veth, near[1], far[1], namespaces[far[0]], link.mtu_bytes)
            run_in_namespace(namespaces[near[0]], add)
    for node in topology.nodes:
        fill = partial(_fill_node, topology, node, with_tunnels=with_tunnels)
        run_in_namespace(namespaces[node.name], fill)
    if topology.tapped_links:
        run_in_namespace(namespaces[WIRE], partial(_join_wires, topology))


def namespaces_needed(topology: Topology) -> list[str]:
    """What `build_network` wants a namespace for: every node, and the wires if any is tapped."""
    names = [node.name for node in topology.nodes]
    return [*names, WIRE] if topology.tapped_links else names


def _veths_of(link: Link) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """The veth pairs of a link, each as two (namespace, device): one, or two with a tap between."""
    near, far = ((end.node, end.device) for end in link.ends)
    if not link.tapped:
        yield near, far
        return
    near_tap, far_tap = link.tap
    yield near, (WIRE, near_tap)
    yield far, (WIRE, far_tap)


def _join_wires(topology: Topology) -> None:
    """Bridge both halves of every tapped link, so that what enters one end leaves the other."""
    _prepare_node(())
    with IPRoute() as netlink:
        for link in topology.tapped_links:
            bridge = f"{link.first}{link.second}"
            _add_bridge(netlink, bridge, link.tap)
            for device, end in zip(link.tap, link.ends, strict=True):
                from_balancer = topology.node(end.node).role is Role.BALANCER
                _raise_veth(netlink, device, gro=from_balancer)


def join_tap(namespace: str, tap: str, end: LinkEnd) -> None:
    """Plug a virtual machine's interface into the cable that ends in this namespace."""

    def act() -> None:
        with IPRoute() as netlink:
            _set_link(netlink, tap, mtu=end.mtu_bytes, state="up")
            _add_bridge(netlink, f"b{end.peer_node}", (end.device, tap))

    run_in_namespace(namespace, act)


def set_links(namespace: str, devices: Iterable[str], *, up: bool) -> None:
    """Take devices of a node up or down, as if the cables were plugged or pulled."""

    def act() -> None:
        with IPRoute() as netlink:
            for device in devices:
                _set_link(netlink, device, state="up" if up else "down")

    run_in_namespace(namespace, act)


def add_addresses(namespace: str, device: str, addresses: Iterable[str]) -> None:
    """Give a device of a node more addresses (`a.b.c.d/length`)."""

    def act() -> None:
        with IPRoute() as netlink:
            for address in addresses:
                _add_address(netlink, device, address)

    run_in_namespace(namespace, act)


@contextmanager
def routed(namespace: str, destination: IPv4Network, via: IPv4Address) -> Iterator[None]:
    """A node's packets to this prefix take this gateway during the block."""

    def act(command: str) -> None:
        with IPRoute() as netlink, _naming(f"{command} route {destination} via {via}"):
            netlink.route(command, dst=str(destination), gateway=str(via))

    run_in_namespace(namespace, partial(act, "add"))
    try:
        yield
    finally:
        run_in_namespace(namespace, partial(act, "del"))


def set_sysctls(namespace: str, settings: Iterable[tuple[str, str]]) -> None:
    """Write kernel settings of a node's own network."""
    run_in_namespace(namespace, partial(_write_sysctls, tuple(settings)))


def read_next_hops(namespace: str, destination: IPv4Network) -> list[str]:
    """The gateways of a node's route to exactly this prefix; none when there is no such route."""

    def act() -> list[str]:
        with IPRoute() as netlink:
            routes = list(netlink.get_routes(family=socket.AF_INET, table=_TABLE_MAIN))
        return [
            gateway
            for route in routes
            if route.get("dst") == str(destination.network_address)
            if route["dst_len"] == destination.prefixlen
            for gateway in gateways_of(route)
        ]

    return sorted(set(run_in_namespace(namespace, act)))


@dataclass(frozen=True, slots=True)
class TcpCounts:
    """What the TCP of a node has done since its namespace began."""

    sent: int  # segments, each as often as it was sent
    retransmitted: int


def read_tcp_counts(namespace: str) -> TcpCounts:
    """A node's own counters."""
    text = run_in_namespace(namespace, Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    counts = dict(zip(names, map(int, values), strict=True))
    again = counts["RetransSegs"]
    return TcpCounts(counts["OutSegs"] + again, again)  # RFC 4022: the first without the second


def has_xdp(namespace: str, device: str) -> bool:
    """Whether an XDP program is attached to a device of a node."""

    def act() -> bool:
        with IPRoute() as netlink:
            link = netlink.get_links(_index_of(netlink, device))[0]
            return bool(link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED"))

    return run_in_namespace(namespace, act)


def is_up(namespace: str, device: str) -> bool:
    """Whether a device of a node is up."""

    def act() -> bool:
        with IPRoute() as netlink:
            link = netlink.get_links(_index_of(netlink, device))[0]
            return bool(link["flags"] & _IFF_UP)

    return run_in_namespace(namespace, act)


def gateways_of(route: Any) -> Iterator[str]:  # noqa: ANN401 - pyroute2's messages have no types
    """The gateways of one netlink route message, whether it has one next hop or several."""
    for hop in route.get("multipath") or [route]:
        gateway = hop.get("gateway")
        if gateway is not None:
            yield str(gateway)


def _prepare_node(settings: Iterable[tuple[str, str]]) -> None:
    """Settings that later devices inherit, and the loopback device."""
    _write_sysctls((*_SYSCTLS_EVERYWHERE, *settings))
    with IPRoute() as netlink:
        _set_link(netlink, "lo", state="up")


def _add_veth(near: str, far: str, far_namespace: str, mtu_bytes: int) -> None:
    """Make a veth pair: one end here, the other in another namespace."""
    fd = os.open(NETNS_FOLDER / far_namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with IPRoute() as netlink, _naming(f"make link {near}"):
            netlink.link(
                "add",
                ifname=near,
                kind="veth",
                mtu=mtu_bytes,
                peer={"ifname": far, "net_ns_fd": fd, "mtu": mtu_bytes},
            )
    finally:
        os.close(fd)


def _fill_node(topology: Topology, node: Node, *, with_tunnels: bool) -> None:
    """Everything of a node that needs its links."""
    ends = topology.link_ends(node.name)
    with IPRoute() as netlink:
        for end in ends:
            _raise_veth(netlink, end.device, gro=topology.feeds_from_balancer(end))
        if node.guest:
            return  # the rest is inside the machine, see `join_tap`
        for bridge in node.bridges:
            _add_bridge(netlink, bridge.name, bridge.ports)
        for address in node.addresses:
            _add_address(netlink, address.device, str(address.interface))
        for tunnel in node.tunnels if with_tunnels else ():
            if tunnel.kind == "ipip":
                _add_tunnel(netlink, tunnel)
        for route in node.routes:
            _add_route(netlink, str(route.destination), str(route.via))


def _raise_veth(netlink: IPRoute, device: str, *, gro: bool) -> None:
    """Take a veth up, then set its offloads: the order matters.

    Only on a device that is up does switching GRO on tell the peer that it may redirect into it
    (Linux 6.18, veth_set_features); set before, every redirected packet is lost without a word.
    """
    _set_link(netlink, device, state="up")
    set_offloads(device, gro=gro)
    if gro:
        _set_link(netlink, device, gro_max_size=_GRO_MAX_BYTES)


def _add_bridge(netlink: IPRoute, name: str, ports: Iterable[str]) -> None:
    with _naming(f"make bridge {name}"):
        netlink.link("add", ifname=name, kind="bridge")
    index = _index_of(netlink, name)
    for port in ports:
        _set_link(netlink, port, master=index)
    _set_link(netlink, name, state="up")


def _add_tunnel(netlink: IPRoute, tunnel: TunnelDevice) -> None:
    with _naming(f"make tunnel {tunnel.name}"):
        netlink.link(
            "add",
            ifname=tunnel.name,
            kind="ipip",
            ipip_local=str(tunnel.local),
            ipip_remote=str(tunnel.remote),
        )
    _set_link(netlink, tunnel.name, state="up")
    _add_address(netlink, tunnel.name, str(tunnel.address))
    if tunnel.route is not None:
        _add_route(netlink, str(tunnel.route.destination), str(tunnel.route.via))


def _set_link(netlink: IPRoute, device: str, **attributes: str | int) -> None:
    with _naming(f"set {device} to {attributes}"):
        netlink.link("set", index=_index_of(netlink, device), **attributes)


def _add_address(netlink: IPRoute, device: str, interface: str) -> None:
    address, _, length = interface.partition("/")
    with _naming(f"add address {interface} to {device}"):
        index = _index_of(netlink, device)
        netlink.addr("add", index=index, address=address, prefixlen=int(length))


def _add_route(netlink: IPRoute, destination: str, via: str) -> None:
    with _naming(f"add route {destination} via {via}"):
        netlink.route("add", dst=destination, gateway=via)


def _index_of(netlink: IPRoute, device: str) -> int:
    for index in netlink.link_lookup(ifname=device):
        return int(index)
    raise KernelError(f"find device {device}", errno.ENODEV)


def _write_sysctls(settings: Iterable[tuple[str, str]]) -> None:
    for name, value in settings:
        path = _SYSCTL_FOLDER / name.replace(".", "/")
        try:
            path.write_text(value)
        except OSError as error:
            raise KernelError(f"set {name}={value}", error.errno or 0) from error


@contextmanager
def _naming(operation: str) -> Iterator[None]:
    """Say what was being done when the kernel refuses it."""
    try:
        yield
    except NetlinkError as error:
        raise KernelError(operation, error.code) from error
