"""The daemon: builds every object, hands them to each other, and ends them in order.

What the operator asks of it lives in `control`; here is only wiring.
"""

import asyncio
import shutil
import signal
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog

from headrace.api import build_app, serve
from headrace.bgp import ExabgpSpeaker, end_orphan
from headrace.control import Controller, World, restore
from headrace.daemon.lock import instance_lock
from headrace.daemon.logs import configure_logs
from headrace.daemon.settings import Settings, bpf_dir, speaker_dir
from headrace.dataplane import Dataplane, detach_all
from headrace.model import Document, LbError, SessionEvent, parse_document
from headrace.store import Store
from headrace.underlay import Underlay

_log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Run an instance until SIGTERM or SIGINT.

    Stopping withdraws every VIP first; the data plane goes on forwarding what still arrives.
    Raises LbError where the instance cannot run.
    """
    configure_logs()
    with instance_lock(settings.runtime_dir):
        try:
            asyncio.run(_run(settings))
        except BaseExceptionGroup as group:
            expected, bugs = group.split(LbError)
            if bugs is not None or expected is None:
                raise
            raise LbError("\n".join(map(str, _leaves(expected)))) from group


def detach(runtime_dir: Path) -> None:
    """Remove what an instance left running without its daemon.

    Its routes go first, then its programs and maps. Revisions stay. Raises ConflictError while a
    daemon runs.
    """
    configure_logs()
    with instance_lock(runtime_dir):
        asyncio.run(end_orphan(speaker_dir(runtime_dir)))
        detach_all(bpf_dir(runtime_dir))
    shutil.rmtree(runtime_dir)


async def _run(settings: Settings) -> None:
    initial = _read_document(settings)
    with (
        closing(Store(settings.state_dir)) as store,
        closing(Dataplane(bpf_dir(settings.runtime_dir))) as dataplane,
        closing(Underlay()) as underlay,
    ):
        document, revision = restore(store, initial)
        heard = _SessionLog()
        speaker = ExabgpSpeaker(speaker_dir(settings.runtime_dir), heard.note)
        world = World(store, dataplane, underlay, speaker)
        controller = Controller(world, document, revision)
        heard.wake = controller.wake
        await _Tasks(
            controller=controller,
            speaker=speaker,
            underlay=underlay,
        ).run(settings, document)


class _SessionLog:
    """Logs what becomes of BGP sessions, and has the controller look."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None

    def note(self, event: SessionEvent) -> None:
        _log.info("bgp_session", peer=str(event.peer), state=event.state, reason=event.reason)
        self.wake()


class _Tasks:
    """The daemon's tasks, and the order in which they end."""

    def __init__(
        self, *, controller: Controller, speaker: ExabgpSpeaker, underlay: Underlay
    ) -> None:
        self._controller = controller
        self._speaker = speaker
        self._underlay = underlay

    async def run(self, settings: Settings, document: Document) -> None:
        """Run until a signal; then withdraw, end the sessions, and stop the rest."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        app = build_app(self._controller)
        async with asyncio.TaskGroup() as group:
            jobs: list[Coroutine[Any, Any, None]] = [
                self._speaker.run(document.bgp),
                self._underlay.watch(self._controller.wake),
                serve(app, settings.api_socket, settings.listen),
                self._controller.run(),
            ]
            tasks = [group.create_task(job) for job in jobs]
            _log.info("started", instance=settings.instance, revision=self._controller.revision)
            await stopping.wait()
            _log.info("stopping", instance=settings.instance)
            tasks.pop().cancel()  # the controller changes nothing from here on
            await self._end_announcing()
            for task in tasks:
                task.cancel()
        _log.info("stopped", instance=settings.instance)

    async def _end_announcing(self) -> None:
        """Withdraw, then end the speaker, which ends its sessions even when it is silent."""
        try:
            await self._controller.withdraw_all()
        except LbError as error:
            _log.warning("not_withdrawn", error=str(error))
        await self._speaker.stop()


def _read_document(settings: Settings) -> Document | None:
    if settings.document is None:
        return None
    try:
        return parse_document(settings.document.read_text())
    except OSError as error:
        raise LbError(f"{settings.document}: {error.strerror}; check the path") from error


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The errors in nested groups, flat."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
