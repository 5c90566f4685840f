"""Ask a service who answers, a program by itself: short connections, one after another.

    python prover_asker.py ADDRESS PORT SOURCE_PORT COUNT

Prints a JSON list with one entry a connection: the server's name, or null when none answered in
time. All come from one source port, so all are one flow and must reach one server; source port 0
takes a fresh one each time.
"""

import json
import socket
import struct
import sys

TIMEOUT_S = 2.0
LIMIT_NAME_BYTES = 64


def ask(address: tuple[str, int], source_port: int) -> str | None:
    """The name that the service says on a new connection; None when it says none in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Closing resets: otherwise the port waits a minute before the same flow can come again.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(TIMEOUT_S)
        connection.bind(("0.0.0.0", source_port))  # noqa: S104 - inside a lab's client
        try:
            connection.connect(address)
            with connection.makefile("rb") as reader:
                line = reader.readline(LIMIT_NAME_BYTES)
        except OSError:
            return None
    return line.decode("ascii").strip() or None


def main(argv: list[str]) -> None:
    """Ask as often as told, print the names."""
    address, port, source_port, count = argv
    names = [ask((address, int(port)), int(source_port)) for _ in range(int(count))]
    sys.stdout.write(json.dumps(names) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
