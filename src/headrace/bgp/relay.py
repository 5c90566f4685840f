"""The relay: the process between ExaBGP and the daemon, which outlives the daemon.

ExaBGP runs this file as its API process and talks to it by stdin and stdout; the daemon listens on
a unix socket. The relay holds the whole set of announcements, tells each peer the difference to
what that peer has heard, and tells all of it again to a peer whose session comes up. While the
daemon is away it keeps the set for `keep_s`, because the pinned data plane still forwards, then
withdraws everything. ExaBGP itself remembers no route (`adj-rib-out false`): one memory, not two.

Nothing of Headrace and nothing slow is imported: an old relay serves a new daemon, and it starts
in milliseconds (`python -I -S relay.py SOCKET KEEP_S`).

Between relay and daemon each message is one line of JSON:

    relay   hello      version, exabgp (its pid), announcements, sessions [[peer, since]]
            session    peer, state, since, reason
            refused    command: what ExaBGP answered with an error
            answer     id, problems, lines
    daemon  announce   id, announcements [[prefix, med, communities]]: the whole set
            command    id, text: any other command of ExaBGP's API
"""

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

PROTOCOL_VERSION = 1
"""Grows when the messages change; the daemon replaces an ExaBGP whose relay speaks another."""

LIMIT_LINE_BYTES = 4 * 1024 * 1024
"""A set of 4,096 prefixes with ten communities each is under 1 MB."""

LIMIT_UNSENT_BYTES = 4 * 1024 * 1024
"""What may wait for a daemon that does not read; then it is dropped, and greeted anew later."""

LIMIT_ANSWER_LINES = 16_384
"""64 peers of about 60 lines each, as `show neighbor configuration` prints them, fit four times."""

LIMIT_COMMAND_PREFIXES = 500
"""Of one command: 25 kB, where ExaBGP refuses a line of 1 MB."""

RECONNECT_S = 0.1
"""How often the relay looks for the daemon: a restart is noticed at once, at 10 calls a second."""

READ_BYTES = 65_536


class Side(Enum):
    """The two that the relay stands between."""

    EXABGP = "exabgp"
    DAEMON = "daemon"


class MessageError(Exception):
    """The daemon sent what is no message; its connection must be dropped."""


class Route(NamedTuple):
    """How one prefix is announced."""

    med: int | None
    communities: tuple[str, ...]


class _Session:
    """An established session: our end of it, and what the peer has heard.

    A route of None is in doubt: the peer may or may not have heard of the prefix.
    """

    def __init__(self, local: str, since: float, doubtful: set[str]) -> None:
        self.local = local
        self.since = since
        self.routes: dict[str, Route | None] = dict.fromkeys(doubtful)

    def carries(self, prefix: str) -> bool:
        """Whether the prefix is of the session's address family: our end of it is the next hop."""
        return (":" in prefix) == (":" in self.local)


class _Command:
    """A command that ExaBGP has not yet answered."""

    def __init__(
        self,
        text: str,
        *,
        peer: str = "",
        prefixes: Iterable[str] = (),
        request_id: int | None = None,
    ) -> None:
        self.text = text
        self.peer = peer
        self.prefixes = frozenset(prefixes)
        self.request_id = request_id
        self.lines: list[str] = []


class _Lines:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete. Raises MessageError when one grows too long."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LIMIT_LINE_BYTES:
            self._rest = b""
            raise MessageError(f"a line is over {LIMIT_LINE_BYTES} bytes")
        return [line.decode("utf-8", "replace") for line in whole]


class Relay:
    """The protocol between ExaBGP and the daemon, without I/O."""

    def __init__(self, *, exabgp_pid: int, keep_s: float) -> None:
        self._exabgp_pid = exabgp_pid
        self._keep_s = keep_s
        self._keep_until: float | None = None
        self._connected = False
        self._desired: dict[str, Route] = {}
        self._sessions: dict[str, _Session] = {}
        self._doubtful: dict[str, set[str]] = {}
        self._unanswered: deque[_Command] = deque()
        self._announce_ids: list[int] = []
        self._problems: list[str] = []
        self._requests: deque[tuple[int, str]] = deque()
        self._lines = {side: _Lines() for side in Side}
        self._output = {side: bytearray() for side in Side}

    # The protocol's face

    def connect(self) -> None:
        """The daemon is there: say who we are and what we hold."""
        self._connected = True
        self._lines[Side.DAEMON] = _Lines()
        self._tell(
            type="hello",
            version=PROTOCOL_VERSION,
            exabgp=self._exabgp_pid,
            announcements=[[prefix, *route] for prefix, route in self._desired.items()],
            sessions=[[peer, session.since] for peer, session in self._sessions.items()],
        )

    def disconnect(self, now: float) -> None:
        """The daemon is gone: what it asked is not answered, what it announced is kept a while.

        Only an announcement ends that: a daemon that starts and dies again does not prolong it.
        """
        self._connected = False
        if self._keep_until is None:
            self._keep_until = now + self._keep_s
        self._announce_ids.clear()
        self._requests.clear()
        for command in self._unanswered:
            command.request_id = None
        self._output[Side.DAEMON].clear()

    def receive(self, side: Side, data: bytes, now: float) -> None:
        """Take bytes from one side. Raises MessageError when the daemon's are no message."""
        for line in self._lines[side].feed(data):
            if side is Side.EXABGP:
                self._hear(line, now)
            else:
                self._obey(line)
            self._advance()

    def tick(self, now: float) -> None:
        """Withdraw everything once the daemon has been away for longer than the policy allows."""
        if self._keep_until is not None and now >= self._keep_until:
            self._keep_until = None
            self._desired.clear()
            self._advance()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, as far as is known now."""
        return self._keep_until

    def data_to_send(self, side: Side) -> bytes:
        """The bytes for one side since the last call."""
        data = bytes(self._output[side])
        self._output[side].clear()
        return data

    # What ExaBGP says

    def _hear(self, line: str, now: float) -> None:
        if line in {"done", "error"}:
            self._answered(accepted=line == "done")
        elif line.startswith("{"):
            self._observe(line, now)
        elif self._unanswered and len(self._unanswered[0].lines) < LIMIT_ANSWER_LINES:
            self._unanswered[0].lines.append(line)

    def _answered(self, *, accepted: bool) -> None:
        if not self._unanswered:
            return
        command = self._unanswered.popleft()
        problems = [] if accepted else [command.text]
        if command.request_id is not None:
            self._tell(type="answer", id=command.request_id, problems=problems, lines=command.lines)
        elif not accepted:
            self._problems += problems
            self._tell(type="refused", command=command.text)

    def _observe(self, line: str, now: float) -> None:
        """Take a session event; every other event of ExaBGP's passes by."""
        try:
            neighbor = json.loads(line)["neighbor"]
            peer, local = neighbor["address"]["peer"], neighbor["address"]["local"]
            state = neighbor["state"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if state == "up":
            self._session_up(peer, local, now)
        elif state == "down":
            self._session_down(peer, str(neighbor.get("reason", "")), now)

    def _session_up(self, peer: str, local: str, now: float) -> None:
        if local == "None":
            # A reload between connect and up makes ExaBGP forget the address it had found; without
            # a next hop nothing can be announced, and the next connection knows it again.
            self._send(_Command(f"neighbor {peer} teardown 4"))
            return
        self._sessions[peer] = _Session(local, now, self._doubtful.pop(peer, set()))
        self._tell(type="session", peer=peer, state="up", since=now, reason="")

    def _session_down(self, peer: str, reason: str, now: float) -> None:
        """Forget what the peer heard, save what ExaBGP may yet say to it in the next session."""
        doubtful = {
            prefix
            for command in self._unanswered
            if command.peer == peer
            for prefix in command.prefixes
        }
        session = self._sessions.pop(peer, None)
        if session is not None:
            doubtful |= {prefix for prefix, route in session.routes.items() if route is None}
            self._tell(type="session", peer=peer, state="down", since=now, reason=reason)
        if doubtful:
            self._doubtful.setdefault(peer, set()).update(doubtful)

    # What the daemon says

    def _obey(self, line: str) -> None:
        try:
            message = json.loads(line)
            match message["type"]:
                case "announce":
                    routes = {
                        prefix: Route(med, tuple(many))
                        for prefix, med, many in message["announcements"]
                    }
                    self._announce_ids.append(message["id"])
                    self._desired = routes
                    self._keep_until = None
                case "command":
                    self._requests.append((message["id"], message["text"]))
                case other:
                    raise MessageError(f"no message is called {other!r}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MessageError(f"not a message: {line[:80]!r}") from error

    # What follows

    def _advance(self) -> None:
        """Send what is to be sent next, once ExaBGP has answered all that was sent before.

        One round at a time, because ExaBGP reorders several changes of a prefix that it has not
        yet sent, and answers a plain command before the announcements ahead of it.
        """
        if self._unanswered:
            return
        for command in list(self._differences()):
            self._send(command)
        if self._unanswered:
            return
        for request_id in self._announce_ids:
            self._tell(type="answer", id=request_id, problems=self._problems, lines=[])
        self._announce_ids.clear()
        self._problems.clear()
        if self._requests:
            request_id, text = self._requests.popleft()
            self._send(_Command(text, request_id=request_id))

    def _differences(self) -> Iterator[_Command]:
        """The commands that bring every peer from what it has heard to what is desired."""
        for peer, session in self._sessions.items():
            gone = [prefix for prefix in session.routes if prefix not in self._desired]
            yield from _commands(peer, f"withdraw attributes next-hop {session.local}", gone)
            for prefix in gone:
                del session.routes[prefix]
            wanted: dict[Route, list[str]] = {}
            for prefix, route in self._desired.items():
                if session.routes.get(prefix) != route and session.carries(prefix):
                    session.routes[prefix] = route
                    wanted.setdefault(route, []).append(prefix)
            for route, prefixes in wanted.items():
                action = f"announce attributes next-hop {session.local}{_attributes(route)}"
                yield from _commands(peer, action, prefixes)

    def _send(self, command: _Command) -> None:
        self._unanswered.append(command)
        self._output[Side.EXABGP] += f"{command.text}\n".encode()

    def _tell(self, **message: object) -> None:
        if self._connected:
            self._output[Side.DAEMON] += f"{json.dumps(message)}\n".encode()


def _commands(peer: str, action: str, prefixes: list[str]) -> Iterator[_Command]:
    """One action on many prefixes at once, which ExaBGP takes faster than one by one."""
    for start in range(0, len(prefixes), LIMIT_COMMAND_PREFIXES):
        some = prefixes[start : start + LIMIT_COMMAND_PREFIXES]
        yield _Command(f"neighbor {peer} {action} nlri {' '.join(some)}", peer=peer, prefixes=some)


def _attributes(route: Route) -> str:
    """A route's attributes as ExaBGP's API reads them; communities of three parts are large."""
    text = "" if route.med is None else f" med {route.med}"
    large = [community for community in route.communities if community.count(":") == 2]
    standard = [community for community in route.communities if community not in large]
    if standard:
        text += f" community [ {' '.join(standard)} ]"
    if large:
        text += f" large-community [ {' '.join(large)} ]"
    return text


class _Loop:
    """Read, feed, send, sleep."""

    def __init__(self, relay: Relay, socket_path: str) -> None:
        self._relay = relay
        self._socket_path = socket_path
        self._daemon: socket.socket | None = None
        self._unsent = dict.fromkeys(Side, b"")

    def run(self) -> None:
        """Relay until ExaBGP closes its end."""
        os.set_blocking(sys.stdin.fileno(), False)
        os.set_blocking(sys.stdout.fileno(), False)
        while True:
            self._relay.tick(time.monotonic())
            self._find_daemon()
            self._flush_daemon()
            self._flush_exabgp()
            ready = self._wait()
            if sys.stdin.fileno() in ready and not self._read_exabgp():
                return
            if self._daemon is not None and self._daemon.fileno() in ready:
                self._read_daemon()

    def _wait(self) -> set[int]:
        """Sleep until something can be read, or written where something waits, or is due."""
        poller = select.poll()
        poller.register(sys.stdin.fileno(), select.POLLIN)
        if self._unsent[Side.EXABGP]:
            poller.register(sys.stdout.fileno(), select.POLLOUT)
        if self._daemon is not None:
            writable = select.POLLOUT if self._unsent[Side.DAEMON] else 0
            poller.register(self._daemon.fileno(), select.POLLIN | writable)
        return {fd for fd, _ in poller.poll(self._timeout_ms())}

    def _timeout_ms(self) -> int | None:
        deadline = self._relay.next_deadline()
        waits = [] if deadline is None else [max(0.0, deadline - time.monotonic())]
        if self._daemon is None:
            waits.append(RECONNECT_S)
        return int(min(waits) * 1000) + 1 if waits else None

    def _read_exabgp(self) -> bool:
        data = os.read(sys.stdin.fileno(), READ_BYTES)
        # A line of ExaBGP's that is too long is none that we asked for; dropping it loses nothing.
        with contextlib.suppress(MessageError):
            self._relay.receive(Side.EXABGP, data, time.monotonic())
        return bool(data)

    def _flush_exabgp(self) -> None:
        self._unsent[Side.EXABGP] += self._relay.data_to_send(Side.EXABGP)
        with contextlib.suppress(BlockingIOError):
            if self._unsent[Side.EXABGP]:
                written = os.write(sys.stdout.fileno(), self._unsent[Side.EXABGP])
                self._unsent[Side.EXABGP] = self._unsent[Side.EXABGP][written:]

    def _find_daemon(self) -> None:
        if self._daemon is not None:
            return
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        daemon.settimeout(0)
        try:
            daemon.connect(self._socket_path)
        except OSError:
            daemon.close()
            return
        self._daemon = daemon
        self._relay.connect()

    def _read_daemon(self) -> None:
        assert self._daemon is not None  # noqa: S101 - the caller has looked
        try:
            data = self._daemon.recv(READ_BYTES)
            self._relay.receive(Side.DAEMON, data, time.monotonic())
        except BlockingIOError:
            return
        except (OSError, MessageError):
            data = b""
        if not data:
            self._drop_daemon()

    def _flush_daemon(self) -> None:
        self._unsent[Side.DAEMON] += self._relay.data_to_send(Side.DAEMON)
        if self._daemon is None or not self._unsent[Side.DAEMON]:
            return
        try:
            sent = self._daemon.send(self._unsent[Side.DAEMON])
            self._unsent[Side.DAEMON] = self._unsent[Side.DAEMON][sent:]
        except BlockingIOError:
            if len(self._unsent[Side.DAEMON]) > LIMIT_UNSENT_BYTES:
                self._drop_daemon()
        except OSError:
            self._drop_daemon()

    def _drop_daemon(self) -> None:
        assert self._daemon is not None  # noqa: S101 - the callers have looked
        self._daemon.close()
        self._daemon = None
        self._unsent[Side.DAEMON] = b""
        self._relay.disconnect(time.monotonic())


def _is_second(marker: str) -> bool:
    """Whether this ExaBGP has run a relay before; notes that it has now.

    ExaBGP starts a relay again that died. The new one cannot know what its predecessor announced.
    """
    pid = os.getppid()
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - pathlib is slow
        started = stat.read().rpartition(")")[2].split()[19]
    this_exabgp = f"{pid} {started}"
    with open(marker, "a+", encoding="utf-8") as file:  # noqa: PTH123
        file.seek(0)
        seen = file.read()
        file.truncate(0)
        file.write(this_exabgp)
    return seen == this_exabgp


def main(socket_path: str, keep_s: float) -> None:
    """Serve ExaBGP until it closes our stdin."""
    if _is_second(f"{socket_path}.ran"):
        # Ending ExaBGP withdraws everything, and its supervisor starts both anew.
        os.write(sys.stdout.fileno(), b"shutdown\n")
        while os.read(sys.stdin.fileno(), READ_BYTES):
            pass
        return
    # ExaBGP is gone when its end of stdout is.
    with contextlib.suppress(BrokenPipeError):
        _Loop(Relay(exabgp_pid=os.getppid(), keep_s=keep_s), socket_path).run()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
