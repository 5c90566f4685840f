"""The BFD helper: a BIRD beside a speaker that has no BFD of its own."""

import time
from collections.abc import Mapping
from pathlib import Path

from headrace.bgp.bird import Bird
from headrace.bgp.link import Event, Hello, RelayLink, WatchChanged
from headrace.bgp.program import Program
from headrace.bgp.sessions import State, Watch
from headrace.bgp.supervisor import Supervisor
from headrace.model import Bgp, IPAddress, SpeakerKind

LOST = (
    "the BFD helper is not running: routers that miss it drop this node's routes, then take them "
    "again without BFD; {why}"
)


class BfdHelper:
    """Runs BIRD with BFD alone in `directory`, while the document asks for BFD beside ExaBGP."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket_path = directory / "relay.sock"
        self.watch = Watch()
        self._bgp: Bgp | None = None
        self.supervisor = Supervisor(self._socket_path, self, lambda: [self._bird(None)])

    async def run(self) -> None:
        """Keep it running while it is wanted, until stopped."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self.supervisor.run()

    async def configure(self, bgp: Bgp | None) -> None:
        """Watch the section's peers. Raises UnavailableError when BIRD refuses."""
        self._bgp = bgp if bgp is not None and _needs_helper(bgp) else None
        self.watch.keep(self._bgp)
        if self._bgp is None:
            self.supervisor.want(None)
            await self.supervisor.end()
            return
        program = self._bird(self._bgp)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        program.write()
        self.supervisor.want(program)
        if self.supervisor.link is not None:
            await program.reload(self.supervisor.link)

    def alarms(self, sessions: Mapping[IPAddress, State]) -> list[str]:
        """What is wrong with the helper, or with what it sees."""
        if self._bgp is None:
            return []
        if self.supervisor.is_lost:
            log = self._directory / "bird.log"
            again = f"it is started again, {log} says what became of it"
            return [LOST.format(why=self.supervisor.trouble or again)]
        return self.watch.alarms(self._bgp, sessions, time.monotonic())

    # What the supervisor tells

    async def greet(self, link: RelayLink) -> None:
        """There is nothing to tell it: who is watched is in its configuration."""

    def meet(self, hello: Hello) -> None:
        """Take over what it has seen."""
        self.watch.meet(hello)

    def hear(self, event: Event) -> None:
        """Take what it sees."""
        if isinstance(event, WatchChanged):
            self.watch.note(event)

    def lose(self, _reason: str) -> None:
        """Nobody watches any more."""
        self.watch.lose()

    def _bird(self, bgp: Bgp | None) -> Program:
        return Bird(self._directory, self._socket_path, bgp, bfd_only=True)


def _needs_helper(bgp: Bgp) -> bool:
    return bgp.speaker is SpeakerKind.EXABGP and any(map(bgp.is_watched, bgp.peers))
