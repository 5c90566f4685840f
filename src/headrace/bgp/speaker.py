"""The speaker: keeps ExaBGP or BIRD running, and its peers hearing what is desired."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from headrace.bgp.bfd import BfdHelper
from headrace.bgp.bird import Bird
from headrace.bgp.exabgp import Exabgp
from headrace.bgp.link import (
    CommandRefused,
    Event,
    Hello,
    LinkLostError,
    RelayLink,
    SessionChanged,
    WatchChanged,
    check_communities,
    count_choices,
)
from headrace.bgp.program import Program
from headrace.bgp.sessions import Sessions, State, Watch, WatchState
from headrace.bgp.supervisor import Supervisor
from headrace.model import (
    Announcement,
    Bgp,
    Family,
    IPAddress,
    IPNetwork,
    SessionEvent,
    SpeakerKind,
    UnavailableError,
)

ANNOUNCE_TIMEOUT_S = 30.0
"""A set takes about 1 ms a prefix and peer; a speaker that takes this long is ended."""

LIMIT_BIRD_CHOICES = 8_192
"""BIRD read 4,096 kinds of routes for one way to hear them in 3.5 s (docs/decisions/0009), and its
relay ends one that is silent for 10 s: more than this is told before it comes to that."""

STOP_TIMEOUT_S = 3.0
"""For the last withdrawal to be acknowledged."""

log = structlog.get_logger()


class BgpSpeaker:
    """Runs the speaker that the document names, and its relay, in `directory`, theirs alone.

    `on_event` hears each change of a session. Cancelling `run` leaves the speaker announcing for
    the document's `keep_announced_s`, as the daemon's death does, and the next one in this
    directory takes it over; `stop` ends it.
    """

    def __init__(self, directory: Path, on_event: Callable[[SessionEvent], None]) -> None:
        self._directory = directory
        self._socket_path = directory / "relay.sock"
        self._sessions = Sessions(on_event)
        self._watch = Watch()
        self._helper = BfdHelper(directory / "bfd")
        self._supervisor = Supervisor(self._socket_path, self, self._known)
        self._bgp: Bgp | None = None
        self._program: Program | None = None
        self._desired: frozenset[Announcement] | None = None
        self._begun = asyncio.Event()  # `run` has the document
        self._left = asyncio.Event()  # the speaker is to live on without us
        self._choices = 0  # outcomes of policies that the speaker was told
        self._silent_since: float | None = None  # it has been told a set and not answered
        self._configuring = asyncio.Lock()

    @property
    def sessions(self) -> Mapping[IPAddress, State]:
        """Each peer's state and the monotonic time it began."""
        return self._sessions.states

    @property
    def families(self) -> Mapping[IPAddress, frozenset[Family]]:
        """What both ends of sessions that are up carry; of one that is not there, it is not known.

        A relay that an earlier Headrace started does not say.
        """
        return self._sessions.families

    @property
    def unsaid(self) -> Mapping[IPAddress, frozenset[IPNetwork]]:
        """What peers are not told of, since their sessions have no next hop for it."""
        return self._sessions.unsaid

    @property
    def watched(self) -> Mapping[IPAddress, WatchState]:
        """What BFD says of the peers it has sessions with, and the monotonic time that began."""
        return self._helper.watch.states | self._watch.states

    async def held(self) -> frozenset[Announcement] | None:
        """What peers still heard by a former daemon when this one began, once that is known.

        None when no speaker was there. It is known once `run` has met the relay, or found none.
        """
        await self._supervisor.has_inherited.wait()
        return self._supervisor.inherited

    def alarms(self) -> tuple[str, ...]:
        """What is wrong at the moment and does not show in the sessions, a sentence each."""
        if self._bgp is None:
            return ()
        now = time.monotonic()
        is_lost = self._supervisor.is_lost
        sessions = [self._loss()] if is_lost else self._sessions.alarms(self._bgp, now)
        watch = self._watch.alarms(self._bgp, self.sessions, now)
        return (
            *sessions,
            *([*watch, *self._slowness()] if self._bgp.speaker is SpeakerKind.BIRD else []),
            *self._helper.alarms(self.sessions),
        )

    def _loss(self) -> str:
        """That no speaker runs, and why."""
        why = self._supervisor.trouble or "it is started again"
        return f"{self._name} is not running: nothing is announced; {why}"

    def _slowness(self) -> list[str]:
        """That BIRD has more to read than it can in time."""
        if self._choices <= LIMIT_BIRD_CHOICES:
            return []
        alarm = (
            f"export policies make {self._choices:,} different routes, "
            f"over {LIMIT_BIRD_CHOICES:,}: each change keeps BIRD silent for seconds, and at 10 "
            "it is ended; give VIPs the same med, or peers the same policies, or set bgp.speaker "
            "to exabgp"
        )
        return [alarm]

    async def run(self, bgp: Bgp | None) -> None:
        """Keep the speaker running until stopped."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._take(bgp)
        await self._helper.configure(bgp)
        self._begun.set()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._supervisor.run()),
                group.create_task(self._helper.run()),
            ]
            leave = group.create_task(self._left.wait())
            done, _ = await asyncio.wait([leave, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in [leave, *(tasks if leave in done else [])]:
                task.cancel()

    async def configure(self, bgp: Bgp | None) -> None:
        """Speak as this section says, leaving sessions alone that it does not change.

        Raises UnavailableError when the speaker does not take it.
        """
        await self._begun.wait()
        async with self._configuring:
            old = self._program
            self._take(bgp)
            if old is not None and (self._program is None or old.name != self._program.name):
                await self._end(old)
            elif self._program is not None and self._link is not None:
                await self._renew(self._program, self._link)
            await self._helper.configure(bgp)

    async def announce(self, announcements: frozenset[Announcement]) -> None:
        """Make this the whole set that peers hear; returns when the speaker has acknowledged it.

        The set is kept and told to every peer whose session comes up. Raises UnavailableError when
        there is no bgp section to announce by, or the speaker does not answer; at once where none
        runs and none will be started within a second, as when it cannot be. Who gives up
        earlier and asks again gains nothing for one that is silent: its time is counted from the
        first.
        """
        check_communities(announcements)
        self._desired = announcements
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S - self._silent_s()):
                await self._begun.wait()
                problems = await self._tell()
        except TimeoutError as error:
            self._silent_since = None
            self._supervisor.kill("it does not answer")  # it may announce what is no longer true
            raise UnavailableError(
                f"{self._name} does not answer and is started anew; it then hears the set"
            ) from error
        if problems:
            raise UnavailableError(f"{self._name} refused: {'; '.join(problems)}")

    async def stop(self, *, keep_announced: bool = False) -> None:
        """Withdraw everything, then end the speaker and `run`.

        `keep_announced` is for an upgrade: routers keep what they have heard. Where they do so
        over a restart (`graceful_restart_s`), the speaker ends and the next one is to start within
        that time; else the speaker lives on for `keep_announced_s` and the next `run` adopts it.
        """
        async with self._configuring:
            if keep_announced:
                await self._hand_over()
                self._left.set()
                return
            self._supervisor.stop()
            self._helper.supervisor.stop()
            if self._program is not None:
                await self._end(self._program)
            await self._helper.supervisor.end()

    # What the supervisor tells

    async def greet(self, link: RelayLink) -> None:
        """Tell a relay what is desired, once somebody has said it."""
        await self._tell_over(link)

    def meet(self, hello: Hello) -> None:
        """Take over what a relay knows."""
        self._sessions.meet(hello)
        self._watch.meet(hello)

    def hear(self, event: Event) -> None:
        """Take what a relay tells."""
        match event:
            case SessionChanged():
                self._sessions.note(event.event, event.since, event.carried)
            case WatchChanged():
                self._watch.note(event)
            case CommandRefused():
                log.warning("speaker_refused", command=event.command)

    def lose(self, reason: str) -> None:
        """The speaker is gone."""
        self._silent_since = None
        self._watch.lose()
        self._sessions.lose(reason)

    # The document

    @property
    def _name(self) -> str:
        return "the BGP speaker" if self._program is None else self._program.name

    @property
    def _link(self) -> RelayLink | None:
        return self._supervisor.link

    def _take(self, bgp: Bgp | None) -> None:
        """Write the configuration for the next start, or the next reload, to read."""
        program = None if bgp is None else self._program_of(bgp.speaker, bgp)
        if program is not None:
            program.write()
        self._bgp, self._program = bgp, program
        self._sessions.keep(bgp)
        self._watch.keep(bgp if bgp is not None and bgp.speaker is SpeakerKind.BIRD else None)
        self._supervisor.want(program)

    def _program_of(self, kind: SpeakerKind, bgp: Bgp | None) -> Program:
        if kind is SpeakerKind.BIRD:
            return Bird(self._directory, self._socket_path, bgp)
        return Exabgp(self._directory, self._socket_path, bgp)

    def _known(self) -> list[Program]:
        return [self._program_of(kind, None) for kind in SpeakerKind]

    async def _renew(self, program: Program, link: RelayLink) -> None:
        """Have what runs read its new configuration, and tell the set in its terms."""
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                if program.reads_with_set:
                    await self._tell_over(link)
                await program.reload(link)
                if not program.reads_with_set:
                    await self._tell_over(link)
        except LinkLostError:
            return  # the next one reads the new file
        except TimeoutError as error:
            raise UnavailableError(f"{program.name} does not answer") from error

    # The end

    async def _end(self, program: Program) -> None:
        """Withdraw, then end the speaker; bounded, and by force at last. What is desired stays."""
        if self._link is not None and self._silent_since is None:
            with contextlib.suppress(TimeoutError, LinkLostError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._link.withdraw()
                    await program.flush(self._link)
        await self._supervisor.end()

    async def _hand_over(self) -> None:
        """Have the next speaker go on from what this one announces."""
        restart_s = None if self._bgp is None else self._bgp.graceful_restart_s
        if restart_s is None or self._link is None:
            return
        self._supervisor.stop()
        with contextlib.suppress(TimeoutError, LinkLostError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                for problem in await self._link.hand_over(restart_s):
                    log.warning("speaker_refused", command=f"hand over: {problem}")
        self._supervisor.kill("handed over")  # without a word, which is what routers wait for

    # The set

    async def _tell(self) -> list[str]:
        """Tell the relay the newest desired set, over as many connections as it takes."""
        announcements = self._desired or frozenset()
        if self._bgp is None:
            if announcements:
                raise UnavailableError("nothing speaks BGP here; add a bgp section to the document")
            return []
        self._warn_of_unheard(self._bgp, announcements)
        while True:
            link = await self._supervisor.wait_for_link()
            if link is None:
                raise UnavailableError(self._loss())
            with contextlib.suppress(LinkLostError):
                return await self._tell_over(link)
            await asyncio.sleep(0)

    async def _tell_over(self, link: RelayLink) -> list[str]:
        """Tell the newest set; what is refused. Who waits may give up, the silence lasts."""
        if self._bgp is None or self._desired is None:
            return []
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        if self._bgp.speaker is SpeakerKind.BIRD:  # ExaBGP has nothing to read
            self._choices = count_choices(self._desired, self._bgp)
        problems = await link.announce(self._desired, self._bgp)
        self._silent_since = None
        return problems

    def _silent_s(self) -> float:
        """For how long the speaker has left a set unanswered."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def _warn_of_unheard(self, bgp: Bgp, announcements: frozenset[Announcement]) -> None:
        """Say so when nobody will hear a prefix."""
        heard = {family.version for peer in bgp.peers for family in peer.carried}
        for announcement in announcements:
            if announcement.prefix.version not in heard:
                log.warning("announcement_without_peer", prefix=str(announcement.prefix))
