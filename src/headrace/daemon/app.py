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

from headrace.api import (
    IMPORTED_FILES,
    Listeners,
    build_app,
    import_configuration,
    keep_secrets,
    listening,
    read_files,
    serve,
)
from headrace.bgp import BgpSpeaker, end_orphan
from headrace.control import Controller, LogLevel, SessionChanged, World, restore
from headrace.daemon.collecting import freeze_now, freeze_what_stays, share_one_arena
from headrace.daemon.exposing import expose_metrics
from headrace.daemon.host import ThisHost
from headrace.daemon.lock import instance_lock, state_lock
from headrace.daemon.logs import configure_logs
from headrace.daemon.privileges import drop_privileges
from headrace.daemon.probing import TunnelPaths
from headrace.daemon.readiness import tell_manager, tell_manager_that_it_turns
from headrace.daemon.settings import Settings, bpf_dir, probes_owner, speaker_dir
from headrace.dataplane import Dataplane, detach_all
from headrace.health import Checker
from headrace.model import Bgp, ConfigError, Document, LbError, SessionEvent, parse_document
from headrace.store import Store
from headrace.underlay import Underlay, remove_probe_routes

_log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Run an instance until SIGTERM or SIGINT.

    Stopping withdraws every VIP first, unless the settings keep them announced for a successor; the
    data plane goes on forwarding what still arrives.
    Raises LbError where the instance cannot run.
    """
    share_one_arena()
    log_level = LogLevel()
    configure_logs(log_level)
    with instance_lock(settings.runtime_dir), state_lock(settings.state_dir):
        try:
            asyncio.run(_run(settings, log_level))
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
        remove_probe_routes(probes_owner(runtime_dir))
        detach_all(bpf_dir(runtime_dir))
    shutil.rmtree(runtime_dir)


async def _run(settings: Settings, log_level: LogLevel) -> None:
    initial = _read_initial(settings)
    with (
        listening(settings.listening) as listeners,
        closing(Store(settings.state_dir)) as store,
        closing(Dataplane(bpf_dir(settings.runtime_dir))) as dataplane,
        closing(Underlay()) as underlay,
    ):
        drop_privileges()  # before there are threads, which would keep theirs
        document, revision = _restore(store, initial, settings)
        if not revision and (left := len(dataplane.read().services)):
            raise LbError(_without_state(settings, left))
        in_force = _InForce(document)
        with closing(TunnelPaths(probes_owner(settings.runtime_dir), in_force.gue_port)) as paths:
            heard = _Heard()
            speaker = BgpSpeaker(speaker_dir(settings.runtime_dir), heard.note)
            checker = Checker(paths)
            world = World(store, dataplane, underlay, speaker, checker, paths)
            controller = Controller(world, document, revision, log_level=log_level)
            heard.by = controller
            in_force.read = lambda: controller.document
            await _Tasks(
                controller=controller,
                speaker=speaker,
                underlay=underlay,
                checker=checker,
                paths=paths,
            ).run(settings, listeners, document)


class _InForce:
    """The document in force, for those that are made before who keeps it."""

    def __init__(self, document: Document) -> None:
        self.read: Callable[[], Document] = lambda: document

    def gue_port(self) -> int:
        """The port that endpoints take GUE on."""
        return self.read().node.gue_port


class _Heard:
    """Takes what becomes of BGP sessions to the controller, once there is one."""

    def __init__(self) -> None:
        self.by: Controller | None = None

    def note(self, event: SessionEvent) -> None:
        """A session changed."""
        if self.by is not None:  # no session changes before the speaker runs
            self.by.journal.note(SessionChanged(event.peer, event.state, event.reason))
            self.by.wake()


class _Tasks:
    """The daemon's tasks, and the order in which they end."""

    def __init__(
        self,
        *,
        controller: Controller,
        speaker: BgpSpeaker,
        underlay: Underlay,
        checker: Checker,
        paths: TunnelPaths,
    ) -> None:
        self._controller = controller
        self._paths = paths
        self._speaker = speaker
        self._underlay = underlay
        self._checker = checker

    async def run(self, settings: Settings, listeners: Listeners, document: Document) -> None:
        """Run until a signal; then withdraw, end the sessions, and stop the rest."""
        freeze_now()
        freeze_what_stays()
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        app = build_app(self._controller, ThisHost())
        expose_metrics(app, self._controller)
        async with asyncio.TaskGroup() as group:
            jobs: list[Coroutine[Any, Any, None]] = [
                self._speaker.run(_with_peers(document.bgp)),
                self._checker.run(),
                self._underlay.watch(self._look_again),
                tell_manager_that_it_turns(),
                serve(app, listeners, ready=lambda: tell_manager("READY=1")),
                self._controller.run(),
            ]
            tasks = [group.create_task(job) for job in jobs]
            _log.info("started", instance=settings.instance, revision=self._controller.revision)
            await stopping.wait()
            _log.info("stopping", instance=settings.instance)
            tell_manager("STOPPING=1")
            tasks.pop().cancel()  # the controller changes nothing from here on
            await self._end_announcing(keep_announced=settings.keep_announced)
            self._controller.journal.close()  # who follows events need not be waited for
            for task in tasks:
                task.cancel()
        _log.info("stopped", instance=settings.instance)

    def _look_again(self) -> None:
        """What the underlay says may be another by now."""
        self._paths.look_again()
        self._controller.wake()

    async def _end_announcing(self, *, keep_announced: bool) -> None:
        """Withdraw, then end the speaker, which ends its sessions even when it is silent."""
        if not keep_announced:
            try:
                await self._controller.withdraw_all()
            except LbError as error:
                _log.warning("not_withdrawn", error=str(error))
        await self._speaker.stop(keep_announced=keep_announced)


def _with_peers(bgp: Bgp | None) -> Bgp | None:
    """The section, if there is anybody to speak to."""
    return bgp if bgp is not None and bgp.peers else None


def _read_initial(settings: Settings) -> Document | None:
    """The document of a first start; its files are not looked at again once there are revisions."""
    if _has_revisions(settings.state_dir):
        return None
    document = None if settings.document is None else _read_document(settings.document)
    if settings.import_dir is None:
        return document
    if not settings.import_dir.is_dir():
        raise LbError(f"{settings.import_dir}: no such folder; check the path of --import")
    paths = [settings.import_dir / name for name in IMPORTED_FILES]
    texts = {path.name: _read_text(path) for path in paths if path.exists()}
    _log.info("importing", folder=str(settings.import_dir), files=list(texts))
    return import_configuration(document or Document(), read_files(texts), replace=False)


def _read_document(path: Path) -> Document:
    text = _read_text(path)
    try:
        return keep_secrets(parse_document(text), Document())
    except ConfigError as error:
        raise LbError(f"{path} is not a valid document\n{error}") from error


def _restore(store: Store, initial: Document | None, settings: Settings) -> tuple[Document, int]:
    """The document to start with, and its number. Raises LbError if this version refuses it."""
    try:
        return restore(store, initial)
    except ConfigError as error:
        number, _ = store.latest() or (0, "")
        raise LbError(
            f"revision {number} in {settings.state_dir} is not valid for this version of headrace; "
            "start the version that wrote it, and there `headrace rollback` to a revision without "
            f"this\n{error}"
        ) from error


def _without_state(settings: Settings, services: int) -> str:
    """What is said rather than take everything away that forwards: perhaps a disk is missing."""
    return (
        f"{settings.state_dir} has no revision, and instance {settings.instance} forwards "
        f"{services} services; put its revisions back, or start it once with --document FILE, or "
        f"`headrace detach --instance {settings.instance}` to begin anew"
    )


def _has_revisions(state_dir: Path) -> bool:
    with closing(Store(state_dir)) as store:
        return store.latest() is not None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LbError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise LbError(
            f"{path}: is not UTF-8 text from byte {error.start} on; save it as UTF-8, or put a "
            "whole copy in its place"
        ) from error


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The errors in nested groups, flat."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
