"""The prover's sender, a program by itself: datagrams at an even rate, that nobody answers.

    python prover_sender.py ADDRESS PORT PACKETS_PER_S FLOW_COUNT

Each flow has a socket and so a source port of its own; they take turns. It sends until it is ended,
and imports nothing but the standard library, so that it starts at once in a lab.
"""

import contextlib
import socket
import sys
import time
from itertools import cycle

TICK_S = 0.005


def main(argv: list[str]) -> None:
    """Send for ever."""
    address, port, rate, flow_count = argv
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(flow_count))]
    for each in sockets:
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
