"""The agent: attaches the program, follows the endpoint's addresses and interfaces, leaves it."""

import asyncio
import shutil
import signal
from contextlib import AbstractContextManager, closing

import structlog

from headrace.agent.settings import RUNTIME_ROOT, AgentSettings, decapsulation_of
from headrace.dataplane import Decapsulation, Decapsulator, detach_all, holding
from headrace.model import ConfigError, IPAddress, LbError, Port, Problem
from headrace.underlay import Underlay

_log = structlog.get_logger()


def run(settings: AgentSettings) -> None:
    """Unwrap until SIGTERM or SIGINT. What is attached stays, as pins.

    Addresses and interfaces that come, go or are renamed meanwhile are followed. Raises LbError
    where this host cannot, the settings contradict it, or an agent of this instance runs.
    """
    with _lock(settings.instance):
        asyncio.run(_run(settings))


def detach(instance: str) -> None:
    """Remove everything an instance left in the kernel. Raises ConflictError while it runs."""
    with _lock(instance):
        detach_all(RUNTIME_ROOT / instance / "bpf")
    shutil.rmtree(RUNTIME_ROOT / instance)


def _lock(instance: str) -> AbstractContextManager[None]:
    held_by = f"instance {instance} is run by"
    return holding(RUNTIME_ROOT / instance, held_by, "choose another --instance")


async def _run(settings: AgentSettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with closing(Underlay()) as underlay:
        host = _Host(settings, underlay)
        wanted, ports = await host.look()
        with closing(Decapsulator(settings.bpf_dir)) as decapsulator:
            decapsulator.configure(wanted)
            decapsulator.attach(ports)
            _log.info("started", instance=settings.instance, interfaces=[p.name for p in ports])
            changed = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(underlay.watch(changed.set)),
                    group.create_task(_follow(host, decapsulator, changed)),
                ]
                await stopping.wait()
                for task in tasks:
                    task.cancel()


async def _follow(host: "_Host", decapsulator: Decapsulator, changed: asyncio.Event) -> None:
    """Have the program at what the host is by now; what cannot be followed stays as it was."""
    before: object = None
    while True:
        await changed.wait()
        changed.clear()
        try:
            now = wanted, ports = await host.look()
            decapsulator.configure(wanted)
            decapsulator.attach(ports)
        except LbError as error:
            _log.warning("not_followed", error=str(error))
        else:
            if now != before:
                _log.info("followed", own=len(wanted.own), interfaces=[p.name for p in ports])
            before = now


class _Host:
    """What is to be unwrapped on this host as it is now."""

    def __init__(self, settings: AgentSettings, underlay: Underlay) -> None:
        self._settings, self._underlay = settings, underlay
        self._missing: list[IPAddress] = []

    async def look(self) -> tuple[Decapsulation, list[Port]]:
        """What to unwrap, and where. Raises ConfigError as `decapsulation_of` does."""
        addresses = await self._underlay.addresses()
        wanted = decapsulation_of(self._settings, addresses)
        ports = await self._ports()
        missing = sorted(wanted.own.difference(addresses), key=str)
        if missing != self._missing:
            self._missing = missing
            for address in missing:
                _log.warning("address_missing", address=str(address))
        return wanted, ports

    async def _ports(self) -> list[Port]:
        """The interfaces to attach to; a problem with one names our option, not the document's."""
        try:
            return await self._underlay.ports(self._settings.interfaces)
        except ConfigError as error:
            problems = [Problem("--interface", problem.message) for problem in error.problems]
            raise ConfigError(problems) from error
