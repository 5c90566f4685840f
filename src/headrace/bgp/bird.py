"""BIRD as a child of its relay: the speaker for production, and the helper that does BFD alone."""

import os
import shutil
import sys
from pathlib import Path

from headrace.bgp.bird_configuration import render_bfd_only, render_bird
from headrace.bgp.exabgp_configuration import RELAY
from headrace.bgp.link import RelayLink
from headrace.bgp.process import Process
from headrace.bgp.program import write_secret
from headrace.model import Bgp, UnavailableError

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH


class Bird:
    """BIRD in a directory. Without a section it can be found there, not started.

    `bfd_only` makes it the helper beside another speaker.
    """

    name = "BIRD"
    reads_with_set = True  # `configure` reads both files

    def __init__(
        self, directory: Path, socket_path: Path, bgp: Bgp | None, *, bfd_only: bool = False
    ) -> None:
        self._configuration = directory / "bird.conf"
        self._pidfile = directory / "bird.pid"
        self._log = directory / "bird.log"
        self._socket_path = socket_path
        self.output = directory / "bird.out"  # what is wrong with a configuration; else empty
        self._text = ""
        self._options: list[str] = []  # -R tells routers that what they keep is still forwarded
        if bgp is not None and bfd_only:
            self._text = render_bfd_only(bgp, log=self._log)
        elif bgp is not None:
            self._options = [] if bgp.graceful_restart_s is None else ["-R"]
            routes = directory / "bird.conf.vips"
            self._text = render_bird(bgp, log=self._log, routes=routes)

    def write(self) -> None:
        """Write the configuration file."""
        write_secret(self._configuration, self._text)

    def find(self) -> Process | None:
        """The relay that a former daemon left, with its BIRD."""
        return Process.find(self._pidfile, str(self._configuration))

    def start(self) -> Process:
        """A new relay, which starts BIRD. Raises UnavailableError where there is no BIRD."""
        relay = [sys.executable, "-I", "-S", str(RELAY), "bird", str(self._socket_path)]
        return Process.start(
            [*relay, str(self._pidfile), _find_bird(), str(self._configuration), *self._options],
            environment=os.environ,
            output=self.output,
        )

    async def reload(self, link: RelayLink) -> None:
        """Have BIRD read its file, which it does at once or says what is wrong with it."""
        answer = await link.command("configure")
        if answer.problems:
            raise UnavailableError(
                f"BIRD did not take its new configuration: {'; '.join(answer.problems)}"
            )

    async def flush(self, link: RelayLink) -> None:
        """Nothing is to be done: BIRD sends before it ends, and says to routers that it does."""


def _find_bird() -> str:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    found = shutil.which("bird", path=path)
    if found is None:
        raise UnavailableError(f"there is no bird on {path}; install BIRD 2 (package bird2)")
    return found
