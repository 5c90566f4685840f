"""The prover's server, a program by itself: says its name on every connection, then echoes.

    python prover_server.py ADDRESS PORT NAME [PROTOCOL]

PROTOCOL is tcp, udp (a datagram's answer is the name, a newline and the datagram) or sctp.

It imports nothing but the standard library, so that it starts at once in a lab.
"""

import contextlib
import select
import socket
import sys

LIMIT_BACKLOG = 65_535
"""Connections that wait to be accepted; a prover opens thousands at once."""

READ_BYTES = 65_536
IPPROTO_SCTP = 132


class EchoServer:
    """Answers every connection with its name and a newline, then with the client's own bytes."""

    def __init__(self, listener: socket.socket, name: str) -> None:
        self._listener = listener
        self._greeting = f"{name}\n".encode()
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._unsent: dict[int, bytearray] = {}

    def serve(self) -> None:
        """Answer until the process is ended."""
        listener_fd = self._listener.fileno()
        self._poll.register(listener_fd, select.EPOLLIN)
        while True:
            for fd, events in self._poll.poll():
                if fd == listener_fd:
                    self._accept_all()
                elif events & select.EPOLLOUT:
                    self._send(fd, b"")
                else:
                    self._echo(fd)

    def _accept_all(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # the client gave up, or there is no descriptor left
                return
            connection.settimeout(0)
            if self._listener.proto != IPPROTO_SCTP:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fd = connection.fileno()
            self._connections[fd] = connection
            self._poll.register(fd, select.EPOLLIN)
            self._send(fd, self._greeting)

    def _echo(self, fd: int) -> None:
        try:
            data = self._connections[fd].recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._send(fd, data)
        else:
            self._close(fd)

    def _send(self, fd: int, data: bytes) -> None:
        """Send after what is still unsent; while something is, read nothing from that client."""
        unsent = self._unsent.pop(fd, bytearray())
        unsent += data
        try:
            sent = self._connections[fd].send(unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(fd)
            return
        del unsent[:sent]
        if unsent:
            self._unsent[fd] = unsent
        self._poll.modify(fd, select.EPOLLOUT if unsent else select.EPOLLIN)

    def _close(self, fd: int) -> None:
        self._unsent.pop(fd, None)
        self._poll.unregister(fd)
        self._connections.pop(fd).close()


def serve_datagrams(receiver: socket.socket, name: str) -> None:
    """Answer every datagram until the process is ended."""
    while True:
        data, client = receiver.recvfrom(READ_BYTES)
        with contextlib.suppress(OSError):  # what ICMP says about an earlier answer
            receiver.sendto(name.encode() + b"\n" + data, client)


def main(argv: list[str]) -> None:
    """Listen, say so, serve."""
    address, port, name, protocol = argv if len(argv) == 4 else [*argv, "tcp"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    number = IPPROTO_SCTP if protocol == "sctp" else 0
    with socket.socket(family, kind, number) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, int(port)))
        if kind == socket.SOCK_STREAM:
            listener.listen(LIMIT_BACKLOG)
            listener.settimeout(0)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            if kind == socket.SOCK_DGRAM:
                serve_datagrams(listener, name)
            EchoServer(listener, name).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
