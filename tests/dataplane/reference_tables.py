"""Small tables for the tests of the reference: services with a slot or two, endpoints by kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from headrace.dataplane.layout import SLOT_ANCHOR_SHIFT, SLOT_HAS_ANCHOR, SLOT_UNSTABLE
from headrace.dataplane.reference import Memory, Outcome, process
from headrace.dataplane.tables import BlockAge, EndpointRow, PoolTable, ServiceRow, Tables
from headrace.maglev import FlowHash
from headrace.model import (
    Affinity,
    Encapsulation,
    Flow,
    NextHop,
    Path,
    Protocol,
    ServiceEntry,
    ServiceKey,
    Tuning,
)

OWN_MAC, ROUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:fe"
HOP_MAC, EGRESS_MAC = "02:00:00:00:00:aa", "02:00:00:00:00:bb"
INGRESS, EGRESS = 3, 77
NOW_S = 1000
MTU = 1500
CLIENT4, CLIENT6 = "1.1.1.1", "2001:db8:c::1"
VIP4, VIP6 = "20.20.20.1", "2001:db8:20::1"
HASH = FlowHash.of_seed(0x5EED)

HOP = NextHop(EGRESS, bytes.fromhex(EGRESS_MAC.replace(":", "")), b"\x02\0\0\0\0\xaa")
IPIP4 = Path(ip_address("31.31.31.253"), ip_address("31.31.31.1"), HOP, MTU)
IPIP6 = Path(ip_address("2001:db8:f::fd"), ip_address("2001:db8:f::1"), HOP, MTU)
GUE4 = replace(IPIP4, encapsulation=Encapsulation.GUE)
GUE6 = replace(IPIP6, encapsulation=Encapsulation.GUE)
L2 = Path(None, None, HOP, MTU, Encapsulation.L2)

ETHER = Ether(dst=OWN_MAC, src=ROUTER_MAC)
LEAVING = Ether(dst=HOP_MAC, src=EGRESS_MAC)
BACK = Ether(dst=ROUTER_MAC, src=OWN_MAC)
TO4 = IP(src=CLIENT4, dst=VIP4, ttl=33, id=7)
TO6 = IPv6(src=CLIENT6, dst=VIP6, hlim=33, fl=0x12345)
FAMILIES = {4: (VIP4, CLIENT4, TO4), 6: (VIP6, CLIENT6, TO6)}

Service = tuple[ServiceKey, ServiceRow]


def endpoint(number: int, path: Path | None = IPIP4, **fields: Any) -> EndpointRow:
    return replace(EndpointRow(ip_address(f"56.56.56.{number}"), path), **fields)


ENDPOINTS = {number: endpoint(number) for number in (1, 2, 3)}


def service(
    key: str = f"{VIP4}:80/tcp",
    words: Sequence[int] = (1,),
    age: BlockAge | None = None,
    **entry: Any,
) -> Service:
    """A service and its pool, whose table is these words; the pool's name is the key's, if none."""
    pool = str(entry.pop("pool", key))
    row = ServiceRow(
        replace(ServiceEntry(pool), **entry),
        PoolTable(pool, words, [age or BlockAge()] * (len(words) // 64 + 1)),
    )
    return ServiceKey.of_text(key), row


def tables(
    *services: Service,
    endpoints: Mapping[int, EndpointRow] | None = None,
    server_ids: Mapping[tuple[str, int], int] | None = None,
    tuning: Tuning | None = None,
) -> Tables:
    return Tables(
        hash_keys=HASH.keys,
        services=dict(services),
        endpoints=ENDPOINTS if endpoints is None else endpoints,
        ports={INGRESS: (bytes.fromhex(OWN_MAC.replace(":", "")),)},
        server_ids=server_ids or {},
        tuning=tuning or Tuning(),
    )


def one_endpoint(row: EndpointRow, *services: Service) -> Tables:
    """Tables whose endpoint number 1 is this one."""
    return tables(*services, endpoints={1: row})


def unstable(owner: int, anchor: int | None = None) -> int:
    """The word of a slot whose owner has changed lately."""
    if anchor is None:
        return owner | SLOT_UNSTABLE
    return owner | SLOT_UNSTABLE | SLOT_HAS_ANCHOR | anchor << SLOT_ANCHOR_SHIFT


def run(
    packet: Packet | bytes,
    tables: Tables,
    memory: Memory | None = None,
    now_s: int = NOW_S,
) -> Outcome:
    return process(bytes(packet), INGRESS, tables, memory or Memory(), now_s)


def verdict(packet: Packet | bytes, tables: Tables) -> str:
    """The verdict of a packet that must stay as it is."""
    outcome = run(packet, tables)
    assert outcome.packet == bytes(packet)
    assert outcome.ifindex is None
    return outcome.verdict


def assert_leaves(outcome: Outcome, verdict: str, packet: Packet | bytes, ifindex: int) -> None:
    assert outcome.verdict == verdict
    assert outcome.packet.hex() == bytes(packet).hex()
    assert outcome.ifindex == ifindex


def wrapped(inner: bytes) -> bytes:
    """An IPv4 packet with TOS 0 as it leaves for endpoint 1."""
    outer = IP(src="31.31.31.253", dst="31.31.31.1", id=0, flags="DF", ttl=64, proto=4)
    return bytes(LEAVING / outer / inner)


def hash32(flow: Flow, affinity: Affinity = Affinity.FLOW) -> int:
    return HASH.hash32(flow, affinity)


def syn(family: int = 4, sport: int = 5000, dport: int = 80) -> Packet:
    return ETHER / FAMILIES[family][2] / TCP(sport=sport, dport=dport, flags="S")


def flow(protocol: Protocol = Protocol.TCP, source_port: int = 5000, port: int = 80) -> Flow:
    """A flow of the client to the IPv4 VIP; without arguments, that of `syn`."""
    return Flow(protocol, ip_address(CLIENT4), source_port, ip_address(VIP4), port)
