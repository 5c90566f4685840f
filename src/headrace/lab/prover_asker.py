"""Ask a service who answers, a program by itself: short conversations, one after another.

    python prover_asker.py ADDRESS PORT PROTOCOL PAYLOAD_BYTES SOURCE SOURCE_PORT...

PROTOCOL is tcp, udp, sctp or http. Prints a JSON list with one entry a source port: the server's
name, or null when none answered in time, or not with all of the payload. Conversations from one
source port are one flow and must reach one server; source port 0 takes a fresh one each time.
SOURCE is our own address: where a host has several, SCTP would else use all of them.
"""

import json
import socket
import struct
import sys

TIMEOUT_S = 2.0
LIMIT_NAME_BYTES = 64
LIMIT_DATAGRAM_BYTES = 65_535
HEADER_LINE_BYTES = 1_000
IPPROTO_SCTP = 132

TRANSPORTS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "http": (socket.SOCK_STREAM, 0),
    "sctp": (socket.SOCK_STREAM, IPPROTO_SCTP),
    "udp": (socket.SOCK_DGRAM, 0),
}


def ask(
    address: tuple[str, int], protocol: str, payload: bytes, source: tuple[str, int]
) -> str | None:
    """The name that the service says in a new conversation; None when it says none in time."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    converse = {"udp": converse_udp, "http": converse_http}.get(protocol, converse_stream)
    with socket.socket(family, *TRANSPORTS[protocol]) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Closing resets: otherwise the port waits a minute before the same flow can come again.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(TIMEOUT_S)
        connection.bind(source)
        try:
            connection.connect(address)
            line = converse(connection, payload)
        except OSError:
            return None
    return line.decode("ascii", "replace").strip() or None


def converse_stream(connection: socket.socket, payload: bytes) -> bytes:
    """The server's first line; then everything we say must come back."""
    with connection.makefile("rb") as reader:
        line = reader.readline(LIMIT_NAME_BYTES)
        if payload:  # SCTP has no message without bytes
            connection.sendall(payload)
        return line if reader.read(len(payload)) == payload else b""


def converse_udp(connection: socket.socket, payload: bytes) -> bytes:
    """One datagram there, one back: a line with the server's name, then ours."""
    connection.send(payload)
    line, _, echo = connection.recv(LIMIT_DATAGRAM_BYTES).partition(b"\n")
    return line if echo == payload else b""


def converse_http(connection: socket.socket, payload: bytes) -> bytes:
    """The last line of the page; the payload goes there as headers that nobody reads."""
    lines = [b"GET / HTTP/1.0", b"Host: lab"]
    for start in range(0, len(payload), HEADER_LINE_BYTES):
        lines.append(b"X-Payload: " + payload[start : start + HEADER_LINE_BYTES])  # noqa: PERF401
    connection.sendall(b"\r\n".join([*lines, b"", b""]))
    with connection.makefile("rb") as reader:
        answer = reader.read()
    return answer.splitlines()[-1] if b" 200 " in answer[:16] else b""


def main(argv: list[str]) -> None:
    """Ask as often as told, print the names."""
    address, port, protocol, size, source, *ports = argv
    service, payload = (address, int(port)), b"x" * int(size)
    names = [ask(service, protocol, payload, (source, int(own_port))) for own_port in ports]
    sys.stdout.write(json.dumps(names) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
