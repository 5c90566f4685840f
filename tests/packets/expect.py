"""What must leave, built by scapy from the packet sent, never by the reference.

Which endpoint a flow has is worked out from `maglev.FlowHash` and the world's own tables.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from headrace.maglev import FlowHash, slot_of
from headrace.model import (
    Affinity,
    Encapsulation,
    Flow,
    NextHop,
    Path,
    Protocol,
    Reach,
)

from .packets import TYPES
from .world import SEED, SLOTS, TUNING, WorldPool

UDP_BYTES = 8
QUOTE_BYTES = {4: 512, 6: 1024}
_LAYERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}
HASH = FlowHash.of_seed(SEED)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Where the IP packet of a frame lies, by the frame's own fields."""

    family: int
    at: int
    length: int
    mark: int  # TOS byte or traffic class
    data: bytes

    @property
    def tags(self) -> bytes:
        return self.data[12 : self.at - 2]

    @property
    def to_end(self) -> bytes:
        """The IP packet and the padding behind it."""
        return self.data[self.at :]

    @property
    def packet(self) -> bytes:
        return self.data[self.at : self.at + self.length]


def parsed(frame: bytes) -> Parsed:
    at = 12
    while frame[at : at + 2] in {b"\x81\x00", b"\x88\xa8"}:
        at += 4
    at += 2
    family = frame[at] >> 4
    if family == 4:
        return Parsed(4, at, int.from_bytes(frame[at + 2 : at + 4], "big"), frame[at + 1], frame)
    mark = int.from_bytes(frame[at : at + 2], "big") >> 4 & 0xFF
    return Parsed(6, at, 40 + int.from_bytes(frame[at + 4 : at + 6], "big"), mark, frame)


def flow_of(frame: bytes) -> Flow:
    """The flow of a frame whose transport header scapy finds."""
    layers = Ether(frame)
    header = layers[IP] if IP in layers else layers[IPv6]
    protocol = next(each for each in _LAYERS if _LAYERS[each] in header)
    ports = header[_LAYERS[protocol]]
    source, destination = ip_address(header.src), ip_address(header.dst)
    return Flow(protocol, source, ports.sport, destination, ports.dport)


def hash_of(flow: Flow, affinity: Affinity = Affinity.FLOW) -> int:
    return HASH.hash32(flow, affinity)


def owner_of(pool: WorldPool, flow: Flow, affinity: Affinity = Affinity.FLOW) -> Reach:
    """The endpoint whom the flow's slot belongs to."""
    return pool.reaches[pool.owners[slot_of(hash_of(flow, affinity), SLOTS)]]


def encapsulated(frame: bytes, pool: WorldPool, reach: Reach, hash32: int) -> bytes:
    """The frame as it leaves for this endpoint."""
    path = pool.path(reach)
    if path is None:
        raise ValueError(f"nothing leaves for {reach.endpoint}, which has no path")
    inner = parsed(frame)
    if path.encapsulation is Encapsulation.L2:
        return _linked(path.next_hop, inner.family) + inner.to_end
    header = _outer(path, inner, reach.dscp, hash32)
    length = inner.length + (UDP_BYTES if path.encapsulation is Encapsulation.GUE else 0)
    if path.encapsulation is Encapsulation.GUE:
        port = 0xC000 | (hash32 & 0x3FFF)
        header = header / UDP(sport=port, dport=TUNING.gue_port, len=length, chksum=0)
    return _linked(path.next_hop, header.version) + bytes(header) + inner.to_end


def _outer(path: Path, inner: Parsed, dscp: int | None, hash32: int) -> Packet:
    """The outer IP header, its length that of the inner packet and not of the frame."""
    mark = inner.mark if dscp is None else dscp << 2 | inner.mark & 3
    protocol = {4: 4, 6: 41}[inner.family]
    length = inner.length
    if path.encapsulation is Encapsulation.GUE:
        protocol, length = 17, length + UDP_BYTES
    if path.outer_source is None or path.outer_destination is None:
        raise ValueError("only l2 has no outer addresses")
    source = path.outer_source + (hash32 >> 16 if path.source_hashed else 0)
    addresses = {"src": str(source), "dst": str(path.outer_destination)}
    if source.version == 4:
        total = 20 + length
        header = IP(tos=mark, len=total, id=0, flags="DF", ttl=64, proto=protocol, **addresses)
        return IP(bytes(header)[:20])
    label = hash32 & 0xFFFFF
    return IPv6(tc=mark, fl=label, plen=length, nh=protocol, hlim=64, **addresses)


def _linked(hop: NextHop, family: int) -> bytes:
    """The Ethernet header towards a next hop, with its tag."""
    macs = {"dst": hop.destination_mac.hex(":"), "src": hop.source_mac.hex(":")}
    if hop.tag:
        return bytes(Ether(**macs) / Dot1Q(vlan=hop.tag, type=TYPES[family]))
    return bytes(Ether(**macs, type=TYPES[family]))


def echo_reply(frame: bytes) -> bytes:
    """The answer to a ping: all but addresses, type, code and time to live as it came."""
    request = parsed(frame)
    if request.family == 4:
        header = IP(request.packet)
        header.src, header.dst, header.ttl = header.dst, header.src, 64
        header[ICMP].type = header[ICMP].code = 0
        del header.chksum, header[ICMP].chksum
    else:
        header = IPv6(request.packet)
        header.src, header.dst, header.hlim = header.dst, header.src, 64
        asked = header[ICMPv6EchoRequest]
        answer = ICMPv6EchoReply(id=asked.id, seq=asked.seq, data=asked.data)
        asked.underlayer.remove_payload()
        header = header / answer
    padding = request.to_end[request.length :]
    return _back(request) + bytes(header) + padding


def too_big(frame: bytes, mtu_bytes: int) -> bytes:
    """The error that tells the client how large its packets may be."""
    offender = parsed(frame)
    quote = Raw(offender.packet[: QUOTE_BYTES[offender.family]])
    if offender.family == 4:
        sent = IP(offender.packet[:20])
        header = IP(src=sent.dst, dst=sent.src, id=0, flags="DF", ttl=64, tos=0)
        answer = header / ICMP(type=3, code=4, nexthopmtu=mtu_bytes) / quote
    else:
        sent = IPv6(offender.packet[:40])
        header = IPv6(src=sent.dst, dst=sent.src, hlim=64)
        answer = header / ICMPv6PacketTooBig(mtu=mtu_bytes) / quote
    return _back(offender) + bytes(answer)


def _back(came: Parsed) -> bytes:
    """The Ethernet header of an answer: the addresses swapped, the tags as they came."""
    return came.data[6:12] + came.data[:6] + came.data[12 : came.at]
