"""The speaker: keeps one ExaBGP running, and its peers hearing what is desired."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from headrace.bgp.configuration import Files, build_environment, render_configuration
from headrace.bgp.link import (
    CommandRefused,
    Hello,
    LinkLostError,
    RelayLink,
    SessionChanged,
    encode_announcements,
)
from headrace.bgp.process import Process
from headrace.bgp.relay import LIMIT_LINE_BYTES, PROTOCOL_VERSION
from headrace.model import (
    Announcement,
    Bgp,
    IPAddress,
    ProtocolError,
    SessionEvent,
    SessionState,
    UnavailableError,
)

KEEP_S = 60.0
"""How long announcements outlive the daemon: a restart takes seconds, and longer than this nobody
has looked at the endpoints' health."""

ANNOUNCE_TIMEOUT_S = 30.0
"""A set takes about 1 ms a prefix and peer; an ExaBGP that takes this long is ended."""

LINK_TIMEOUT_S = 10.0
"""An ExaBGP without a relay is deaf; starting takes half a second."""

RELOAD_TIMEOUT_S = 5.0
"""ExaBGP forgets to reload while an update waits to be sent, so it is asked again until it has."""

RELOAD_RETRY_S = 0.05

STOP_TIMEOUT_S = 3.0
"""For each step of stopping: to withdraw, to end."""

RESTART_S_MIN = 0.1
RESTART_S_MAX = 30.0
"""A child that keeps dying is started again ever later, up to this."""

STEADY_S = 60.0
"""A child that lived this long did not fail to start; the next restart is at once."""

log = structlog.get_logger()


class ExabgpSpeaker:
    """Runs ExaBGP and the relay in `directory`, which is theirs alone.

    `on_event` hears each change of a session. Cancelling `run` leaves ExaBGP announcing for
    `keep_s`, as the daemon's death does, and the next speaker in this directory takes it over;
    `stop` ends it.
    """

    def __init__(
        self, directory: Path, on_event: Callable[[SessionEvent], None], *, keep_s: float = KEEP_S
    ) -> None:
        self._files = Files(directory)
        self._on_event = on_event
        self._keep_s = keep_s
        self._bgp: Bgp | None = None
        self._digest = ""
        self._desired: frozenset[Announcement] | None = None
        self._sessions: dict[IPAddress, tuple[SessionState, float]] = {}
        self._process: Process | None = None
        self._link: RelayLink | None = None
        self._linked = asyncio.Event()
        self._unlinked = asyncio.Event()
        self._unlinked.set()
        self._begun = asyncio.Event()  # `run` has the document
        self._changed = asyncio.Event()  # there is another document, or an end
        self._ended = asyncio.Event()  # no process is supervised
        self._ended.set()
        self._stopped = False
        self._restart_s = 0.0
        self._silent_since: float | None = None  # ExaBGP has been told a set and not answered
        self._configuring = asyncio.Lock()

    @property
    def sessions(self) -> Mapping[IPAddress, tuple[SessionState, float]]:
        """Each peer's state and the monotonic time it began."""
        return MappingProxyType(self._sessions)

    async def run(self, bgp: Bgp | None) -> None:
        """Keep ExaBGP running until stopped. Raises ConfigError for peers it cannot speak to."""
        self._files.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files.directory.chmod(0o700)
        self._take(bgp)
        self._begun.set()
        listener = self._listen_for_relay()
        async with asyncio.TaskGroup() as group:
            server = await asyncio.start_unix_server(
                lambda reader, writer: group.create_task(self._serve(reader, writer)),
                sock=listener,
                limit=LIMIT_LINE_BYTES,
            )
            try:
                while not self._stopped:
                    await self._supervise_once()
            finally:
                server.close()
                if self._link is not None:
                    self._link.close()

    async def configure(self, bgp: Bgp | None) -> None:
        """Speak as this section says, leaving sessions alone that it does not change.

        Raises ConfigError for peers that ExaBGP cannot speak to, keeping what was.
        """
        async with self._configuring:
            self._take(bgp)
            self._changed.set()
            if bgp is None:
                await self._end()
            elif self._link is not None:
                with contextlib.suppress(LinkLostError):  # the next ExaBGP reads the new file
                    await self._reload(self._link)

    async def announce(self, announcements: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; returns when ExaBGP has acknowledged it.

        The set is kept and told to every peer whose session comes up. Raises UnavailableError when
        there is no bgp section to announce by, or ExaBGP does not answer. Who gives up earlier and
        asks again gains nothing for an ExaBGP that is silent: its time is counted from the first.
        """
        encode_announcements(announcements)  # raises ConfigError before anything is kept
        self._desired = announcements
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S - self._silent_s()):
                await self._begun.wait()
                problems = await self._tell()
        except TimeoutError as error:
            self._silent_since = None
            if self._process is not None:
                self._process.kill()  # it may still announce what is no longer true
            raise UnavailableError(
                "ExaBGP does not answer and is started anew; it then hears the set"
            ) from error
        if problems:
            raise UnavailableError(f"ExaBGP refused: {'; '.join(problems)}")

    async def stop(self) -> None:
        """Withdraw everything, then end ExaBGP and `run`."""
        async with self._configuring:
            self._stopped = True
            self._changed.set()
            await self._end()

    # The document

    def _take(self, bgp: Bgp | None) -> None:
        """Write the configuration for the next ExaBGP, or the next reload, to read."""
        if bgp is not None:
            text, digest = render_configuration(bgp, self._files, self._keep_s)
            _write_secret(self._files.configuration, text)
            self._digest = digest
        self._bgp = bgp
        now = time.monotonic()
        peers = [peer.address for peer in bgp.peers] if bgp is not None else []
        self._sessions = {
            peer: self._sessions.get(peer, (SessionState.DOWN, now)) for peer in peers
        }

    async def _reload(self, link: RelayLink) -> None:
        """Have ExaBGP read its file, and see that it has."""
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT_S):
                while not await self._is_current(link):
                    log.info("exabgp_reload", peers=len(self._sessions))
                    await link.command("reload")
                    await asyncio.sleep(RELOAD_RETRY_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"ExaBGP did not take its new configuration; {self._files.log} says why"
            ) from error

    async def _is_current(self, link: RelayLink) -> bool:
        return any(
            self._digest in line for line in await link.command("show neighbor configuration")
        )

    # The process

    async def _supervise_once(self) -> None:
        """Take over or start ExaBGP, and return once it has ended and may be started again."""
        self._changed.clear()
        process = self._adopt()
        if self._bgp is None and process is not None:
            process.kill()  # a former daemon's, whose document spoke BGP; this closes its sessions
        elif self._bgp is None:
            await self._changed.wait()
            return
        started = time.monotonic()
        process = process or self._start()
        self._process = process
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._kill_unless_linked(process))
                status = await process.wait()
                watch.cancel()
        finally:
            process.close()
            self._process = None
            self._silent_since = None
            self._ended.set()
        self._lose_sessions("ExaBGP ended")
        if not self._stopped and self._bgp is not None:
            log.error(
                "exabgp_ended", pid=process.pid, status=status, output=_tail(self._files.output)
            )
            await _happens(self._changed, self._backoff(time.monotonic() - started))

    def _adopt(self) -> Process | None:
        process = Process.find(self._files.pidfile, str(self._files.configuration))
        if process is not None:
            log.info("exabgp_adopted", pid=process.pid)
        return process

    def _start(self) -> Process:
        # ExaBGP refuses to start beside a living process with this number, whatever that is.
        self._files.pidfile.unlink(missing_ok=True)
        process = Process.start(
            [sys.executable, "-P", "-m", "exabgp", "server", str(self._files.configuration)],
            environment=build_environment(os.environ, self._files),
            output=self._files.output,
        )
        log.info("exabgp_started", pid=process.pid)
        return process

    async def _kill_unless_linked(self, process: Process) -> None:
        """End an ExaBGP whose relay stays away: it cannot be told anything."""
        in_time = True
        while in_time:
            await self._unlinked.wait()
            in_time = await _happens(self._linked, LINK_TIMEOUT_S)
        log.error("exabgp_killed", pid=process.pid, reason="no relay")
        process.kill()

    async def _end(self) -> None:
        """Withdraw, then end ExaBGP; bounded, and by force at last. What is desired stays so."""
        if self._process is None:
            return
        if self._link is not None and self._silent_since is None:
            with contextlib.suppress(TimeoutError, LinkLostError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._link.announce(frozenset())
        await self._end_process()

    async def _end_process(self) -> None:
        if self._process is None:
            return
        for end in (self._process.terminate, self._process.kill):
            end()
            if await _happens(self._ended, STOP_TIMEOUT_S):
                return

    def _backoff(self, lived_s: float) -> float:
        """How long to wait before the next start of a child that lived this long."""
        if lived_s >= STEADY_S:
            self._restart_s = 0.0
        self._restart_s = min(max(2 * self._restart_s, RESTART_S_MIN), RESTART_S_MAX)
        return self._restart_s

    # The relay

    def _listen_for_relay(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            self._files.socket.unlink(missing_ok=True)
            listener.bind(str(self._files.socket))
        except OSError as error:
            listener.close()
            raise UnavailableError(
                f"cannot listen on {self._files.socket} for the relay: {error}"
            ) from error
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear a relay out, if it is that of the ExaBGP we supervise."""
        link = RelayLink(reader, writer)
        try:
            hello = await link.hello()
            if self._process is not None and hello.exabgp_pid == self._process.pid:
                await self._converse(link, hello)
        except ProtocolError as error:
            log.warning("relay_dropped", reason=str(error))
        finally:
            link.close()

    async def _converse(self, link: RelayLink, hello: Hello) -> None:
        if hello.version != PROTOCOL_VERSION:
            log.warning("exabgp_replaced", reason=f"its relay speaks version {hello.version}")
            await self._end_process()
            return
        log.info(
            "relay_connected", announcements=len(hello.announcements), sessions=len(hello.sessions)
        )
        self._link = link
        self._linked.set()
        self._unlinked.clear()
        try:
            self._meet(hello)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._greet(link))
                await self._listen(link)
        finally:
            if self._link is link:
                self._link = None
                self._linked.clear()
                self._unlinked.set()

    def _meet(self, hello: Hello) -> None:
        """Take over what the relay knows of the sessions."""
        now = time.monotonic()
        for peer, (state, _) in list(self._sessions.items()):
            if peer in hello.sessions:
                self._note(SessionEvent(peer, SessionState.UP), hello.sessions[peer])
            elif state is SessionState.UP:
                self._note(SessionEvent(peer, SessionState.DOWN), now)

    async def _greet(self, link: RelayLink) -> None:
        """Tell a relay what is desired, once somebody has said it, and have ExaBGP speak so."""
        try:
            if self._desired is not None:
                await link.announce(self._desired)
            await self._reload(link)
        except LinkLostError:
            return
        except UnavailableError as error:
            log.warning("exabgp_not_reloaded", reason=str(error))

    async def _listen(self, link: RelayLink) -> None:
        try:
            async for event in link.events():
                match event:
                    case SessionChanged():
                        self._note(event.event, event.since)
                    case CommandRefused():
                        log.warning("exabgp_refused", command=event.command)
        except ProtocolError as error:
            log.warning("relay_dropped", reason=str(error))
        finally:
            link.close()

    async def _tell(self) -> list[str]:
        """Tell the relay the newest desired set, over as many connections as it takes."""
        announcements = self._desired or frozenset()
        if self._bgp is None:
            if announcements:
                raise UnavailableError("nothing speaks BGP here; add a bgp section to the document")
            return []
        self._warn_of_unheard(announcements)
        while True:
            await self._linked.wait()
            if self._link is not None:
                with contextlib.suppress(LinkLostError):
                    return await self._tell_over(self._link)
            await asyncio.sleep(0)

    async def _tell_over(self, link: RelayLink) -> list[str]:
        """Tell the newest set; what is refused. Who waits may give up, the silence lasts."""
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        problems = await link.announce(self._desired or frozenset())
        self._silent_since = None
        return problems

    def _silent_s(self) -> float:
        """For how long ExaBGP has left a set unanswered."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    # The sessions

    def _note(self, event: SessionEvent, since: float) -> None:
        known = self._sessions.get(event.peer)
        if known is None:
            return  # a session that the document no longer has
        self._sessions[event.peer] = (event.state, since)
        if known[0] is not event.state:
            log.info(
                "session_changed", peer=str(event.peer), state=event.state, reason=event.reason
            )
            self._on_event(event)

    def _lose_sessions(self, reason: str) -> None:
        now = time.monotonic()
        for peer, (state, _) in list(self._sessions.items()):
            if state is SessionState.UP:
                self._note(SessionEvent(peer, SessionState.DOWN, reason), now)

    def _warn_of_unheard(self, announcements: frozenset[Announcement]) -> None:
        """A session carries its own address family: say so when nobody will hear a prefix."""
        heard = {peer.version for peer in self._sessions}
        for announcement in announcements:
            if announcement.prefix.version not in heard:
                log.warning("announcement_without_peer", prefix=str(announcement.prefix))


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    """Whether the event is set within that time; returns as soon as it is."""
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False


def _write_secret(path: Path, text: str) -> None:
    """Put a file in place whole, readable by us alone."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _tail(path: Path) -> str:
    """The end of what a program printed."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")[-500:]
    return ""
