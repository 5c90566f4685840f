"""The probe ping: an ICMP echo on a raw socket, which needs CAP_NET_RAW.

Endpoints of one VIP answer from the same address, so that a reply is told from others by its
identifier, sequence number and payload, all of them random.
"""

import errno
import os
import socket
import struct
from select import EPOLLIN

from headrace.health.exchange import Exchange, Steps, connect, destination_of
from headrace.health.path_mtu import forbid_fragments, path_mtu_bytes, too_small
from headrace.model import IPAddress, ProbeTarget

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence (RFC 792, RFC 4443)
_REQUEST_TYPES = {4: 8, 6: 128}
_REPLY_TYPES = {4: 0, 6: 129}
_HEADER_BYTES = {4: 20, 6: 40}
_TOO_LARGE = frozenset({errno.EMSGSIZE, errno.ENOBUFS})  # a router's word, our own device's
_PAYLOAD_BYTES = 16
_LIMIT_PACKET_BYTES = 65_535


def talk(sock: socket.socket, target: ProbeTarget, _room_bytes: int | None) -> Steps[str]:
    """Pass when the echo comes back."""
    yield from connect(sock, target, 0)
    yield from _echo(sock, destination_of(target), os.urandom(4 + _PAYLOAD_BYTES))
    return "answered"


def talk_full_size(sock: socket.socket, target: ProbeTarget, room_bytes: int | None) -> Steps[str]:
    """Pass when an echo as large as the path's MTU comes back, unfragmented on its way there."""
    version = destination_of(target).version
    forbid_fragments(sock)
    yield from connect(sock, target, 0)
    mtu_bytes = path_mtu_bytes(sock, room_bytes)
    payload_bytes = min(mtu_bytes, _LIMIT_PACKET_BYTES) - _HEADER_BYTES[version] - _ECHO.size
    token = os.urandom(4 + _PAYLOAD_BYTES) + bytes(payload_bytes - _PAYLOAD_BYTES)
    try:
        yield from _echo(sock, destination_of(target), token)
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno in _TOO_LARGE:
            raise too_small(mtu_bytes) from error
        raise
    return "answered at full size"


PING4 = Exchange(socket.SOCK_RAW, socket.IPPROTO_ICMP, talk)
PING6 = Exchange(socket.SOCK_RAW, socket.IPPROTO_ICMPV6, talk)
FULL_PING4 = Exchange(socket.SOCK_RAW, socket.IPPROTO_ICMP, talk_full_size)
FULL_PING6 = Exchange(socket.SOCK_RAW, socket.IPPROTO_ICMPV6, talk_full_size)


def _echo(sock: socket.socket, destination: IPAddress, token: bytes) -> Steps[None]:
    """Send an echo request that carries the token behind its checksum; wait for its reply."""
    version = destination.version
    sock.send(_request(version, token))
    while True:
        yield EPOLLIN
        try:
            packet = sock.recv(_LIMIT_PACKET_BYTES)
        except BlockingIOError:
            continue
        reply = packet[(packet[0] & 15) * 4 :] if version == 4 else packet
        if reply[:1] == bytes([_REPLY_TYPES[version]]) and reply[4:] == token:
            return


def _request(version: int, token: bytes) -> bytes:
    """An echo request; the kernel writes the checksum of ICMPv6."""
    bare = struct.pack("!BBH", _REQUEST_TYPES[version], 0, 0) + token
    if version == 6:
        return bare
    return bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
