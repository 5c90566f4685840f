"""The prover's sender, a program by itself: datagrams at an even rate, that nobody answers.

    python prover_sender.py ADDRESS PORT PACKETS_PER_S SOURCE_PORT...

Each source port is a flow with a socket of its own; 0 takes a free one. They take turns. It sends
until it is ended, and imports nothing but the standard library, so that it starts at once in a lab.
"""

import contextlib
import socket
import sys
import time
from itertools import cycle

TICK_S = 0.005


def main(argv: list[str]) -> None:
    """Send for ever."""
    address, port, rate, *source_ports = argv
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in source_ports]
    for each, source_port in zip(sockets, source_ports, strict=True):
        each.bind(("0.0.0.0", int(source_port)))  # noqa: S104 - a lab's client has one address
        each.connect((address, int(port)))
    turns = cycle(sockets)
    begun_s, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun_s) * float(rate))
        for _ in range(due - sent):
            with contextlib.suppress(OSError):  # what ICMP says about an earlier one
                next(turns).send(b"headrace")
        sent = due
        time.sleep(TICK_S)


if __name__ == "__main__":
    main(sys.argv[1:])
