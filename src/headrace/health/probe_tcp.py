"""The probes tcp and sctp: a connection is made, and reset at once."""

import socket

from headrace.health.channel import PlainChannel
from headrace.health.exchange import Exchange, Steps, connect, port_of
from headrace.health.path_mtu import (
    announce_acknowledgement,
    segment_bytes,
    until_arrived,
)
from headrace.model import ProbeTarget

_FILLER = b"\r\n"  # empty lines are what most services mind least


def talk(sock: socket.socket, target: ProbeTarget, _room_bytes: int | None) -> Steps[str]:
    """Pass when the endpoint accepts a connection."""
    yield from connect(sock, target, port_of(target))
    return "connected"


def talk_full_size(sock: socket.socket, target: ProbeTarget, room_bytes: int | None) -> Steps[str]:
    """Pass when one full segment of empty lines is acknowledged."""
    yield from connect(sock, target, port_of(target))
    size_bytes = segment_bytes(sock)
    announce_acknowledgement(sock)
    yield from PlainChannel(sock).send((_FILLER * size_bytes)[:size_bytes])
    return (yield from until_arrived(sock, room_bytes))


TCP = Exchange(socket.SOCK_STREAM, socket.IPPROTO_TCP, talk)
FULL_TCP = Exchange(socket.SOCK_STREAM, socket.IPPROTO_TCP, talk_full_size)
SCTP = Exchange(socket.SOCK_STREAM, socket.IPPROTO_SCTP, talk)
