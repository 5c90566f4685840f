"""ExaBGP, the speaker that comes along: how it is started, found, and told of a new document."""

import asyncio
import os
import sys
from pathlib import Path

import structlog

from headrace.bgp.exabgp_configuration import build_environment, render_configuration
from headrace.bgp.link import RelayLink
from headrace.bgp.process import Process
from headrace.bgp.program import write_secret
from headrace.model import Bgp, UnavailableError

RELOAD_TIMEOUT_S = 5.0
"""ExaBGP forgets to reload while an update waits to be sent, so it is asked again until it has."""

RELOAD_RETRY_S = 0.05

FLUSH_TURNS = 3
"""ExaBGP gives each session a turn, of 25 messages, before it answers another command."""

log = structlog.get_logger()


class Exabgp:
    """ExaBGP in a directory. Without a section it can be found there, not started."""

    name = "ExaBGP"
    reads_with_set = False

    def __init__(self, directory: Path, socket_path: Path, bgp: Bgp | None) -> None:
        self._configuration = directory / "exabgp.conf"
        self._pidfile = directory / "exabgp.pid"
        self._log = directory / "exabgp.log"  # ExaBGP rotates it: at most four files of 1 MB
        self.output = directory / "exabgp.out"  # a traceback at most; emptied at each start
        self._text = self._digest = ""
        if bgp is not None:
            self._text, self._digest = render_configuration(bgp, socket_path)

    def write(self) -> None:
        """Write the configuration file."""
        write_secret(self._configuration, self._text)

    def find(self) -> Process | None:
        """The ExaBGP that a former daemon left."""
        return Process.find(self._pidfile, str(self._configuration))

    def start(self) -> Process:
        """A new ExaBGP, which starts the relay."""
        # ExaBGP refuses to start beside a living process with this number, whatever that is.
        self._pidfile.unlink(missing_ok=True)
        return Process.start(
            [sys.executable, "-P", "-m", "exabgp", "server", str(self._configuration)],
            environment=build_environment(os.environ, self._pidfile, self._log),
            output=self.output,
        )

    async def reload(self, link: RelayLink) -> None:
        """Have ExaBGP read its file, and see that it has."""
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT_S):
                while not await self._is_current(link):
                    log.info("exabgp_reload", digest=self._digest)
                    await link.command("reload")
                    await asyncio.sleep(RELOAD_RETRY_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"ExaBGP did not take its new configuration; {self._log} says why"
            ) from error

    async def flush(self, link: RelayLink) -> None:
        """Have ExaBGP send what it has acknowledged, which it does some time later."""
        for _ in range(FLUSH_TURNS):
            await link.command("version")

    async def _is_current(self, link: RelayLink) -> bool:
        shown = await link.command("show neighbor configuration")
        return any(self._digest in line for line in shown.lines)
