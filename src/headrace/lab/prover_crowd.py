"""The prover's crowd, a program by itself: a TCP listener on each of many addresses.

    python prover_crowd.py FIRST_ADDRESS COUNT PORT

It accepts and closes. On standard input, `refuse ADDRESS` closes a listener, so that connections to
it are refused; `silence ADDRESS` has the kernel drop all that comes to it, as if its machine were
gone. The answer is the monotonic time right before. It ends with the input.
"""

import ctypes
import os
import select
import socket
import struct
import sys
from ipaddress import IPv4Address
from time import monotonic

LIMIT_BACKLOG = 64
READ_BYTES = 65_536
SO_ATTACH_FILTER = 26
DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # classic BPF: return 0


def main(argv: list[str]) -> None:
    """Listen, say so, serve."""
    first, count, port = argv
    addresses = [str(IPv4Address(first) + index) for index in range(int(count))]
    listeners = {address: _listen(address, int(port)) for address in addresses}
    by_fd = {listener.fileno(): listener for listener in listeners.values()}
    poll = select.epoll()
    poll.register(0, select.EPOLLIN)
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    _say("listening")
    pending = b""
    while True:
        for fd, _ in poll.poll():
            if fd != 0:
                _accept(by_fd.get(fd))
                continue
            data = os.read(0, READ_BYTES)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                verb, address = line.decode().split()
                listener = listeners[address]
                died_s = monotonic()
                if verb == "refuse":
                    del by_fd[listener.fileno()]
                    listener.close()
                else:
                    _silence(listener)
                _say(str(died_s))


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.create_server((address, port), backlog=LIMIT_BACKLOG)
    listener.settimeout(0)
    return listener


def _silence(listener: socket.socket) -> None:
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(DROP_ALL))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _accept(listener: socket.socket | None) -> None:
    try:
        if listener is not None:
            listener.accept()[0].close()
    except OSError:  # the client gave up
        return


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
