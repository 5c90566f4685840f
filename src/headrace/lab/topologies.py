"""The topologies that come with Headrace.

`DEMO` is the network of LoxiLB's scenario `tcplbl3dsrha`: two load balancers announce one VIP by
BGP, and three endpoints behind tunnels answer clients directly (L3DSR). The stars are smaller: one
load balancer, without BGP.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import MappingProxyType

from headrace.lab.stars import STARS
from headrace.lab.sysctls import (
    SYSCTLS_ALL,
    SYSCTLS_CLIENT,
    SYSCTLS_ROUTER,
    SYSCTLS_SOCKETS,
)
from headrace.lab.topology import (
    Address,
    Bgp,
    BgpPeer,
    Bridge,
    Link,
    Node,
    Role,
    Route,
    Topology,
    TunnelDevice,
)

_VIP = IPv4Address("20.20.20.1")
_AS_BALANCERS = 64512
_AS_ROUTER = 65001
_DEFAULT = IPv4Network("0.0.0.0/0")


def _on(device: str, interface: str) -> Address:
    return Address(device, IPv4Interface(interface))


def _by(destination: str, via: str) -> Route:
    return Route(IPv4Network(destination), IPv4Address(via))


def _tunnel(name: str, local: str, remote: str, address: str, route: Route | None) -> TunnelDevice:
    return TunnelDevice(
        name, IPv4Address(local), IPv4Address(remote), IPv4Interface(address), route
    )


def _demo_balancer(number: int) -> Node:
    """llb1 or llb2: one bridge towards the router, one towards each endpoint."""
    name, host = f"llb{number}", 252 + number
    endpoints = (1, 2, 3)
    return Node(
        name,
        Role.BALANCER,
        bridges=(
            Bridge("vlan11", (f"e{name}r1",)),
            *(Bridge(f"vlan3{index}", (f"e{name}ep{index}",)) for index in endpoints),
        ),
        addresses=(
            _on("vlan11", f"11.11.11.{number}/24"),
            *(_on(f"vlan3{n}", f"3{n}.3{n}.3{n}.{host}/24") for n in endpoints),
        ),
        tunnels=tuple(
            _tunnel(
                f"ipip{number}{n}",
                f"3{n}.3{n}.3{n}.{host}",
                f"3{n}.3{n}.3{n}.1",
                f"4{n + 4}.4{n + 4}.{number}.254/24",
                _by(f"5{n + 5}.5{n + 5}.5{n + 5}.0/24", f"4{n + 4}.4{n + 4}.{number}.1"),
            )
            for n in endpoints
        ),
        sysctls=SYSCTLS_ALL,
        bgp=Bgp(
            _AS_BALANCERS,
            IPv4Address(f"11.11.11.{number}"),
            (BgpPeer(IPv4Address("11.11.11.254"), _AS_ROUTER),),
        ),
    )


def _demo_endpoint(number: int) -> Node:
    """ep1, ep2 or ep3: one bridge to both balancers, one for the way back."""
    name, net = f"ep{number}", f"3{number}.3{number}.3{number}"
    identity = f"5{number + 5}.5{number + 5}.5{number + 5}.1"
    inner = f"4{number + 4}.4{number + 4}"
    # The second address of ep1 towards llb2 ends in .2 in the original; so it does here.
    second = 2 if number == 1 else 1
    return Node(
        name,
        Role.ENDPOINT,
        bridges=(
            Bridge(f"vlan3{number}", (f"e{name}llb1", f"e{name}llb2")),
            Bridge("vlan3", (f"e{name}r2",)),
        ),
        addresses=(
            _on(f"vlan3{number}", f"{net}.1/24"),
            _on("vlan3", f"3.3.3.{number}/24"),
        ),
        tunnels=(
            _tunnel(f"ipip{number}1", f"{net}.1", f"{net}.253", f"{inner}.1.1/24", None),
            _tunnel(f"ipip{number}2", f"{net}.1", f"{net}.254", f"{inner}.2.{second}/24", None),
        ),
        routes=(Route(_DEFAULT, IPv4Address("3.3.3.254")),),
        sysctls=(*SYSCTLS_ALL, *SYSCTLS_SOCKETS),
        identity=IPv4Address(identity),
    )


def _demo_nodes() -> tuple[Node, ...]:
    """The eight machines of the demo, from the client to the way back."""
    user = Node(
        "user",
        Role.CLIENT,
        addresses=(_on("euserr1", "1.1.1.1/24"),),
        routes=(Route(_DEFAULT, IPv4Address("1.1.1.254")),),
        sysctls=(*SYSCTLS_ALL, *SYSCTLS_CLIENT),
    )
    r1 = Node(
        "r1",
        Role.ROUTER,
        bridges=(Bridge("vlan11", ("er1llb1", "er1llb2")),),
        addresses=(
            _on("er1user", "1.1.1.254/24"),
            _on("er1r2", "2.2.2.1/24"),
            _on("vlan11", "11.11.11.254/24"),
        ),
        # Replies reach r1 from r2, with the VIP as their source, and go on to the client.
        sysctls=SYSCTLS_ROUTER,
        bgp=Bgp(
            _AS_ROUTER,
            IPv4Address("11.11.11.254"),
            tuple(BgpPeer(IPv4Address(f"11.11.11.{n}"), _AS_BALANCERS) for n in (1, 2)),
        ),
    )
    r2 = Node(
        "r2",
        Role.ROUTER,
        bridges=(Bridge("vlan3", ("er2ep1", "er2ep2", "er2ep3")),),
        addresses=(_on("vlan3", "3.3.3.254/24"), _on("er2r1", "2.2.2.2/24")),
        routes=(Route(_DEFAULT, IPv4Address("2.2.2.1")),),
        sysctls=SYSCTLS_ROUTER,
    )
    balancers = (_demo_balancer(1), _demo_balancer(2))
    endpoints = (_demo_endpoint(1), _demo_endpoint(2), _demo_endpoint(3))
    return (user, r1, *balancers, *endpoints, r2)


DEMO = Topology(
    "demo",
    _demo_nodes(),
    links=(
        Link("user", "r1", 8000),  # 20 bytes of outer header must fit every other link
        Link("r1", "llb1"),
        Link("r1", "llb2"),
        *(Link(name, f"ep{n}", tapped=True) for name in ("llb1", "llb2") for n in (1, 2, 3)),
        *(Link(f"ep{n}", "r2") for n in (1, 2, 3)),
        Link("r1", "r2"),
    ),
    vip=_VIP,
    port=8080,
    title="the seed's network (tcplbl3dsrha): two load balancers, BGP, three endpoints in tunnels",
)

TOPOLOGIES = MappingProxyType({topology.name: topology for topology in (DEMO, *STARS)})
