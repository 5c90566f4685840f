"""A lab of two machines on one cable, for tests that need no more: it is built in 50 ms."""

import os
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from headrace.lab.namespaces import NETNS_FOLDER
from headrace.lab.state import RUN_FOLDER
from headrace.lab.topology import Address, Bgp, BgpPeer, Link, Node, Role, RoutingDaemon, Topology

PIN_FOLDERS = (Path("/run/headrace"), Path("/run/tailrace"))

CLIENT = "user"
SERVER = "ep1"
VIP = IPv4Address("20.20.20.1")


def line_topology(*, tapped: bool = False) -> Topology:
    """A client and an endpoint that holds the VIP on its own cable."""
    client = Node(
        CLIENT,
        Role.CLIENT,
        addresses=(Address("euserep1", IPv4Interface("20.20.20.2/24")),),
        sysctls=(("net.core.somaxconn", "4096"),),
    )
    endpoint = Node(
        SERVER,
        Role.ENDPOINT,
        addresses=(Address("eep1user", IPv4Interface(f"{VIP}/24")),),
        identity=IPv4Address("56.56.56.1"),
    )
    link = Link(CLIENT, SERVER, mtu_bytes=2000, tapped=tapped)
    return Topology("line", (client, endpoint), (link,), VIP, 8080)


def router_topology(
    speakers: int, daemon: RoutingDaemon = RoutingDaemon.BIRD, *, password: str | None = None
) -> Topology:
    """A router, and as many machines with BGP around it, each on a cable of its own."""
    router = Node(
        "r1",
        Role.ROUTER,
        addresses=tuple(
            Address(f"er1llb{n}", IPv4Interface(f"10.0.{n}.254/24")) for n in range(1, speakers + 1)
        ),
        sysctls=(("net.ipv4.ip_forward", "1"),),
        bgp=Bgp(
            65001,
            IPv4Address("10.0.0.254"),
            tuple(
                BgpPeer(IPv4Address(f"10.0.{n}.1"), 64512, password) for n in range(1, speakers + 1)
            ),
            daemon,
        ),
    )
    others = tuple(
        Node(
            f"llb{n}",
            Role.ROUTER,
            addresses=(Address(f"ellb{n}r1", IPv4Interface(f"10.0.{n}.1/24")),),
            bgp=Bgp(
                64512,
                IPv4Address(f"10.0.{n}.1"),
                (BgpPeer(IPv4Address(f"10.0.{n}.254"), 65001),),
            ),
        )
        for n in range(1, speakers + 1)
    )
    links = tuple(Link("r1", node.name) for node in others)
    return Topology("star", (router, *others), links, VIP, 8080)


def left_of(name: str) -> list[str]:
    """What there still is of a lab: namespaces, state, pins."""
    found = [*NETNS_FOLDER.glob(f"hr-{name}-*"), *RUN_FOLDER.glob(f"{name}*")]
    for folder in PIN_FOLDERS:
        found += folder.glob(f"{name}-*")
    return [str(path) for path in found]


def own_name(prefix: str) -> str:
    """A lab name that no other test run on this machine has."""
    return f"{prefix}-{os.getpid()}"
