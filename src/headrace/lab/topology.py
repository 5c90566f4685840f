"""Networks as data: nodes, links and what each node carries. Nothing here touches a kernel."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface

from headrace.model.values import Encapsulation, IPAddress, IPNetwork, Protocol, Tunnel

IPInterface = IPv4Interface | IPv6Interface

LIMIT_INTERFACE_NAME_BYTES = 15
"""IFNAMSIZ less its final zero."""


class Role(StrEnum):
    """What a node does in a lab."""

    CLIENT = "client"
    ROUTER = "router"
    BALANCER = "balancer"
    ENDPOINT = "endpoint"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair between two nodes; `eAB` is its end in A, `eBA` its end in B."""

    first: str
    second: str
    mtu_bytes: int = 9000
    tapped: bool = False  # captures read it on the wire, where XDP cannot hide a packet

    @property
    def tap(self) -> tuple[str, str]:
        """The devices in the middle of a tapped link, in the namespace of the wires."""
        return (f"w{self.first}{self.second}", f"w{self.second}{self.first}")

    @property
    def ends(self) -> tuple["LinkEnd", "LinkEnd"]:
        """Both devices, each with the node that it is in."""
        return (
            LinkEnd(self.first, f"e{self.first}{self.second}", self.second, self.mtu_bytes),
            LinkEnd(self.second, f"e{self.second}{self.first}", self.first, self.mtu_bytes),
        )


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One device of a veth pair."""

    node: str
    device: str
    peer_node: str
    mtu_bytes: int

    @property
    def peer_device(self) -> str:
        """The other end's device."""
        return f"e{self.peer_node}{self.node}"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A plain bridge without VLAN filtering, and the devices enslaved to it."""

    name: str
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a device, with its prefix length."""

    device: str
    interface: IPInterface


@dataclass(frozen=True, slots=True)
class Route:
    """A route by a gateway."""

    destination: IPNetwork
    via: IPAddress


@dataclass(frozen=True, slots=True)
class TunnelDevice:
    """A kernel's tunnel as the operator would make it, and the route it is there for."""

    name: str
    local: IPAddress
    remote: IPAddress
    address: IPInterface
    route: Route | None = None  # at the balancer: the endpoint's prefix, through the tunnel

    @property
    def kind(self) -> str:
        """The kind of device that carries the inner family in the outer one."""
        if self.local.version == 6:
            return "ip6tnl"
        return "ipip" if self.address.version == 4 else "sit"


class RoutingDaemon(StrEnum):
    """The routing daemon of a router, or of another node beside what it is there for."""

    BIRD = "bird"
    FRR = "frr"


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """The other end of a session."""

    address: IPv4Address
    as_number: int
    password: str | None = None  # TCP MD5
    bfd: bool = False


@dataclass(frozen=True, slots=True)
class Bgp:
    """A node's own end of its sessions."""

    as_number: int
    router_id: IPv4Address
    peers: tuple[BgpPeer, ...]
    daemon: RoutingDaemon = RoutingDaemon.BIRD


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the lab."""

    name: str
    role: Role
    addresses: tuple[Address, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    tunnels: tuple[TunnelDevice, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    bgp: Bgp | None = None
    identity: IPAddress | None = None  # of an endpoint: the address that rules name it by
    guest: bool = False  # it lives in the lab's virtual machine, with a kernel of Debian's


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole network: nodes, the links between them, and the service it is there to show."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    vip: IPAddress
    port: int
    title: str = ""
    protocols: tuple[Protocol, ...] = (Protocol.TCP,)
    http: bool = False  # what its TCP speaks; else the prover's greeting and echo
    encapsulation: Encapsulation = Encapsulation.IPIP

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def with_role(self, role: Role) -> tuple[Node, ...]:
        """The nodes that do one thing, in the topology's order."""
        return tuple(node for node in self.nodes if node.role is role)

    def link_ends(self, node: str) -> tuple[LinkEnd, ...]:
        """The veth devices of a node, in the order of the links."""
        return tuple(end for link in self.links for end in link.ends if end.node == node)

    def feeds_from_balancer(self, end: LinkEnd) -> bool:
        """Whether a balancer sends into this device, so that XDP redirects must arrive in it."""
        return self.node(end.peer_node).role is Role.BALANCER

    @property
    def guests(self) -> tuple[Node, ...]:
        """The nodes that live in the virtual machine."""
        return tuple(node for node in self.nodes if node.guest)

    @property
    def tapped_links(self) -> tuple[Link, ...]:
        """The links whose packets captures can read on the wire."""
        return tuple(link for link in self.links if link.tapped)

    def tunnels_of(self, balancer: str) -> tuple[Tunnel, ...]:
        """The outer addresses that a balancer uses towards each endpoint, as its devices say."""
        return tuple(
            Tunnel(endpoint.identity, device.local, device.remote)
            for device in self.node(balancer).tunnels
            for endpoint in self.with_role(Role.ENDPOINT)
            if device.route is not None
            and endpoint.identity is not None
            and endpoint.identity in device.route.destination
        )

    def problems(self) -> Iterator[str]:
        """Everything that keeps this topology from being built, each in a sentence."""
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            yield f"{self.name}: two nodes have the same name"
        for link in self.links:
            for end in link.ends:
                if end.node not in names:
                    yield f"{self.name}: a link ends at {end.node}, which is no node"
                if len(end.device) > LIMIT_INTERFACE_NAME_BYTES:
                    yield f"{self.name}: {end.device} is too long for the name of a device"
        for node in self.nodes:
            yield from self._problems_of(node)

    def _problems_of(self, node: Node) -> Iterator[str]:
        """What is wrong with one node: names of devices that it does not have."""
        devices = {"lo"} | {end.device for end in self.link_ends(node.name)}
        for bridge in node.bridges:
            for port in bridge.ports:
                if port not in devices:
                    yield f"{node.name}: bridge {bridge.name} has no device {port}"
            devices.add(bridge.name)
        for address in node.addresses:
            if address.device not in devices:
                yield f"{node.name}: {address.interface} is on {address.device}, which is not there"
