"""The probes http and https: a GET over HTTP/1.1, answered as it should be."""

import socket
from collections.abc import Callable
from functools import partial

from headrace.health.channel import Channel, PlainChannel, TlsChannel
from headrace.health.exchange import Exchange, Steps, connect, destination_of, port_of
from headrace.health.http_answer import HttpAnswer
from headrace.health.path_mtu import (
    announce_acknowledgement,
    segment_bytes,
    until_acknowledged,
    until_arrived,
)
from headrace.health.result import ProbeFailure
from headrace.model import ProbeKind, ProbeTarget

_DEFAULT_PORTS = {ProbeKind.HTTP: 80, ProbeKind.HTTPS: 443}
_LIMIT_FIELD_BYTES = 1000
"""Of one line of padding: servers refuse lines longer than a few thousand bytes."""

MakeChannel = Callable[[socket.socket, ProbeTarget], Channel]


def build_request(target: ProbeTarget, size_bytes: int = 0) -> bytes:
    """The GET, made larger by fields that mean nothing, up to this size or a few bytes less."""
    probe = target.probe
    head = (
        f"GET {probe.resource} HTTP/1.1\r\n"
        f"Host: {probe.host or _authority(target)}\r\n"
        "User-Agent: headrace\r\nAccept: */*\r\nConnection: close\r\n"
    ).encode()
    return head + _padding(size_bytes - len(head) - 2) + b"\r\n"


def _authority(target: ProbeTarget) -> str:
    address, port = destination_of(target), port_of(target)
    host = f"[{address}]" if address.version == 6 else str(address)
    return host if port == _DEFAULT_PORTS[target.probe.kind] else f"{host}:{port}"


def _padding(size_bytes: int) -> bytes:
    """Header fields of so many bytes in all; a few less where they would not make a field."""
    empty = b"X-Pad: \r\n"
    lines = []
    while size_bytes >= len(empty):
        line_bytes = min(size_bytes, _LIMIT_FIELD_BYTES)
        if 0 < size_bytes - line_bytes < len(empty):
            line_bytes -= len(empty)  # so that the last line has room for its name
        lines.append(empty[:-2] + b"0" * (line_bytes - len(empty)) + empty[-2:])
        size_bytes -= line_bytes
    return b"".join(lines)


def _plain(sock: socket.socket, _target: ProbeTarget) -> Channel:
    return PlainChannel(sock)


def _tls(sock: socket.socket, target: ProbeTarget) -> Channel:
    return TlsChannel(sock, target.probe.host, target.probe.ca_file)


def _talk(
    make_channel: MakeChannel, sock: socket.socket, target: ProbeTarget, _room_bytes: int | None
) -> Steps[str]:
    """Pass when the answer has a wanted status and, where one is asked for, the text."""
    yield from connect(sock, target, port_of(target))
    channel = make_channel(sock, target)
    try:
        yield from channel.open()
        yield from channel.send(build_request(target))
        answer = HttpAnswer(target.probe.statuses, target.probe.body)
        while True:
            data = yield from channel.receive()
            if not data:
                answer.end()
            words = answer.receive(data)
            if words is not None:
                return words
    except TimeoutError as error:
        raise ProbeFailure("timeout: connected, but no complete answer") from error


def _talk_full_size(
    make_channel: MakeChannel, sock: socket.socket, target: ProbeTarget, room_bytes: int | None
) -> Steps[str]:
    """Pass when a request that fills one segment is acknowledged.

    It is kept within one: the kernel's tunnel loses larger bursts, which clients' packets are not.
    """
    yield from connect(sock, target, port_of(target))
    announce_acknowledgement(sock)
    channel = make_channel(sock, target)
    yield from channel.open()
    yield from until_acknowledged(sock)  # else the kernel may join the handshake's end to it
    yield from channel.send(build_request(target, segment_bytes(sock) - channel.overhead_bytes()))
    return (yield from until_arrived(sock, room_bytes))


def _exchange(
    talk: Callable[[MakeChannel, socket.socket, ProbeTarget, int | None], Steps[str]],
    make: MakeChannel,
) -> Exchange:
    return Exchange(socket.SOCK_STREAM, socket.IPPROTO_TCP, partial(talk, make))


HTTP = _exchange(_talk, _plain)
HTTPS = _exchange(_talk, _tls)
FULL_HTTP = _exchange(_talk_full_size, _plain)
FULL_HTTPS = _exchange(_talk_full_size, _tls)
