"""Full load from many flows through a balancer, and who got each packet: `python -m ... DEVICE`.

In a router's namespace: it is the clients and all endpoints. A batch of packets follows when all of
the last one have come back, each in the outer header of its endpoint, so nothing is lost by the
sender itself. A line of JSON tells what came of them so far at each line of standard input.
"""

import json
import select
import socket
import struct
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address

TARGETS = (
    ("20.20.20.1", 53),
    ("20.20.21.7", 53),  # of a prefix
    ("20.20.22.1", 4711),  # of any port
    ("20.20.23.1", 53),  # for some clients
    ("20.20.24.9", 4712),  # of a prefix, any port, for some clients
)
"""Each flow has one; `restarts.SITE` serves them all."""

FLOWS = 200
WAIT_S = 2.0
"""A packet that has not come back by then is lost: they need some microseconds."""

_BATCH = 100
"""Packets under way: fewer than a veth's ring takes, so that none is lost by the idle system."""

_PAUSE_S = 0.002
"""Between batches: the other side of the proof, daemons that start, needs the processor, too."""

_FIRST_PORT = 20_000
_ETH_P_IP, _IPIP, _UDP = 0x0800, 4, 17
_SO_RCVBUFFORCE = 33
_OUTER, _INNER, _PORTS, _PAYLOAD = 14, 34, 54, 62  # where in a frame
_NUMBER = struct.Struct("!Q")


@dataclass(slots=True)
class Load:
    """Sends and counts."""

    sockets: list[socket.socket]
    end: socket.socket
    sent: int = 0
    lost: int = 0
    misdirected: int = 0
    endpoint_of: dict[int, IPv4Address] = field(default_factory=dict)  # by flow

    def batch(self) -> None:
        """Send one packet in some flows and wait for all of them."""
        missing = set(range(self.sent, self.sent + _BATCH))
        for number in missing:
            self.sockets[number % FLOWS].sendto(
                _NUMBER.pack(number), TARGETS[number % FLOWS % len(TARGETS)]
            )
        self.sent += _BATCH
        deadline = time.monotonic() + WAIT_S
        while missing and (left_s := deadline - time.monotonic()) > 0:
            self.end.settimeout(left_s)
            try:
                frame = self.end.recv(2048)
            except TimeoutError:
                break
            missing.discard(self._take(frame))
        self.lost += len(missing)

    def _take(self, frame: bytes) -> int | None:
        """The number of a packet that an endpoint got; None of any other."""
        if len(frame) < _PAYLOAD + _NUMBER.size or frame[_OUTER + 9] != _IPIP:
            return None
        if frame[_INNER + 9] != _UDP:
            return None
        (port,) = struct.unpack_from("!H", frame, _PORTS)
        endpoint = IPv4Address(frame[_OUTER + 16 : _OUTER + 20])
        if self.endpoint_of.setdefault(port - _FIRST_PORT, endpoint) != endpoint:
            self.misdirected += 1
        return int(_NUMBER.unpack_from(frame, _PAYLOAD)[0])

    def told(self) -> dict[str, int]:
        """What came of it so far."""
        return {
            "sent": self.sent,
            "lost": self.lost,
            "misdirected": self.misdirected,
            "flows": len(self.endpoint_of),
            "endpoints": len(set(self.endpoint_of.values())),
        }


def main() -> int:
    """Load until standard input ends."""
    (device,) = sys.argv[1:]
    with ExitStack() as stack:
        end = stack.enter_context(
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
        )
        end.bind((device, _ETH_P_IP))
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        sockets = []
        for flow in range(FLOWS):
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.bind(("", _FIRST_PORT + flow))
            sockets.append(client)
        load = Load(sockets, end)
        while True:
            load.batch()
            if select.select([sys.stdin], [], [], _PAUSE_S)[0]:
                if not sys.stdin.readline():
                    return 0
                sys.stdout.write(json.dumps(load.told()) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
