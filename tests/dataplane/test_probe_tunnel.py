"""The probes' program: packets on the wire, by the mark of their socket."""

import ctypes
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path as FilePath

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from headrace import dataplane
from headrace.dataplane import ProbeTunnel, overhead_bytes, probe_tunnel
from headrace.model import Encapsulation, NextHop, Path
from tests.underlay.network import Namespace, connect, namespaces

from .btf import StructLayout, read_structs

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

IPIP, GUE, L2 = Encapsulation.IPIP, Encapsulation.GUE, Encapsulation.L2
OWN = {4: "10.0.0.1", 6: "fd00::1"}
ENDPOINT = {4: "10.0.0.2", 6: "fd00::2"}
PREFIX = {4: "31.99.0.0", 6: "fd00:99::"}
VIP = {4: "20.20.20.1", 6: "fd20::1"}
PORT = 8080
GUE_PORT = 6081
MARK = 0x48520000
WAIT_S = 2.0
PAIRS = list(itertools.product((4, 6), (4, 6)))


@dataclass(frozen=True)
class Wire:
    """A node with the program on its routes to both VIPs, and a tap where packets leave.

    A tap at the far end would not see tags: the kernel takes them off.
    """

    node: Namespace
    tunnel: ProbeTunnel
    tap: socket.socket
    hop: NextHop

    def path(self, encapsulation: Encapsulation, family: int, *, hashed: bool = False) -> Path:
        if encapsulation is L2:
            return Path(None, None, self.hop, 1500, L2)
        source = ip_address((PREFIX if hashed else OWN)[family])
        outer = source, ip_address(ENDPOINT[family])
        return Path(*outer, self.hop, 1500, encapsulation, hashed)

    def probe(self, index: int, inner: int, tos: int = 0) -> Packet:
        """The first packet of a marked connection, as it left."""
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[inner]
        with self.node.inside(lambda: socket.socket(family, socket.SOCK_STREAM)) as prober:
            prober.setblocking(False)  # noqa: FBT003
            prober.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK | index)
            if inner == 4:
                prober.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            else:
                prober.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
            prober.connect_ex((VIP[inner], PORT))
            port = prober.getsockname()[1]
            return self._receive(port.to_bytes(2, "big") + PORT.to_bytes(2, "big"))

    def _receive(self, ports: bytes) -> Packet:
        while True:
            frame = self.tap.recv(2048)
            if ports in frame and frame.startswith(self.hop.destination_mac):
                return Ether(frame)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    tunnel = ProbeTunnel()
    with namespaces("lb", "far") as (node, far):
        connect(node, "p0", far, "p0")
        for family, length in ((4, 24), (6, 64)):
            node.ip(f"addr add {OWN[family]}/{length} dev p0")
            far.ip(f"addr add {ENDPOINT[family]}/{length} dev p0")
        hop = NextHop(node.index("p0"), node.mac("p0"), far.mac("p0"))
        node.inside(lambda: _route_vips(tunnel.fd))
        tap = node.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300))
        with tap:
            node.inside(lambda: tap.bind(("p0", 0x0003)))
            tap.settimeout(WAIT_S)
            yield Wire(node, tunnel, tap, hop)
    tunnel.close()


def _route_vips(program_fd: int) -> None:
    program = {"type": "bpf", "xmit": {"fd": program_fd, "name": "probe"}}
    with IPRoute() as netlink:
        device = netlink.link_lookup(ifname="p0")[0]
        for family in (4, 6):
            netlink.route("add", dst=VIP[family], oif=device, prefsrc=OWN[family], encap=program)


def checks_out(packet: Packet) -> bool:
    """Whether the outer IPv4 checksum and the lengths are as they must be."""
    rebuilt = packet.__class__(bytes(packet))
    del rebuilt.chksum
    return bool(rebuilt.__class__(bytes(rebuilt)).chksum == packet.chksum)


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_ipip_has_the_outer_header_of_its_path(wire: Wire, outer: int, inner: int) -> None:
    wire.tunnel.put(1, wire.path(IPIP, outer), GUE_PORT)

    packet = wire.probe(1, inner, tos=0xB8)[Ether].payload

    assert (packet.src, packet.dst) == (OWN[outer], ENDPOINT[outer])
    assert (packet.payload.src, packet.payload.dst) == (OWN[inner], VIP[inner])
    if outer == 4:
        assert (packet.tos, packet.ttl, packet.flags) == (0xB8, 64, "DF")
        assert packet.proto == {4: 4, 6: 41}[inner]
        assert packet.len == 20 + len(packet.payload)
        assert checks_out(packet)
    else:
        assert (packet.tc, packet.hlim, packet.nh) == (0xB8, 64, {4: 4, 6: 41}[inner])
        assert packet.plen == len(packet.payload)


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_gue_has_udp_besides(wire: Wire, outer: int, inner: int) -> None:
    wire.tunnel.put(1, wire.path(GUE, outer), GUE_PORT)

    packet = wire.probe(1, inner)[Ether].payload

    udp = packet[UDP]
    assert (packet.src, packet.dst) == (OWN[outer], ENDPOINT[outer])
    assert (udp.dport, udp.sport & 0xC000, udp.chksum) == (GUE_PORT, 0xC000, 0)
    assert udp.len == len(udp)
    within = {4: IP, 6: IPv6}[inner](bytes(udp.payload))
    assert (within.src, within.dst, within[TCP].dport) == (OWN[inner], VIP[inner], PORT)


@pytest.mark.parametrize("tag", [0, 42])
@pytest.mark.parametrize("inner", [4, 6])
def test_l2_changes_macs_and_tag_alone(wire: Wire, inner: int, tag: int) -> None:
    hop = NextHop(wire.hop.ifindex, b"\x02\0\0\0\0\7", wire.hop.destination_mac, tag)
    wire.tunnel.put(1, Path(None, None, hop, 1500, L2), GUE_PORT)

    frame = wire.probe(1, inner)

    assert (frame.src, frame.dst) == ("02:00:00:00:00:07", hop.destination_mac.hex(":"))
    assert (frame[Dot1Q].vlan if Dot1Q in frame else 0) == tag
    packet = frame[{4: IP, 6: IPv6}[inner]]
    assert (packet.src, packet.dst, packet[TCP].dport) == (OWN[inner], VIP[inner], PORT)


@pytest.mark.parametrize("outer", [4, 6])
def test_a_hashed_source_is_one_of_its_prefix(wire: Wire, outer: int) -> None:
    wire.tunnel.put(1, wire.path(IPIP, outer, hashed=True), GUE_PORT)

    sources = {ip_address(wire.probe(1, 4)[Ether].payload.src) for _ in range(8)}

    low = {int(source) - int(ip_address(PREFIX[outer])) for source in sources}
    assert len(low) > 1
    assert all(0 <= each <= 0xFFFF for each in low)


def test_a_mark_without_a_path_sends_nothing(wire: Wire) -> None:
    wire.tunnel.put(2, wire.path(IPIP, 4), GUE_PORT)
    wire.probe(2, 4)
    wire.tunnel.remove(2)
    wire.tap.settimeout(0.3)

    with pytest.raises(TimeoutError):
        wire.probe(2, 4)

    wire.tap.settimeout(WAIT_S)


@pytest.mark.parametrize(
    ("encapsulation", "outer", "size"), [(IPIP, 4, 20), (IPIP, 6, 40), (GUE, 4, 28), (GUE, 6, 48)]
)
def test_overhead_is_what_the_wire_shows(
    wire: Wire, encapsulation: Encapsulation, outer: int, size: int
) -> None:
    path = wire.path(encapsulation, outer)
    wire.tunnel.put(1, path, GUE_PORT)

    frame = wire.probe(1, 4)

    assert overhead_bytes(path) == size == len(frame) - 14 - 60  # a SYN is 60 bytes


def test_l2_has_no_overhead(wire: Wire) -> None:
    assert overhead_bytes(wire.path(L2, 4)) == 0


@pytest.mark.parametrize("ours", [probe_tunnel._ProbePath])
def test_struct_has_the_same_bytes_in_c_and_python(ours: type[ctypes.Structure]) -> None:
    objects = FilePath(dataplane.__file__).parent / "objects"
    members = tuple((field[0], getattr(ours, field[0]).offset) for field in ours._fields_)

    theirs = read_structs(objects / "probe.bpf.o")["probe_path"]

    assert StructLayout(ctypes.sizeof(ours), members) == theirs
