"""What routers and endpoints answer to packets of ours that they cannot take: ICMP errors.

The kernel tells a program only of errors about its own sockets' packets; what comes back about an
outer header has no socket. So raw sockets keep the last ones, and are read when somebody asks.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from headrace.model import Encapsulation, IPAddress, KernelError

LIMIT_ERRORS = 1_024
"""Destinations whose last error is remembered; with more, something else is the trouble."""

LIMIT_READ = 512
"""Messages read at one time: as many as the socket holds, so that a flood keeps nobody waiting."""

FRESH_S = 10.0
"""An error says why a probe fails for so long; hosts send about one a second."""

_DATAGRAM_BYTES = 2048
_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMP6_FILTER = 1
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_TUNNELS = {4: Encapsulation.IPIP, 41: Encapsulation.IPIP, 17: Encapsulation.GUE}  # by protocol
_ICMP_BYTES = 8


class IcmpKind(StrEnum):
    """What an error says of the packet it quotes."""

    NO_TUNNEL = "no tunnel"
    """The host does not take packets of this protocol, or of this tunnel."""
    TOO_BIG = "too big"
    UNREACHABLE = "unreachable"
    LOOP = "loop"


_KINDS_V4 = {
    **{(3, code): IcmpKind.UNREACHABLE for code in (0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13)},
    (3, 2): IcmpKind.NO_TUNNEL,  # protocol unreachable
    (3, 3): IcmpKind.NO_TUNNEL,  # port: no such tunnel, or no such UDP port
    (3, 4): IcmpKind.TOO_BIG,
    (11, 0): IcmpKind.LOOP,
}
_KINDS_V6 = {
    **{(1, code): IcmpKind.UNREACHABLE for code in (0, 1, 2, 3, 5, 6)},
    (1, 4): IcmpKind.NO_TUNNEL,
    (2, 0): IcmpKind.TOO_BIG,
    (3, 0): IcmpKind.LOOP,
    (4, 1): IcmpKind.NO_TUNNEL,  # unrecognized next header
}


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An error about a packet of ours in a tunnel."""

    kind: IcmpKind
    reporter: IPAddress
    destination: IPAddress  # of the outer header
    encapsulation: Encapsulation
    mtu_bytes: int = 0  # of the link that it was too big for


class IcmpErrors:
    """The last errors in the network namespace in which this object is made.

    Raises KernelError without CAP_NET_RAW.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or _now
        self._sockets = [_open_v4(), _open_v6()]
        self._latest: dict[tuple[IPAddress, Encapsulation], tuple[float, IcmpError]] = {}

    def close(self) -> None:
        """Give the sockets back."""
        for opened in self._sockets:
            opened.close()

    def about(self, destination: IPAddress, encapsulation: Encapsulation) -> IcmpError | None:
        """The last error about packets to an outer destination, if it is fresh."""
        for opened in self._sockets:
            for received_s, error in _read(opened):
                key = error.destination, error.encapsulation
                self._latest.pop(key, None)
                self._latest[key] = received_s, error
        while len(self._latest) > LIMIT_ERRORS:
            del self._latest[next(iter(self._latest))]
        received_s, found = self._latest.get((destination, encapsulation), (0.0, None))
        return found if self._now() - received_s <= FRESH_S else None


def decode_error_v4(packet: bytes) -> IcmpError | None:
    """The error in an IPv4 packet (RFC 792); None if it is about no tunnel's packet."""
    at = (packet[0] & 15) * 4
    quoted = packet[at + _ICMP_BYTES :]
    kind = _KINDS_V4.get((packet[at], packet[at + 1])) if len(quoted) >= 20 else None
    if kind is None or quoted[9] not in _TUNNELS:
        return None
    mtu_bytes = int.from_bytes(packet[at + 6 : at + 8], "big") if kind is IcmpKind.TOO_BIG else 0
    return IcmpError(
        kind, IPv4Address(packet[12:16]), IPv4Address(quoted[16:20]), _TUNNELS[quoted[9]], mtu_bytes
    )


def decode_error_v6(message: bytes, reporter: IPAddress) -> IcmpError | None:
    """The error in an ICMPv6 message (RFC 4443); None if it is about no tunnel's packet."""
    quoted = message[_ICMP_BYTES:]
    kind = _KINDS_V6.get((message[0], message[1])) if len(quoted) >= 40 else None
    if kind is None or quoted[6] not in _TUNNELS:
        return None
    mtu_bytes = int.from_bytes(message[4:8], "big") if kind is IcmpKind.TOO_BIG else 0
    return IcmpError(kind, reporter, IPv6Address(quoted[24:40]), _TUNNELS[quoted[6]], mtu_bytes)


def _read(opened: socket.socket) -> Iterator[tuple[float, IcmpError]]:
    """What has come: when, by the wall clock, and the error."""
    for _ in range(LIMIT_READ):
        try:
            data, ancillary, _flags, sender = opened.recvmsg(_DATAGRAM_BYTES, _ANCILLARY_BYTES)
        except OSError:  # nothing more
            return
        reporter = ip_address(sender[0].partition("%")[0])
        error = decode_error_v4(data) if reporter.version == 4 else decode_error_v6(data, reporter)
        if error is not None and ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            yield seconds + nanoseconds / 1e9, error


def _open_v4() -> socket.socket:
    passing = 1 << 3 | 1 << 11
    opened = _open(socket.AF_INET, socket.IPPROTO_ICMP)
    opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~passing & 0xFFFFFFFF))
    return opened


def _open_v6() -> socket.socket:
    passing = sum(1 << kind for kind in (1, 2, 3, 4))
    words = [~passing & 0xFFFFFFFF] + [0xFFFFFFFF] * 7
    opened = _open(socket.AF_INET6, socket.IPPROTO_ICMPV6)
    opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
    return opened


def _open(family: int, protocol: int) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        raise KernelError("listen to ICMP errors", error.errno or 0) from error
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return opened


def _now() -> float:
    """The wall clock, which the kernel's time stamps are of."""
    return time.clock_gettime(time.CLOCK_REALTIME)
