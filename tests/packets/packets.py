"""Short ways to write the frames that the cases send; scapy fills in lengths and checksums."""

from collections.abc import Sequence
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit
from scapy.packet import Packet, Raw

from headrace.model import Flow, IPAddress, Protocol

from .world import OWN_MAC, ROUTER_MAC

CLIENT = {4: "198.51.100.7", 6: "2001:db8:c::7"}
ROUTER = {4: "198.51.100.254", 6: "2001:db8:c::fe"}
CLIENT_PORT = 40_000

Fields = dict[str, Any]
"""Of one of scapy's layers."""

IPV4_TYPE, IPV6_TYPE = 0x0800, 0x86DD
TYPES = {4: IPV4_TYPE, 6: IPV6_TYPE}


def ether(dst: str = OWN_MAC, src: str = ROUTER_MAC) -> Packet:
    return Ether(dst=dst, src=src)


def frame(*layers: Packet | bytes, dst: str = OWN_MAC, tags: Sequence[Packet] = ()) -> bytes:
    """An Ethernet frame from the router to the node; bytes are a payload of their own."""
    whole = ether(dst)
    for layer in (*tags, *layers):
        whole = whole / (Raw(layer) if isinstance(layer, bytes) else layer.copy())
    return bytes(whole)


def frame_of_type(ethertype: int, data: bytes) -> bytes:
    """A frame whose type is said rather than known from what is inside."""
    return bytes(Ether(dst=OWN_MAC, src=ROUTER_MAC, type=ethertype) / Raw(data))


def q(vlan: int) -> Packet:
    return Dot1Q(vlan=vlan)


def ad(vlan: int) -> Packet:
    return Dot1AD(vlan=vlan)


def family_of(vip: IPAddress | str) -> int:
    return 6 if ":" in str(vip) else 4


def ip(vip: IPAddress | str, client: str | None = None, **fields: Any) -> Packet:
    """The IP header of the VIP's family. `nh` and `proto` are scapy's, by family."""
    family = family_of(vip)
    source = client or CLIENT[family]
    return (IP if family == 4 else IPv6)(src=source, dst=str(vip), **fields)


def marked(vip: IPAddress | str, value: int, client: str | None = None) -> Packet:
    """An IP header with this TOS byte or traffic class."""
    fields: Fields = {"tos": value} if family_of(vip) == 4 else {"tc": value}
    return ip(vip, client, **fields)


def ip_of(vip: IPAddress | str, protocol: int, **fields: Any) -> Packet:
    """An IP header before a protocol that scapy is not to guess."""
    said: Fields = {"proto": protocol} if family_of(vip) == 4 else {"nh": protocol}
    return ip(vip, **said, **fields)


def tcp(dport: int = 80, sport: int = CLIENT_PORT, flags: str = "A", **fields: Any) -> Packet:
    return TCP(sport=sport, dport=dport, flags=flags, **fields)


def udp(dport: int = 80, sport: int = CLIENT_PORT, **fields: Any) -> Packet:
    return UDP(sport=sport, dport=dport, **fields)


def sctp(dport: int = 80, sport: int = CLIENT_PORT) -> Packet:
    """A packet of an association that stands."""
    return SCTP(sport=sport, dport=dport, tag=0x1234) / SCTPChunkData(data=b"data")


def sctp_init(dport: int = 80, sport: int = CLIENT_PORT) -> Packet:
    """The first packet of an association."""
    return SCTP(sport=sport, dport=dport, tag=0) / SCTPChunkInit(init_tag=7)


def transport(protocol: Protocol, dport: int = 80, sport: int = CLIENT_PORT) -> Packet:
    """An ordinary packet in the middle of a conversation."""
    match protocol:
        case Protocol.TCP:
            return tcp(dport, sport) / Raw(b"GET / HTTP/1.0\r\n\r\n")
        case Protocol.UDP:
            return udp(dport, sport) / Raw(b"query")
        case Protocol.SCTP:
            return sctp(dport, sport)


def flow(
    vip: IPAddress,
    protocol: Protocol = Protocol.TCP,
    dport: int = 80,
    sport: int = CLIENT_PORT,
    client: str | None = None,
) -> Flow:
    """The flow that the builders above make, where it cannot be read from the packet."""
    source = type(vip)(client or CLIENT[vip.version])
    return Flow(protocol, source, sport, vip, dport)


# --- IPv6 extension headers --------------------------------------------------------------------


def _padding_options(size: int) -> list[Packet]:
    """Options that fill this many bytes, none above what its length field can say."""
    whole, rest = divmod(size, 200)
    return [PadN(optdata=bytes(198))] * whole + ([PadN(optdata=bytes(rest - 2))] if rest else [])


def hop_by_hop(size: int = 8) -> Packet:
    return IPv6ExtHdrHopByHop(options=_padding_options(size - 2))


def destination_options(size: int = 8) -> Packet:
    return IPv6ExtHdrDestOpt(options=_padding_options(size - 2))


def routing() -> Packet:
    """With no segment left: the packet is where it was to go."""
    return IPv6ExtHdrRouting(type=253, segleft=0, reserved=0)


def fragment6(offset: int = 0, *, more: bool = False, ident: int = 1, nh: int = -1) -> Packet:
    """`offset` in units of 8 bytes. The next header must be said where bare data follow."""
    fields = {} if nh < 0 else {"nh": nh}
    return IPv6ExtHdrFragment(offset=offset, m=int(more), id=ident, **fields)


# --- ICMP --------------------------------------------------------------------------------------


def ping(vip: IPAddress, data: bytes = b"abcdefgh", **fields: Any) -> Packet:
    """An echo request, header and all."""
    if vip.version == 4:
        return ip(vip, **fields) / ICMP(type=8, id=0x77, seq=3) / Raw(data)
    return ip(vip, **fields) / ICMPv6EchoRequest(id=0x77, seq=3, data=data)


def reply(
    vip: IPAddress,
    protocol: Protocol = Protocol.TCP,
    vip_port: int = 80,
    client_port: int = CLIENT_PORT,
    client: str | None = None,
) -> Packet:
    """What an endpoint sent to the client, so what an ICMP error to the VIP quotes."""
    answer = transport(protocol, client_port, vip_port)
    header = IP if vip.version == 4 else IPv6
    return header(src=str(vip), dst=client or CLIENT[vip.version]) / answer


_ERRORS6 = {
    1: ICMPv6DestUnreach,
    2: ICMPv6PacketTooBig,
    3: ICMPv6TimeExceeded,
    4: ICMPv6ParamProblem,
}


def icmp_error(
    vip: IPAddress, type_: int, code: int, quote: Packet | bytes, *, router: str | None = None
) -> Packet:
    """An ICMP error that a router on the way to the client sent to the VIP."""
    source = router or ROUTER[vip.version]
    if vip.version == 4:
        return ip(vip, source) / ICMP(type=type_, code=code) / Raw(bytes(quote))
    return ip(vip, source) / _ERRORS6[type_](code=code) / Raw(bytes(quote))


def filled(packet: Packet, size: int) -> Packet:
    """The packet with data until it has `size` bytes, no two lines of which are alike."""
    data = b"".join(number.to_bytes(2, "big") for number in range(size // 2 + 1))
    return packet / Raw(data[: size - len(packet)])
