"""One HTTP exchange with a daemon of this host: a request, and all of its answer.

HTTP/1.0 has no chunks: the answer is what comes until the server closes. `http.client` would do
the same, and take longer to import than the whole exchange.
"""

from socket import AF_UNIX, SOCK_STREAM, socket

_READ_BYTES = 1 << 18


class BrokenAnswer(Exception):  # noqa: N818 - as client.Failure, it is what the user reads
    """What came is no whole answer."""


def exchange(
    path: str, timeout_s: float, request: tuple[str, str, dict[str, str], bytes]
) -> tuple[int, bytes]:
    """Send method, path, header and body to a unix socket; the answer's status and body.

    Raises OSError, TimeoutError among them, and BrokenAnswer.
    """
    method, where, headers, body = request
    lines = [f"{method} {where} HTTP/1.0", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket(AF_UNIX, SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(path)
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        parts = []
        while part := connection.recv(_READ_BYTES):
            parts.append(part)
    return read_answer(b"".join(parts))


def read_answer(answer: bytes) -> tuple[int, bytes]:
    """Status and body of all that a server sent until it closed. Raises BrokenAnswer."""
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not end or not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise BrokenAnswer("it does not speak HTTP, or closed before it answered")
    for field in fields:
        name, _, value = field.partition(":")
        if name.lower() == "content-length" and value.strip() != str(len(body)):
            raise BrokenAnswer(f"it closed after {len(body)} bytes of {value.strip()}")
    return int(status[:3]), body
