"""The agent: finds the endpoint's addresses, attaches the program, and leaves it running."""

import asyncio
import signal
from contextlib import closing, suppress

import structlog

from headrace.agent.settings import RUNTIME_ROOT, AgentSettings, decapsulation_of
from headrace.dataplane import Decapsulator, detach_all
from headrace.model import ConfigError, Port, Problem
from headrace.underlay import Underlay

_log = structlog.get_logger()


def run(settings: AgentSettings) -> None:
    """Unwrap until SIGTERM or SIGINT. What is attached stays, as pins.

    Raises LbError where this host cannot, or the settings contradict it.
    """
    asyncio.run(_run(settings))


def detach(instance: str) -> None:
    """Remove everything an instance left in the kernel."""
    detach_all(RUNTIME_ROOT / instance / "bpf")
    with suppress(FileNotFoundError):
        (RUNTIME_ROOT / instance).rmdir()


async def _run(settings: AgentSettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with closing(Underlay()) as underlay:
        addresses = await underlay.addresses()
        wanted = decapsulation_of(settings, addresses)
        ports = await _ports(underlay, settings.interfaces)
        for address in sorted(wanted.own.difference(addresses), key=str):
            _log.warning("address_missing", address=str(address))
        with closing(Decapsulator(settings.bpf_dir)) as decapsulator:
            decapsulator.configure(wanted)
            decapsulator.attach(ports)
            _log.info("started", instance=settings.instance, interfaces=[p.name for p in ports])
            await stopping.wait()


async def _ports(underlay: Underlay, names: tuple[str, ...] | None) -> list[Port]:
    """The interfaces to attach to; a problem with one names our option, not the document's key."""
    try:
        return await underlay.ports(names)
    except ConfigError as error:
        problems = [Problem("--interface", problem.message) for problem in error.problems]
        raise ConfigError(problems) from error
