"""The prover's client, a program by itself: live connections that exchange numbered messages.

    python prover_client.py ADDRESS PORT SILENCE_S FIRST_PORT

A message unanswered for SILENCE_S seconds breaks its connection; source ports are taken in turn
from FIRST_PORT on. Commands, one a line on standard
input, each with a number that its answer repeats:

    ID open COUNT BATCH    open more connections, named by a batch number
    ID report              what has become of all connections
    ID flows               source port and server of each live connection
    ID mark                measure the longest pause from now on
    ID stop                close everything and end; so does the end of the input

Answers are JSON objects, one a line. It imports nothing but the standard library, so that it starts
at once in a lab.
"""

import errno
import json
import os
import select
import socket
import sys
from collections import Counter, defaultdict
from enum import StrEnum
from time import monotonic
from typing import Any

OVERDUE_S = 1.0
"""An answer that takes longer is told as overdue: there is something to wait for."""

INTERVAL_S = 0.2
"""Each connection sends this long after it last sent, if it has had its answer."""

TICK_S = 0.01
SLICE_COUNT = round(INTERVAL_S / TICK_S)

OPENS_PER_TICK = 100

FIRST_PORT, LAST_PORT = 16_384, 65_535
"""Source ports are taken in turn and never again: a server that has not noticed the end of an
earlier connection from the same port would answer the new one with silence."""

BULK_EVERY = 16
"""Every so manieth message is a large one, so that packets of full size take the same way."""
BULK_BYTES = 12_000
NUMBER_BYTES = 8
LIMIT_NAME_BYTES = 64
READ_BYTES = 65_536


class Cause(StrEnum):
    """Why a connection counts as broken."""

    CONNECT = "connect"
    RESET = "reset"
    EOF = "eof"
    WRONG = "wrong bytes"
    SILENCE = "silence"


class Conversation:
    """One connection's side of the exchange, without I/O: the server's name, then echoes."""

    __slots__ = ("_answer", "_expected", "_number", "name", "sent_at")

    def __init__(self, now: float) -> None:
        self.name: str | None = None  # of the server, once it has said it
        self.sent_at: float | None = now  # of what is unanswered; first the connect itself
        self._number = 0
        self._expected = b""
        self._answer = bytearray()

    def receive(self, data: bytes, now: float) -> float | None:
        """Take bytes; how long the complete answer took, or None. ValueError for wrong bytes."""
        self._answer += data
        if self.sent_at is None:
            raise ValueError("nothing was asked")
        if self.name is None:
            name, newline, rest = self._answer.partition(b"\n")
            if len(name) > LIMIT_NAME_BYTES or rest:
                raise ValueError("no name line")
            if not newline:
                return None
            self.name = name.decode("ascii")
        elif not self._expected.startswith(self._answer):
            raise ValueError("not what was sent")
        elif len(self._answer) < len(self._expected):
            return None
        self._answer.clear()
        pause_s = now - self.sent_at
        self.sent_at = None
        return pause_s

    def tick(self, now: float) -> bytes | None:
        """The next message, or None while an answer is still due."""
        if self.sent_at is not None:
            return None
        self._number += 1
        number = self._number.to_bytes(NUMBER_BYTES, "big")
        bulk = self._number % BULK_EVERY == 0
        self._expected = number * (BULK_BYTES // NUMBER_BYTES) if bulk else number
        self.sent_at = now
        return self._expected

    def waited_s(self, now: float) -> float:
        """How long an answer has been due; 0 when none is."""
        return 0.0 if self.sent_at is None else now - self.sent_at


class Connection:
    """A socket with its conversation."""

    __slots__ = ("batch", "connected", "socket", "talk", "unsent")

    def __init__(self, batch: int, now: float) -> None:
        self.batch = batch
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.talk = Conversation(now)
        self.connected = False
        self.unsent = b""

    @property
    def key(self) -> tuple[int, str | None]:
        """What connections are counted by."""
        return (self.batch, self.talk.name)


class Prover:
    """All connections, their schedule, and the count of what broke."""

    def __init__(self, address: tuple[str, int], *, silence_s: float, first_port: int) -> None:
        self._address = address
        self._silence_s = silence_s
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._slices: list[set[int]] = [set() for _ in range(SLICE_COUNT)]
        self._to_open: list[int] = []  # batch numbers
        self._broken: dict[tuple[int, str | None], Counter[Cause]] = defaultdict(Counter)
        self._longest_pause_s = 0.0
        self._answer_count = 0
        self._input = b""
        self._ports = iter(range(first_port, LAST_PORT + 1))

    def run(self) -> None:
        """Serve the connections and the commands until told to stop."""
        stdin = sys.stdin.fileno()
        os.set_blocking(stdin, False)
        self._poll.register(stdin, select.EPOLLIN)
        next_tick, tick = monotonic(), 0
        while True:
            for fd, events in self._poll.poll(max(0.0, next_tick - monotonic())):
                if fd != stdin:
                    self._serve(fd, events)
                elif not self._read_commands():
                    return
            if (now := monotonic()) >= next_tick:
                self._tick(tick % SLICE_COUNT, now)
                tick += 1
                next_tick = max(next_tick + TICK_S, now)

    def _tick(self, slice_index: int, now: float) -> None:
        for fd in list(self._slices[slice_index]):
            connection = self._connections[fd]
            if connection.talk.waited_s(now) > self._silence_s:
                self._break(fd, Cause.SILENCE if connection.connected else Cause.CONNECT)
            elif connection.connected and (message := connection.talk.tick(now)):
                connection.unsent = message
                self._send(fd, connection)
        opening, self._to_open = self._to_open[:OPENS_PER_TICK], self._to_open[OPENS_PER_TICK:]
        for batch in opening:
            self._open(batch, now)

    def _open(self, batch: int, now: float) -> None:
        connection = Connection(batch, now)
        fd = connection.socket.fileno()
        self._connections[fd] = connection
        self._slices[fd % SLICE_COUNT].add(fd)
        self._poll.register(fd, select.EPOLLOUT)
        try:
            self._bind_next_port(connection.socket)
            connection.socket.connect(self._address)
        except BlockingIOError:  # it connects meanwhile
            return
        except OSError:
            self._break(fd, Cause.CONNECT)

    def _bind_next_port(self, client: socket.socket) -> None:
        """Take the next source port, past those that an earlier program still waits to forget."""
        for port in self._ports:
            try:
                client.bind(("0.0.0.0", port))  # noqa: S104 - a lab's client has one address
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return
        raise OSError(errno.EADDRNOTAVAIL, "every source port has been used")

    def _serve(self, fd: int, events: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        if not connection.connected:
            if connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._break(fd, Cause.CONNECT)
                return
            connection.connected = True
            self._poll.modify(fd, select.EPOLLIN)
        elif events & select.EPOLLOUT:
            self._send(fd, connection)
        else:
            self._receive(fd, connection)

    def _send(self, fd: int, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(fd, cause_of(error))
            return
        waited = len(connection.unsent) > sent
        connection.unsent = connection.unsent[sent:]
        self._poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if waited else 0))

    def _receive(self, fd: int, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
            if not data:
                self._break(fd, Cause.EOF)
                return
            pause_s = connection.talk.receive(data, monotonic())
        except BlockingIOError:
            return
        except OSError as error:
            self._break(fd, cause_of(error))
            return
        except ValueError:
            self._break(fd, Cause.WRONG)
            return
        if pause_s is not None:
            self._answer_count += 1
            self._longest_pause_s = max(self._longest_pause_s, pause_s)

    def _break(self, fd: int, cause: Cause) -> None:
        connection = self._connections.pop(fd)
        self._slices[fd % SLICE_COUNT].discard(fd)
        self._poll.unregister(fd)
        connection.socket.close()
        self._broken[connection.key][cause] += 1

    def _read_commands(self) -> bool:
        """Obey what has come in; False when it is time to stop."""
        data = os.read(sys.stdin.fileno(), READ_BYTES)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            number, verb, *arguments = line.decode().split()
            if verb == "stop":
                return False
            answer = self._obey(verb, [int(argument) for argument in arguments])
            sys.stdout.write(json.dumps({"id": int(number), **answer}) + "\n")
            sys.stdout.flush()
        return bool(data)

    def _obey(self, verb: str, arguments: list[int]) -> dict[str, Any]:
        match verb, arguments:
            case "open", [count, batch]:
                self._to_open.extend([batch] * count)
                return {}
            case "report", []:
                return self._report(monotonic())
            case "flows", []:
                return {"flows": self._flows()}
            case "mark", []:
                self._longest_pause_s, self._answer_count = 0.0, 0
                return {}
            case _:
                return {"error": f"no command {verb} with {len(arguments)} numbers"}

    def _report(self, now: float) -> dict[str, Any]:
        live = Counter(connection.key for connection in self._connections.values())
        due_s = [connection.talk.waited_s(now) for connection in self._connections.values()]
        groups: list[dict[str, Any]] = [
            {"batch": batch, "server": name, "live": live[key], "broken": self._broken.get(key, {})}
            for key in sorted(live.keys() | self._broken.keys(), key=str)
            for batch, name in [key]
        ]
        return {
            "groups": groups,
            "overdue": sum(1 for wait_s in due_s if wait_s > OVERDUE_S),
            "longest_pause_s": max(self._longest_pause_s, max(due_s, default=0.0)),
            "answers": self._answer_count,
        }

    def _flows(self) -> list[tuple[int, str]]:
        return [
            (connection.socket.getsockname()[1], connection.talk.name)
            for connection in self._connections.values()
            if connection.talk.name is not None
        ]


def cause_of(error: OSError) -> Cause:
    """What a socket's error means: TCP gave up waiting, or the other side refused to go on."""
    return Cause.SILENCE if error.errno == errno.ETIMEDOUT else Cause.RESET


def main(argv: list[str]) -> None:
    """Run the prover towards one address."""
    address, port, silence_s, first_port = argv
    service = (address, int(port))
    Prover(service, silence_s=float(silence_s), first_port=int(first_port)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
