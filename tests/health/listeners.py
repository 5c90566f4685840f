"""A process with TCP listeners that die on command: `python -m tests.health.listeners COUNT IP`.

It listens at port 8080 of COUNT addresses from this one on, says so by an empty line, and then does
what each line of its input says: `refuse N` closes listener N, `silence N` makes the kernel drop
what comes to it. It answers each with the monotonic time at which that was done.
"""

import ctypes
import resource
import selectors
import socket
import struct
import sys
import time
from ipaddress import IPv4Address

PORT = 8080
FIRST = IPv4Address("127.1.0.1")
BACKLOG = 1024  # one may have all connections
_SO_ATTACH_FILTER = 26
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0


def address_of(number: int) -> IPv4Address:
    """The address of a listener on loopback."""
    return FIRST + number


def allow_many_files() -> None:
    """Have as many descriptors as the kernel grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def silence(listener: socket.socket) -> None:
    """Drop every packet to a listener, as if its machine were gone."""
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(_DROP_ALL))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _accept_all(listener: socket.socket) -> None:
    try:
        while True:
            listener.accept()[0].close()
    except (BlockingIOError, ConnectionError):
        return


def main() -> None:
    """Serve until the input ends."""
    allow_many_files()
    listeners, first = [], IPv4Address(sys.argv[2])
    with selectors.DefaultSelector() as selector:
        for number in range(int(sys.argv[1])):
            listener = socket.create_server((str(first + number), PORT), backlog=BACKLOG)
            listener.settimeout(0)
            listeners.append(listener)
            selector.register(listener, selectors.EVENT_READ, listener)
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        sys.stdout.write("\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                if isinstance(key.data, socket.socket):
                    if key.data.fileno() >= 0:  # else a line of this very round has closed it
                        _accept_all(key.data)
                    continue
                line = sys.stdin.readline().split()
                if not line:
                    return
                listener = listeners[int(line[1])]
                if line[0] == "refuse":
                    selector.unregister(listener)
                    listener.close()
                else:
                    silence(listener)
                sys.stdout.write(f"{time.monotonic()}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
