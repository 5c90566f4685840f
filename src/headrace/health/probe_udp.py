"""The probe udp: a datagram is answered by one that begins as it should."""

import socket
from select import EPOLLIN

from headrace.health.exchange import Exchange, Steps, connect, port_of
from headrace.health.result import ProbeFailure
from headrace.model import ProbeTarget

_LIMIT_DATAGRAM_BYTES = 65_535
_SHOWN_BYTES = 32  # of an answer that is wrong, enough to know what it is


def talk(sock: socket.socket, target: ProbeTarget, _room_bytes: int | None) -> Steps[str]:
    """Pass when the answer begins as asked; "port unreachable" makes the socket refuse."""
    yield from connect(sock, target, port_of(target))
    sock.send(target.probe.request)
    while True:
        yield EPOLLIN
        try:
            answer = sock.recv(_LIMIT_DATAGRAM_BYTES)
        except BlockingIOError:  # its checksum was wrong
            continue
        if not answer.startswith(target.probe.response):
            raise ProbeFailure(
                f"answer begins with {answer[:_SHOWN_BYTES]!r}, not {target.probe.response!r}"
            )
        return "answered"


UDP = Exchange(socket.SOCK_DGRAM, socket.IPPROTO_UDP, talk)
