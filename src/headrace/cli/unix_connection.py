"""A stream of a daemon's events over its unix socket, by `http.client`."""

import socket
from http.client import HTTPConnection


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._wait_s = timeout_s

    def connect(self) -> None:
        """Open the unix socket instead of a TCP connection."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._wait_s)
        self.sock.connect(self._path)
