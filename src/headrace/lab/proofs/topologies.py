"""The networks of the proofs."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from headrace.lab.sysctls import SYSCTLS_ALL, SYSCTLS_CLIENT, SYSCTLS_ROUTER, SYSCTLS_SOCKETS
from headrace.lab.topologies import DEMO
from headrace.lab.topology import (
    Address,
    Bgp,
    BgpPeer,
    Bridge,
    Link,
    Node,
    Role,
    Route,
    RoutingDaemon,
    Topology,
)
from headrace.model.values import Protocol

PASSWORD = "river"  # noqa: S105 - of a session inside a lab
"""The TCP MD5 key between the second router and each load balancer."""

LOOPBACK = "10.10.10.1"
"""The address of the learning load balancer that no link has."""

_R1, _R3 = IPv4Address("11.11.11.254"), IPv4Address("11.11.11.253")
R3_OF_USER = IPv4Address("1.1.3.254")
"""The second router as the client's neighbour. Answers come by the first, whoever was asked."""

_USER_R3, _LAN_R3 = IPv4Address("1.1.3.1"), IPv4Network("1.1.3.0/24")
_AS_R1, _AS_R3, _AS_BALANCERS = 65001, 65003, 64512
_BALANCERS = (IPv4Address("11.11.11.1"), IPv4Address("11.11.11.2"))
_DEFAULT = IPv4Network("0.0.0.0/0")


def _on(device: str, interface: str) -> Address:
    return Address(device, IPv4Interface(interface))


def _announce_node(node: Node) -> Node:
    """The demo's node, with BFD, and with the second router as another peer or neighbour."""
    if node.role is Role.CLIENT:
        return replace(node, addresses=(*node.addresses, _on("euserr3", f"{_USER_R3}/24")))
    if node.bgp is None:
        return node
    if node.role is Role.ROUTER:
        (lan,) = node.bridges
        peers = tuple(replace(peer, bfd=True) for peer in node.bgp.peers)
        return replace(
            node,
            bridges=(Bridge(lan.name, (*lan.ports, f"e{node.name}r3")),),
            routes=(Route(_LAN_R3, IPv4Address("1.1.1.1")),),
            bgp=replace(node.bgp, peers=peers),
        )
    peers = (*node.bgp.peers, BgpPeer(_R3, _AS_R3, PASSWORD))
    return replace(node, bgp=replace(node.bgp, peers=peers))


ANNOUNCE = replace(
    DEMO,
    name="announce",
    title="the seed's network with two routers: r1 runs BIRD, r3 runs FRR",
    nodes=(
        *map(_announce_node, DEMO.nodes),
        Node(
            "r3",
            Role.ROUTER,
            addresses=(_on("er3r1", f"{_R3}/24"), _on("er3user", f"{R3_OF_USER}/24")),
            sysctls=SYSCTLS_ROUTER,
            bgp=Bgp(
                _AS_R3,
                _R3,
                tuple(BgpPeer(each, _AS_BALANCERS, PASSWORD, bfd=True) for each in _BALANCERS),
                RoutingDaemon.FRR,
            ),
        ),
    ),
    links=(*DEMO.links, Link("r1", "r3"), Link("user", "r3", 8000)),
)


_CROWD = IPv4Network("50.50.48.0/22")


def crowd_address(index: int) -> IPv4Address:
    """The address of one endpoint of the crowd."""
    return _CROWD[index + 1]


_USER = Node(
    "user",
    Role.CLIENT,
    addresses=(_on("euserllb1", "1.1.1.1/24"),),
    routes=(Route(_DEFAULT, IPv4Address("1.1.1.254")),),
    sysctls=(*SYSCTLS_ALL, *SYSCTLS_CLIENT),
)


def crowd_topology(count: int) -> Topology:
    """One load balancer and many endpoints, which live in one node at an address each.

    Nobody answers for the VIP; packets to endpoints are only watched.
    """
    balancer = Node(
        "llb1",
        Role.BALANCER,
        addresses=(_on("ellb1user", "1.1.1.254/24"), _on("ellb1ep1", "31.31.31.254/24")),
        routes=(Route(_CROWD, IPv4Address("31.31.31.1")),),
        sysctls=SYSCTLS_ALL,
    )
    endpoint = Node(
        "ep1",
        Role.ENDPOINT,
        addresses=(
            _on("eep1llb1", "31.31.31.1/24"),
            *(_on("lo", f"{crowd_address(index)}/32") for index in range(count)),
        ),
        routes=(Route(_DEFAULT, IPv4Address("31.31.31.254")),),
        sysctls=(*SYSCTLS_ALL, *SYSCTLS_SOCKETS),
        identity=crowd_address(0),
    )
    return Topology(
        "crowd",
        (_USER, balancer, endpoint),
        links=(Link("user", "llb1", 8000), Link("llb1", "ep1")),
        vip=DEMO.vip,
        port=DEMO.port,
        protocols=(Protocol.UDP,),
    )


def _learning_router(name: str, number: int) -> Node:
    return Node(
        name,
        Role.ROUTER,
        addresses=(
            _on(f"e{name}llb1", f"1{number}.1{number}.1{number}.254/24"),
            _on(f"e{name}ep1", f"56.56.56.25{number}/24"),
        ),
        sysctls=SYSCTLS_ROUTER,
        bgp=Bgp(
            _AS_R1,
            IPv4Address(f"1{number}.1{number}.1{number}.254"),
            (BgpPeer(IPv4Address(f"1{number}.1{number}.1{number}.1"), _AS_BALANCERS),),
        ),
    )


def learning_topology(daemon: RoutingDaemon) -> Topology:
    """A load balancer that learns the way to its endpoint from two routers, by a daemon on it."""
    learner = Node(
        "llb1",
        Role.BALANCER,
        addresses=(
            _on("ellb1user", "1.1.1.254/24"),
            _on("ellb1ra", "11.11.11.1/24"),
            _on("ellb1rb", "12.12.12.1/24"),
            _on("lo", f"{LOOPBACK}/32"),
        ),
        sysctls=SYSCTLS_ALL,
        bgp=Bgp(
            _AS_BALANCERS,
            IPv4Address("11.11.11.1"),
            (
                BgpPeer(IPv4Address("11.11.11.254"), _AS_R1),
                BgpPeer(IPv4Address("12.12.12.254"), _AS_R1),
            ),
            daemon,
        ),
    )
    endpoint = Node(
        "ep1",
        Role.ENDPOINT,
        bridges=(Bridge("lan", ("eep1ra", "eep1rb")),),
        addresses=(_on("lan", "56.56.56.1/24"),),
        sysctls=SYSCTLS_ALL,
        identity=IPv4Address("56.56.56.1"),
    )
    return Topology(
        "learning",
        (_USER, learner, _learning_router("ra", 1), _learning_router("rb", 2), endpoint),
        links=(
            Link("user", "llb1", 8000),
            *(Link("llb1", name) for name in ("ra", "rb")),
            *(Link(name, "ep1") for name in ("ra", "rb")),
        ),
        vip=DEMO.vip,
        port=DEMO.port,
        protocols=(Protocol.UDP,),
    )
