"""Between BIRD and the daemon, without I/O.

The set is a file that BIRD includes; a change is that file and `configure` on the control socket.
BIRD itself tells all of it to a session that comes up. It logs each change of a session to the
control socket too, with the next answer at the latest; so we look at the sessions now and then.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from .bird_text import (
    Notice,
    Replies,
    Reply,
    name_of,
    read_channels,
    read_sessions,
    read_watched,
    render_routes,
    unsaid_of,
)
from .daemon_side import DaemonSide
from .messages import Announce, Command, HandOver, Lines, Route, Side, version_of
from .wanted import Wanted

POLL_S = 0.25
"""Between two looks at the sessions: a status that is newer helps nobody."""

ECHO = "echo { trace, remote, error }"
"""Log lines of these kinds come by the control socket; sessions have `debug { states }`."""

DEAF_S = 10.0
"""A BIRD that leaves a command unanswered for so long is ended; it answers in milliseconds."""

RETRY_S = 10.0
"""Until a withdrawal that no daemon waits for is tried again, when it was refused."""

SHOW_SESSIONS = 'show protocols "peer_*"'
SHOW_SESSION = 'show protocols all "{name}"'
SHOW_WATCHED = "show bfd sessions"
CONFIGURE = "configure"
GRACEFUL = "graceful restart"


class _Asked(NamedTuple):
    """A command that BIRD has not yet answered, and what its reply is for."""

    text: str
    take: Callable[[Reply, float], None]
    at: float


class BirdRelay:
    """The protocol between BIRD and the daemon.

    `routes_file` and `handover` are what the loop has to write before it sends anything; it says
    by `note_written` and `note_kept` what came of that.
    """

    def __init__(self, *, own_pid: int, wanted: Wanted) -> None:
        self.handover: str | None = None
        self.routes_file: str | None = None
        self._wanted = wanted
        self._taken: str | None = None  # the routes that BIRD has; None while that is in doubt
        self._unwritten: str | None = None  # why the loop could not write the newest ones
        self._retry_at: float | None = None
        self._answer_handover: Callable[[Reply, float], None] | None = None
        self._daemon = DaemonSide(own_pid, wanted)
        self._reasons: dict[str, str] = {}  # why a session is about to end
        self._begun: dict[str, float] = {}  # sessions that came up then, and what they carry?
        self._channels: dict[str, dict[int, bool] | None] = {}  # as BIRD shows those that are up
        self._invalid: dict[str, dict[str, Route | None]] = {}  # what BIRD would not say to whom
        self._waiting: deque[_Asked] = deque()  # the first has been sent
        self._lines = Lines()
        self._replies = Replies()
        self._is_ready = False  # BIRD has greeted us
        self._output = bytearray()
        self._poll_at = 0.0
        self._connection = 0  # answers go to the daemon that asked
        self._taken = self.routes_file = self._render()  # BIRD starts with these, or not at all

    # The protocol's face

    def connect(self, now: float) -> None:
        """The daemon is there."""
        self._connection += 1
        self._daemon.connect(now)

    def disconnect(self, now: float) -> None:
        """The daemon is gone: what it asked is not answered, what it announced is kept a while."""
        self._connection += 1
        self._daemon.disconnect(now)

    def receive(self, side: Side, data: bytes, now: float) -> None:
        """Take bytes from one side. Raises MessageError when the daemon's are no message."""
        if side is Side.DAEMON:
            for order in self._daemon.orders(data):
                self._obey(order, now)
            return
        for line in self._lines.feed(data):
            match self._replies.feed(line):
                case Reply() as reply:
                    self._hear(reply, now)
                case Notice() as notice:
                    self._note(notice, now)

    def tick(self, now: float) -> None:
        """Withdraw, in its steps, when the daemon stays away; look at the sessions now and then."""
        if self._wanted.expire(now) or (self._retry_at is not None and now >= self._retry_at):
            self._retry_at = None
            self._tell_unsaid()
            self._configure(now, self._retry_if_refused)
        if now >= self._poll_at and not self._waiting:
            self._poll_at = now + POLL_S
            self._ask(SHOW_SESSIONS, self._take_sessions, now)
            self._ask(SHOW_WATCHED, self._take_watched, now)

    def next_deadline(self) -> float:
        """When `tick` has something to do, as far as is known now."""
        next_look = self._waiting[0].at + DEAF_S if self._waiting else self._poll_at
        keep_until = self._wanted.keep_until
        return next_look if keep_until is None else min(next_look, keep_until)

    def data_to_send(self, side: Side) -> bytes:
        """The bytes for one side since the last call."""
        if side is Side.DAEMON:
            return self._daemon.data_to_send()
        data = bytes(self._output)
        self._output.clear()
        return data

    def is_deaf(self, now: float) -> bool:
        """Whether BIRD has been silent for too long."""
        return bool(self._waiting) and now - self._waiting[0].at >= DEAF_S

    def withdraw(self, now: float) -> None:
        """Want nothing from now on."""
        self._wanted.withdraw()
        self._configure(now, lambda _reply, _now: None)

    def note_written(self, problem: str | None) -> None:
        """`routes_file` is in place, or why it is not: then what BIRD reads is an older one."""
        self.routes_file, self._unwritten = None, problem

    def note_kept(self, problem: str | None, now: float) -> None:
        """`handover` is kept, or why it is not; BIRD ends only for what the next one finds."""
        answer, self.handover, self._answer_handover = self._answer_handover, None, None
        if answer is None:
            return
        if problem is None:
            self._ask(GRACEFUL, answer, now)
        else:
            answer(_refusal(problem), now)

    @property
    def is_settled(self) -> bool:
        """Whether BIRD has answered all that it was asked."""
        return not self._waiting

    # What BIRD says

    def _hear(self, reply: Reply, now: float) -> None:
        if not self._is_ready:
            self._is_ready = True  # this was its greeting
            self._waiting.appendleft(_Asked(ECHO, lambda _reply, _now: None, now))
        elif self._waiting:
            self._waiting.popleft().take(reply, now)
        if self._waiting:
            self._output += f"{self._waiting[0].text}\n".encode()
            self._waiting[0] = self._waiting[0]._replace(at=now)

    def _note(self, notice: Notice, now: float) -> None:
        """Take a change of a session, or why there will be one."""
        prefix = unsaid_of(notice.reason)
        if prefix is not None:
            route = self._wanted.routes_for(notice.peer).get(prefix)
            self._invalid.setdefault(notice.peer, {})[prefix] = route
            self._tell_unsaid()
        elif notice.state is None:
            self._reasons[notice.peer] = notice.reason
        elif notice.state == "up":
            self._learn(notice.peer, now)
        else:
            reason = self._reasons.pop(notice.peer, "")
            if notice.peer in self._daemon.sessions:  # why others stay down, a look tells
                self._session_down(notice.peer, reason, now)

    def _take_sessions(self, reply: Reply, now: float) -> None:
        """Tell of what the notices did not tell: a socket that is full loses some."""
        shown = read_sessions(reply.lines)
        for peer in self._daemon.sessions.keys() - shown.keys():
            self._session_down(peer, "", now)
        for peer, state in shown.items():
            if not state.is_up:
                self._session_down(peer, state.reason, now)
            else:
                self._learn(peer, now)

    def _learn(self, peer: str, now: float) -> None:
        """Ask what a session carries that has come up, then tell of both."""
        if peer in self._daemon.sessions or peer in self._begun:
            return
        self._begun[peer] = now

        def take(reply: Reply, _now: float) -> None:
            since, shown = self._begun.pop(peer), read_sessions(reply.lines).get(peer)
            if shown is not None and shown.is_up:
                channels = read_channels(reply.lines)
                self._channels[peer] = channels
                self._daemon.session_up(peer, since, channels)
                self._tell_unsaid()

        self._ask(SHOW_SESSION.format(name=name_of(peer)), take, now)

    def _session_down(self, peer: str, reason: str, now: float) -> None:
        self._channels.pop(peer, None)
        self._invalid.pop(peer, None)
        self._daemon.session_down(peer, reason, now)

    def _take_watched(self, reply: Reply, now: float) -> None:
        shown = read_watched(reply.lines)
        for peer in self._daemon.watched | shown:
            self._daemon.watch(peer, shown.get(peer), now)

    # What the daemon says

    def _obey(self, order: Announce | Command | HandOver, now: float) -> None:
        match order:
            case Announce():
                self._wanted.take(order)
                self._retry_at = None
                self._tell_unsaid()
                self._configure(now, self._answerer(order.id))
            case Command():
                self._ask(order.text, self._answerer(order.id), now)
            case HandOver():
                self.handover = self._wanted.hand_over(now + order.within_s)
                self._answer_handover = self._answerer(order.id)

    def _answerer(self, request_id: int) -> Callable[[Reply, float], None]:
        """Tells the daemon that asked what came of it."""
        connection = self._connection

        def answer(reply: Reply, _now: float) -> None:
            if connection == self._connection:
                problems = [] if reply.problem is None else [reply.problem]
                self._daemon.answer(request_id, problems=problems, lines=reply.lines)

        return answer

    # What follows

    def _tell_unsaid(self) -> None:
        """Tell of what sessions have no next hop for, or what BIRD itself would not say."""
        for peer, channels in self._channels.items():
            invalid, routes = self._invalid.get(peer, {}), self._wanted.routes_for(peer)
            unsaid = {prefix for prefix, route in invalid.items() if routes.get(prefix) == route}
            hops = channels or {}
            if not all(hops.values()):
                extended = self._wanted.peers[peer].extended if routes else False
                unsaid.update(
                    prefix
                    for prefix, route in routes.items()
                    if not hops.get(version_of(prefix), True)
                    and not _gives_hop(route, 6 if extended else version_of(prefix))
                )
            self._daemon.note_carried(peer, channels, unsaid & routes.keys())

    def _configure(self, now: float, take: Callable[[Reply, float], None]) -> None:
        """Have BIRD read what is wanted, unless it has just that."""
        text = self._render()
        if text == self._taken:
            take(Reply(0, []), now)
            return

        def taken(reply: Reply, now: float) -> None:
            if self._unwritten is not None:
                reply = _refusal(self._unwritten)
            is_newest = all(asked.text != CONFIGURE for asked in self._waiting)
            self._taken = text if reply.problem is None and is_newest else None
            take(reply, now)

        self._taken, self.routes_file = None, text
        self._ask(CONFIGURE, taken, now)

    def _retry_if_refused(self, reply: Reply, now: float) -> None:
        if reply.problem is not None:
            self._retry_at = now + RETRY_S

    def _render(self) -> str:
        wanted = self._wanted
        return render_routes(wanted.routes, wanted.as_number, wanted.exports)

    def _ask(self, text: str, take: Callable[[Reply, float], None], now: float) -> None:
        self._waiting.append(_Asked(text, take, now))
        if self._is_ready and len(self._waiting) == 1:
            self._output += f"{text}\n".encode()


def _gives_hop(route: Route, version: int) -> bool:
    """Whether a route names a next hop that such a session can say."""
    return route.next_hop is not None and version_of(route.next_hop) == version


def _refusal(problem: str) -> Reply:
    """What stands for BIRD's own where a file of ours could not be written."""
    return Reply(8000, [problem])
