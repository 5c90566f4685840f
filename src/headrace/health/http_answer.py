"""An HTTP/1.1 answer, as much of it as a probe needs (RFC 9112). No I/O."""

import re

from headrace.health.result import ProbeFailure

LIMIT_HEAD_BYTES = 16_384
"""As large a head as common servers and clients allow; a longer one is no answer to a probe."""

LIMIT_BODY_BYTES = 65_536
"""Where a probe looks for its text: the beginning of the body, which says what the page is."""

_LIMIT_CHUNK_LINE_BYTES = 256  # a size in hexadecimal, and extensions that nobody sends
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |\r|$)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}(?=[ \t;]|$)")
_SHOWN_BYTES = 32  # of what is no HTTP, enough to know what it is


class HttpAnswer:
    """Reads an answer until it is decided whether it is the one wanted."""

    def __init__(self, statuses: frozenset[int], text: str) -> None:
        self._statuses = statuses
        self._text = text
        self._wanted = text.encode()
        self._head = b""
        self._status: int | None = None
        self._chunked = False
        self._left: int | None = None  # bytes of the body, or of the chunk, to come; None: any
        self._pending = b""  # of a chunk's size line
        self._body = bytearray()
        self._ended = False

    def receive(self, data: bytes) -> str | None:
        """Take what came; the words of success, or None while more is needed.

        Raises ProbeFailure when it is another answer, or none.
        """
        if self._status is None:
            data = self._read_head(data)
            if self._status is None:
                return None
            if self._status not in self._statuses:
                raise ProbeFailure(f"bad status {self._status}")
        if not self._wanted:
            return f"status {self._status}"
        return self._search(data)

    def end(self) -> None:
        """The connection ended before the answer was decided. Raises ProbeFailure."""
        if self._status is None:
            raise ProbeFailure("no HTTP answer: the connection ended")
        raise self._without_text()

    def _read_head(self, data: bytes) -> bytes:
        """Take the head; what is behind it. Interim answers (1xx) are passed over."""
        self._head += data
        while True:
            head, separator, rest = self._head.partition(b"\r\n\r\n")
            if not b"HTTP/1.".startswith(head[:7]) or (separator and not _STATUS_LINE.match(head)):
                raise ProbeFailure(f"no HTTP answer, but {head[:_SHOWN_BYTES]!r}")
            if len(head) > LIMIT_HEAD_BYTES:
                raise ProbeFailure(f"no HTTP answer: the head exceeds {LIMIT_HEAD_BYTES} bytes")
            if not separator:
                return b""
            status = self._read_fields(head)
            if status >= 200:
                self._status = status
                return rest
            self._head = rest

    def _read_fields(self, head: bytes) -> int:
        """Learn from a head how the body is framed; the status."""
        first, *lines = head.split(b"\r\n")
        fields = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        length = fields.get(b"content-length", b"")
        self._chunked = fields.get(b"transfer-encoding", b"").endswith(b"chunked")
        if self._chunked:
            self._left = 0
        elif _LENGTH.fullmatch(length):
            self._left = int(length)
        return int(first[9:12])

    def _search(self, data: bytes) -> str | None:
        """Look for the text in what has come of the body."""
        searched = max(0, len(self._body) - len(self._wanted))
        if self._chunked:
            self._take_chunks(data)
        else:
            self._take(data)
            self._ended = self._left == 0
        del self._body[LIMIT_BODY_BYTES:]
        if self._body.find(self._wanted, searched) >= 0:
            return f"status {self._status}, body with {self._text!r}"
        if self._ended or len(self._body) == LIMIT_BODY_BYTES:
            raise self._without_text()
        return None

    def _take(self, data: bytes) -> bytes:
        """Take bytes of the body, or of the chunk; what is behind it."""
        if self._left is None:
            self._body += data
            return b""
        taken = data[: self._left]
        self._body += taken
        self._left -= len(taken)
        return data[len(taken) :]

    def _take_chunks(self, data: bytes) -> None:
        """Take bytes of a chunked body (RFC 9112, section 7.1)."""
        data, self._pending = self._pending + data, b""
        while data and not self._ended:
            if self._left:
                data = self._take(data)
                continue
            # The line end behind the chunk before is an empty line in front of the size.
            line, separator, rest = data.removeprefix(b"\r\n").partition(b"\r\n")
            size = _CHUNK_SIZE.match(line)
            if len(line) > _LIMIT_CHUNK_LINE_BYTES or (separator and not size):
                raise ProbeFailure(f"broken chunk in the body: {line[:_SHOWN_BYTES]!r}")
            if not separator or not size:
                self._pending = data
                return
            self._left, data = int(size[0], 16), rest
            self._ended = self._left == 0

    def _without_text(self) -> ProbeFailure:
        return ProbeFailure(f"body without {self._text!r}")
