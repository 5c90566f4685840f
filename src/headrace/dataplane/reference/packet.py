"""What is read from a frame, and what becomes of it."""

from dataclasses import dataclass
from enum import IntEnum, auto
from ipaddress import IPv4Address, IPv6Address

from headrace.model import Flow, Protocol, ServiceKey

PROTOCOLS = {each.number: each for each in Protocol}
ICMPV4, ICMPV6 = 1, 58
IPV4_SIZE, IPV6_SIZE = 20, 40
ETHERTYPES = {4: 0x0800, 6: 0x86DD}


class Ended(Exception):  # noqa: N818 - no error: this is where a packet's way ends
    """A packet goes no further."""

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Piece(IntEnum):
    """Which part of its IP packet a packet is."""

    WHOLE = auto()
    FIRST = auto()  # has the ports
    LATER = auto()


@dataclass(frozen=True, slots=True)
class Internet:
    """The fixed part of an IPv4 or IPv6 header; addresses are numbers."""

    version: int  # 4 or 6
    start: int  # where it is in the frame
    source: int
    destination: int
    length: int  # of the IP packet in bytes, as the header says
    traffic_class: int  # DSCP and ECN
    next_header: int  # the protocol, or IPv6's first extension header

    @property
    def end(self) -> int:
        """Where the IP packet ends in the frame; what follows is padding."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Transport:
    """What an IP packet carries, and where that is in the frame."""

    protocol: int
    start: int
    piece: Piece = Piece.WHOLE
    identification: int = 0  # of the packet in fragments


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a packet, and where it was counted."""

    verdict: str
    packet: bytes  # as it leaves; unchanged if passed or dropped
    ifindex: int | None = None  # where it leaves
    length_bytes: int = 0  # of the IP packet as the client sent it; what counters add
    service: ServiceKey | None = None  # whose counter it is on
    endpoint: int | None = None  # index of the endpoint whose counter it is on


def flow_of(protocol: Protocol, ip: Internet, client: int, ports: tuple[int, int]) -> Flow:
    """A flow from a client to the packet's destination, with the ports of both."""
    address = IPv4Address if ip.version == 4 else IPv6Address
    return Flow(protocol, address(client), ports[0], address(ip.destination), ports[1])


def checksum(data: bytes | bytearray) -> int:
    """The Internet checksum (RFC 1071); an odd last byte counts as a word that ends in zero."""
    # 2^16 is 1 modulo 2^16 - 1, so the number that all the words make leaves the same remainder.
    number = int.from_bytes(data, "big") << 8 * (len(data) % 2)
    return (number % 0xFFFF or (0xFFFF if number else 0)) ^ 0xFFFF
