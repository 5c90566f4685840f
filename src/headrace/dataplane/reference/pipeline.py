"""A packet's way through the data plane, step by step; the first that applies ends it."""

import struct
from dataclasses import dataclass
from typing import assert_never

from headrace.dataplane.reference import answer, icmp, quic
from headrace.dataplane.reference.choose import Asked, choose
from headrace.dataplane.reference.encapsulate import Way, encapsulate, overhead_bytes
from headrace.dataplane.reference.lookup import Lookup, Served, Vip
from headrace.dataplane.reference.memory import FragmentKey, Memory, Ports
from headrace.dataplane.reference.packet import (
    PROTOCOLS,
    Ended,
    Internet,
    Outcome,
    Piece,
    Transport,
    flow_of,
)
from headrace.dataplane.reference.parse import (
    EXTENSION_HEADERS,
    parse_internet,
    parse_transport,
)
from headrace.dataplane.tables import Tables
from headrace.model import Flow, Protocol
from headrace.model.limits import LIMIT_FRAGMENT_S

_PORTS_SIZE = 4
_UDP_SIZE = 8
_TCP_FLAGS, _SYN, _ACK = 13, 0x02, 0x10
_SCTP_TAG, _SCTP_TAG_END = 4, 8


def process(packet: bytes, ifindex: int, tables: Tables, memory: Memory, now_s: int) -> Outcome:
    """What the data plane does with a frame that arrives on an interface at this second."""
    ip = parse_internet(packet)
    if ip is None:
        return Outcome("pass_not_ip", packet, length_bytes=len(packet))
    walk = _Walk(packet, ifindex, ip, tables, memory, now_s)
    try:
        return walk.to_vip(walk.vip())
    except Ended as ended:
        return walk.outcome(ended.verdict)


@dataclass(slots=True)
class _Walk:
    """One packet on its way, and what it is counted for."""

    frame: bytes
    ifindex: int
    ip: Internet
    tables: Tables
    memory: Memory
    now_s: int
    served: Served | None = None
    endpoint: int | None = None

    def outcome(self, verdict: str, frame: bytes | None = None, out: int | None = None) -> Outcome:
        """The end of the way; the frame as it came unless another leaves."""
        return Outcome(
            verdict,
            self.frame if frame is None else frame,
            out,
            self.ip.length,
            self.served.key if self.served else None,
            self.endpoint,
        )

    def vip(self) -> Vip:
        """The VIP that the packet is for, if the frame is for this node."""
        vip = Lookup.of(self.tables).vip(self.ip.version, self.ip.destination)
        if vip is None:
            raise Ended("pass_not_vip")
        if self.frame[:6] not in self.tables.ports.get(self.ifindex, ()):
            raise Ended("pass_other_host")
        return vip

    def to_vip(self, vip: Vip) -> Outcome:
        """What becomes of a packet to a VIP."""
        transport = parse_transport(self.frame, self.ip)
        if icmp.is_icmp(self.ip, transport):
            return self._icmp(vip, transport)
        known = self._remembered(transport)
        protocol = known.protocol if known else PROTOCOLS.get(transport.protocol)
        if protocol is None and _may_be_known(self.ip, transport):
            raise Ended("drop_fragment")
        if protocol is None:
            raise _unserved(vip)
        # All fragments of a packet must go alike, and only one of them has the ports.
        portless = vip.portless.get(protocol) if transport.piece is not Piece.WHOLE else None
        if transport.piece is Piece.LATER and known is None and portless is None:
            raise Ended("drop_fragment")
        flow = self._flow(protocol, transport, known)
        served = portless or vip.service(protocol, flow.destination_port)
        if served is None:
            raise _unserved(vip)
        later = transport.piece is Piece.LATER
        asked = Asked(
            flow,
            begins=not later and _begins(self.frame[transport.start : self.ip.end], protocol),
            may_note=not later,
            server_id=self._server_id(served, protocol, transport),
        )
        return self._to_service(served, asked, answerable=not later)

    def _icmp(self, vip: Vip, transport: Transport) -> Outcome:
        if transport.piece is not Piece.WHOLE:
            raise Ended("drop_fragment")
        if transport.start + icmp.ICMP_SIZE > self.ip.end:
            raise Ended("drop_malformed")
        if icmp.is_echo_request(self.frame, self.ip, transport):
            reply = answer.echo_reply(self.frame, self.ip, transport)
            return self._answer("answered_echo", reply)
        if icmp.is_neighbour_discovery(self.frame, self.ip, transport):
            raise Ended("pass_neighbour")
        if not icmp.is_error(self.frame, self.ip, transport):
            raise _unserved(vip)
        flow = icmp.quoted_flow(self.frame, self.ip, transport)
        served = vip.service(flow.protocol, flow.destination_port)
        if served is None:
            raise _unserved(vip)
        return self._to_service(served, Asked(flow, may_note=False), answerable=False)

    def _flow(self, protocol: Protocol, transport: Transport, known: Ports | None) -> Flow:
        """The packet's flow; a later fragment whose first one is not known has ports 0."""
        if transport.piece is Piece.LATER:
            ports = (known.source_port, known.destination_port) if known else (0, 0)
        else:
            if transport.start + _PORTS_SIZE > self.ip.end:
                raise Ended("drop_malformed")
            ports = struct.unpack_from("!HH", self.frame, transport.start)
        if transport.piece is Piece.FIRST:
            key = self._fragment_key(protocol, transport)
            self.memory.fragments[key] = Ports(protocol, *ports, self.now_s)
        return flow_of(protocol, self.ip, self.ip.source, ports)

    def _remembered(self, transport: Transport) -> Ports | None:
        """What is known of a later fragment."""
        protocol = PROTOCOLS.get(transport.protocol)
        if transport.piece is not Piece.LATER or not (
            protocol or _may_be_known(self.ip, transport)
        ):
            return None
        known = self.memory.fragments.get(self._fragment_key(protocol, transport))
        if known is None or self.now_s - known.seen_s > LIMIT_FRAGMENT_S:
            return None
        return known

    def _fragment_key(self, protocol: Protocol | None, transport: Transport) -> FragmentKey:
        ip = self.ip
        seen = protocol if ip.version == 4 else None
        return FragmentKey(ip.version, ip.source, ip.destination, transport.identification, seen)

    def _server_id(self, served: Served, protocol: Protocol, transport: Transport) -> int | None:
        if not served.row.entry.quic or protocol is not Protocol.UDP:
            return None
        if transport.piece is not Piece.WHOLE:
            return None
        return quic.server_id(self.frame[transport.start + _UDP_SIZE : self.ip.end])

    def _to_service(self, served: Served, asked: Asked, *, answerable: bool) -> Outcome:
        """What becomes of a packet of a service."""
        self.served = served
        if not served.source(self.ip.version, int(asked.flow.source)).allowed:
            raise Ended("drop_source")
        choice = choose(asked, served, Lookup.of(self.tables), self.memory, self.now_s)
        endpoint = self.tables.endpoints.get(choice.endpoint)
        if endpoint is None:
            raise Ended("drop_internal")
        path = endpoint.path
        if path is None:
            raise Ended("drop_no_path")
        if self.ip.length + overhead_bytes(path) > path.mtu_bytes:
            return self._too_big(path.mtu_bytes - overhead_bytes(path), answerable=answerable)
        self.endpoint = choice.endpoint
        way = Way(path, endpoint.dscp, self.tables.tuning.gue_port, choice.slot.hash32)
        return self.outcome("sent", encapsulate(self.frame, self.ip, way), path.next_hop.ifindex)

    def _too_big(self, mtu_bytes: int, *, answerable: bool) -> Outcome:
        """What becomes of a packet that is longer than its path takes."""
        too_narrow = self.ip.version == 6 and mtu_bytes < answer.IPV6_MTU_MIN
        if too_narrow or not answerable:
            raise Ended("drop_too_big")
        return self._answer("answered_too_big", answer.too_big(self.frame, self.ip, mtu_bytes))

    def _answer(self, verdict: str, frame: bytes) -> Outcome:
        if not answer.is_sender(self.ip):
            raise Ended("drop_sender")
        limit, is_ping = self.tables.tuning.answers_per_s, verdict == "answered_echo"
        if not self.memory.may_answer(limit, self.now_s, is_ping=is_ping):
            raise Ended("drop_answers")
        return self.outcome(verdict, frame, self.ifindex)


def _may_be_known(ip: Internet, transport: Transport) -> bool:
    """Whether a later fragment hides its protocol behind another extension header."""
    is_hidden = ip.version == 6 and transport.protocol in EXTENSION_HEADERS
    return transport.piece is Piece.LATER and is_hidden


def _unserved(vip: Vip) -> Ended:
    return Ended("pass_unserved" if vip.passes else "drop_unserved")


def _begins(segment: bytes, protocol: Protocol) -> bool:
    """Whether a segment begins its flow: TCP's SYN, or SCTP's INIT, which alone has no tag."""
    match protocol:
        case Protocol.TCP:
            return len(segment) > _TCP_FLAGS and segment[_TCP_FLAGS] & (_SYN | _ACK) == _SYN
        case Protocol.SCTP:
            return segment[_SCTP_TAG:_SCTP_TAG_END] == bytes(_SCTP_TAG_END - _SCTP_TAG)
        case Protocol.UDP:
            return False
        case _:
            assert_never(protocol)
