"""When encapsulated packets arrived at a device of a node, and for whom."""

import ctypes
import select
import socket
import struct
import threading
from ipaddress import IPv4Address
from time import monotonic
from typing import Self

from headrace.lab.namespaces import run_in_namespace

LIMIT_ARRIVALS = 1_000_000
"""Noted arrivals; a proof of a minute at 5,000 packets a second has a third of them."""

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_BUFFER_BYTES = 4 << 20
_READ_BYTES = 64
_DESTINATION = slice(16, 20)

# Classic BPF: protocol 4 (IPv4 in IPv4) is kept whole, all else is dropped.
_FILTER = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 9), (0x15, 0, 1, 4), (0x06, 0, 0, 65_535), (0x06, 0, 0, 0))
)


class Arrivals:
    """Listens in a thread of its own; XDP must not take the packets before."""

    def __init__(self, namespace: str, device: str) -> None:
        self._socket = run_in_namespace(namespace, lambda: _open_socket(device))
        self._seen: list[tuple[float, bytes]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="arrivals", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    @property
    def times_s(self) -> list[float]:
        """When each packet arrived, whoever it was for."""
        return [at_s for at_s, _ in list(self._seen)]

    def times_by_destination(self) -> dict[IPv4Address, list[float]]:
        """When each packet arrived, by the address that it was for."""
        times_s: dict[bytes, list[float]] = {}
        for at_s, address in list(self._seen):
            times_s.setdefault(address, []).append(at_s)
        return {IPv4Address(address): times for address, times in times_s.items()}

    def _listen(self) -> None:
        while not self._ending.is_set() and len(self._seen) < LIMIT_ARRIVALS:
            ready, _, _ = select.select([self._socket], [], [], 0.1)
            if ready:
                packet = self._socket.recv(_READ_BYTES)
                self._seen.append((monotonic(), packet[_DESTINATION]))


def _open_socket(device: str) -> socket.socket:
    """Without link header, of this device and protocol only, from its first packet on."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    instructions = ctypes.create_string_buffer(_FILTER)
    program = struct.pack("HL", len(_FILTER) // 8, ctypes.addressof(instructions))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    opened.bind((device, _ETH_P_IP))
    return opened
