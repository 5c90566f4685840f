"""Keeps one program with its relay running, and holds the connection to the relay."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from headrace.bgp.link import Event, Hello, LinkLostError, RelayLink
from headrace.bgp.process import Process
from headrace.bgp.program import Program, last_words, tail
from headrace.bgp.relay.daemon_end import handover_path
from headrace.bgp.relay.messages import LIMIT_LINE_BYTES, PROTOCOL_VERSION
from headrace.model import Announcement, ProtocolError, UnavailableError

LINK_TIMEOUT_S = 10.0
"""A speaker without a relay is deaf; starting takes half a second."""

STOP_TIMEOUT_S = 5.0
"""For a program to end by itself: it closes its sessions; BIRD's relay withdraws first."""

RESTART_S_MIN = 0.1
RESTART_S_MAX = 30.0
"""A child that keeps dying is started again ever later, up to this."""

PATIENCE_S = 1.0
"""Who has something to tell waits for a child that is started again within this."""

STEADY_S = 60.0
"""A child that lived this long did not fail to start; the next restart is at once."""

log = structlog.get_logger()


class Owner(Protocol):
    """Who wants the program, and hears what becomes of it."""

    async def greet(self, link: RelayLink) -> None:
        """A relay is there: tell it what it has to know."""
        ...

    def meet(self, hello: Hello) -> None:
        """A relay says how things are."""
        ...

    def hear(self, event: Event) -> None:
        """A relay says what has changed."""
        ...

    def lose(self, reason: str) -> None:
        """The program is gone, and all its sessions with it."""
        ...


class Supervisor:
    """Runs what `program` says in a directory that is its own, one process at a time.

    `known` are all programs that a former daemon may have left there. Cancelling `run` leaves the
    process running, as the daemon's death does, and the next supervisor in this directory takes it
    over; `end` ends it.
    """

    def __init__(self, socket_path: Path, owner: Owner, known: Callable[[], list[Program]]) -> None:
        self.link: RelayLink | None = None
        self.linked = asyncio.Event()
        self.is_lost = False  # it has been there, and is not now
        self.trouble = ""  # why there is none, as far as is known
        self._is_absent = False  # there is none, and will not be for a while
        self.inherited: frozenset[Announcement] | None = None  # from a former daemon; None: no one
        self.has_inherited = asyncio.Event()  # that is known
        self._socket_path = socket_path
        self._owner = owner
        self._known = known
        self._program: Program | None = None
        self._process: Process | None = None
        self._known_so = asyncio.Event()  # linked, or absent
        self._unlinked = asyncio.Event()
        self._unlinked.set()
        self._changed = asyncio.Event()  # another program is wanted, or an end
        self._ended = asyncio.Event()  # no process is supervised
        self._ended.set()
        self._stopped = False
        self._is_stranger = False  # the process is of a kind that the document no longer names
        self._restart_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    async def run(self) -> None:
        """Keep what is wanted running until stopped."""
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
                if self.link is not None:
                    self.link.close()

    def want(self, program: Program | None) -> None:
        """Run this one from its next start on; None for none. What runs is not touched."""
        self._program = program
        self.is_lost = self.is_lost and program is not None
        self.trouble = ""
        self._be_absent(absent=False)
        self._changed.set()

    async def wait_for_link(self) -> RelayLink | None:
        """The connection, once there is one; None where there is no process and none soon."""
        while self.link is None and not self._is_absent:
            await self._known_so.wait()  # and look again: it may be lost by now
        return self.link

    def stop(self) -> None:
        """Start nothing any more; `run` returns once the process has ended."""
        self._stopped = True
        self._changed.set()

    async def end(self) -> None:
        """End the process, by force at last."""
        if self._process is None:
            return
        for end in (self._process.terminate, self._process.kill):
            end()
            if await happens(self._ended, STOP_TIMEOUT_S):
                return

    def kill(self, reason: str) -> None:
        """End the process at once, without a word to anybody."""
        if self._process is not None:
            log.warning("speaker_killed", pid=self._process.pid, reason=reason)
            self._process.kill()

    # The process

    async def _supervise_once(self) -> None:
        """Take over or start the program, and return once it has ended and may be started again."""
        self._changed.clear()
        process = self._adopt()
        if process is None and (self._program is None or not self._is_handed_over()):
            self._inherit(None)
        if process is None and self._program is None:
            await self._changed.wait()
            return
        started = time.monotonic()
        if process is None:
            self._is_stranger = False
            process = self._start()
        if process is None:
            self._inherit(frozenset())
            await happens(self._changed, self._backoff(0.0))
            return
        self._process = process
        self._be_absent(absent=False)
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._kill_unless_linked())
                status = await process.wait()
                watch.cancel()
        finally:
            process.close()
            self._process = None
            self._ended.set()
            self._inherit(frozenset())
        self._owner.lose("the speaker ended")
        if not self._stopped and self._program is not None:
            self.is_lost = True
            output = tail(self._program.output)
            name = self._program.name
            log.error("speaker_ended", name=name, pid=process.pid, status=status, output=output)
            wait_s = self._backoff(time.monotonic() - started)
            if wait_s > PATIENCE_S:
                said = last_words(output) or f"its log in {self._program.output.parent} says why"
                self.trouble = f"it ends again and again: {said}"
                self._be_absent(absent=True)
            await happens(self._changed, wait_s)

    def _adopt(self) -> Process | None:
        """What a former daemon left; one that is not wanted ends once it has said what it held."""
        for program in self._known():
            process = program.find()
            if process is None:
                continue
            wanted = self._program is not None and self._program.name == program.name
            log.info("speaker_found", name=program.name, pid=process.pid, wanted=wanted)
            self._is_stranger = not wanted
            return process
        return None

    def _start(self) -> Process | None:
        if self._program is None:
            return None
        try:
            process = self._program.start()
        except UnavailableError as error:
            self.is_lost, self.trouble = True, str(error)
            self._be_absent(absent=True)
            log.error("speaker_not_started", name=self._program.name, reason=str(error))  # noqa: TRY400
            return None
        log.info("speaker_started", name=self._program.name, pid=process.pid)
        return process

    def _be_absent(self, *, absent: bool) -> None:
        """Note whether there is none, and will not be for a while."""
        self._is_absent = absent
        self._let_go()

    def _let_go(self) -> None:
        """Let those go who wait for a link, or have them wait, as things are now."""
        if self._is_absent or self.link is not None:
            self._known_so.set()
        else:
            self._known_so.clear()

    async def _kill_unless_linked(self) -> None:
        """End a program whose relay stays away: it cannot be told anything."""
        in_time = True
        while in_time:
            await self._unlinked.wait()
            in_time = await happens(self.linked, LINK_TIMEOUT_S)
        self.kill("no relay")

    def _backoff(self, lived_s: float) -> float:
        """How long to wait before the next start of a child that lived this long."""
        if lived_s >= STEADY_S:
            self._restart_s = 0.0
        self._restart_s = min(max(2 * self._restart_s, RESTART_S_MIN), RESTART_S_MAX)
        return self._restart_s

    def _is_handed_over(self) -> bool:
        """Whether a former relay left its set to the one that starts next."""
        return Path(handover_path(str(self._socket_path))).exists()

    def _inherit(self, announcements: frozenset[Announcement] | None) -> None:
        """Keep what was found first."""
        if not self.has_inherited.is_set():
            self.inherited = announcements
            self.has_inherited.set()

    # The relay

    def _listen_for_relay(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            self._socket_path.unlink(missing_ok=True)
            listener.bind(str(self._socket_path))
        except OSError as error:
            listener.close()
            raise UnavailableError(
                f"cannot listen on {self._socket_path} for the relay: {error}"
            ) from error
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear a relay out, if it is that of the process we supervise."""
        link = RelayLink(reader, writer)
        try:
            hello = await link.hello()
            if self._process is not None and hello.speaker_pid == self._process.pid:
                await self._converse(link, hello)
        except ProtocolError as error:
            log.warning("relay_dropped", reason=str(error))
        finally:
            link.close()

    async def _converse(self, link: RelayLink, hello: Hello) -> None:
        self._inherit(hello.announcements)
        if hello.version != PROTOCOL_VERSION:
            log.warning("speaker_replaced", reason=f"its relay speaks version {hello.version}")
            await self.end()
            return
        if self._is_stranger:
            await self.end()
            return
        log.info(
            "relay_connected", announcements=len(hello.announcements), sessions=len(hello.sessions)
        )
        self.link = link
        self.is_lost, self.trouble = False, ""
        self.linked.set()
        self._let_go()
        self._unlinked.clear()
        try:
            self._owner.meet(hello)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._greet(link))
                await self._listen(link)
        finally:
            if self.link is link:
                self.link = None
                self.linked.clear()
                self._let_go()
                self._unlinked.set()

    async def _greet(self, link: RelayLink) -> None:
        try:
            await self._owner.greet(link)
            if self._program is not None:
                await self._program.reload(link)
        except LinkLostError:
            return
        except UnavailableError as error:
            log.warning("speaker_not_reloaded", reason=str(error))

    async def _listen(self, link: RelayLink) -> None:
        try:
            async for event in link.events():
                self._owner.hear(event)
        except ProtocolError as error:
            log.warning("relay_dropped", reason=str(error))
        finally:
            link.close()


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Whether the event is set within that time; returns as soon as it is."""
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False
