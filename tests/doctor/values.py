"""A host where all is well, to be spoilt one thing at a time."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from headrace.dataplane.pins import PinnedState
from headrace.doctor import Facts, Finding, Level, judge
from headrace.doctor.facts import Device, Instance, KernelFacts, OwnAddress, Programs
from headrace.model import Document, Target, build_document
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import Leg, Link, Route

VIP = ip_network("20.20.20.1/32")
VIP6 = ip_network("fd20::1/128")
ENDPOINT = ip_address("56.56.56.1")
LINK = Link(2, "eth0", None, b"\x02\0\0\0\0\1", 1500)
NARROW = Link(3, "eth1", None, b"\x02\0\0\0\0\2", 1500)
WIDE = replace(NARROW, mtu_bytes=1540)
ETH0 = Device(link=LINK, xdp="native", xdp_features=33, rp_filter=0, driver="mlx5_core")
ETH1 = Device(link=WIDE, xdp="native", xdp_features=33, rp_filter=0)
MAIN = Instance("main", runs=True, pins=PinnedState(is_mounted=True, links={"eth0": 2, "eth1": 3}))
TARGET = Target(ENDPOINT)
BY_ETH0, BY_ETH1 = Route((Leg(2),)), Route((Leg(3),))

WEB: dict[str, Any] = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 80,
    "endpoints": [{"address": "56.56.56.1"}],
}
BGP: dict[str, Any] = {
    "as": 64512,
    "router_id": "10.9.1.1",
    "peers": [{"address": "10.9.1.254", "as": 65001}],
}

WELL = Facts(
    kernel=KernelFacts(release="6.1.0-18-amd64", jit=1),
    devices=(ETH0, ETH1),
    addresses=(
        OwnAddress(ip_address("10.0.0.1"), 24, "eth0"),
        OwnAddress(ip_address("10.0.1.1"), 24, "eth1"),
    ),
    ways={TARGET: Outer(TARGET, ENDPOINT, None, (Leg(3),))},
    vip_routes={VIP: BY_ETH0},
    forwards={4: False, 6: False},
    instances=(MAIN,),
    programs=Programs("5.0.15", "2.0.12"),
    is_synchronised=True,
)


def document(*services: dict[str, Any], **rest: Any) -> Document:
    return build_document({"services": list(services or [WEB]), **rest})


def bad(facts: Facts, asked: Document | None = None) -> list[Finding]:
    """All that is not well."""
    findings = judge(facts, asked or document(), "main")
    return [finding for finding in findings if finding.level is not Level.OK]


def only(facts: Facts, asked: Document | None = None) -> Finding:
    """The one thing that is not well."""
    (finding,) = bad(facts, asked)
    return finding
