"""The agent: finds the endpoint's addresses, attaches the program, and leaves it running."""

import asyncio
import signal
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from headrace.dataplane import Decapsulation, Decapsulator, detach_all
from headrace.model import IPAddress
from headrace.underlay import Underlay

RUNTIME_ROOT = Path("/run/tailrace")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an endpoint unwraps, and where."""

    instance: str
    vips: frozenset[IPAddress]
    balancers: frozenset[IPAddress]  # outer sources that are accepted
    interfaces: tuple[str, ...] | None  # that they arrive on; all that can carry XDP if None

    @property
    def bpf_dir(self) -> Path:
        """The bpffs with the instance's pins."""
        return RUNTIME_ROOT / self.instance / "bpf"


def run(settings: AgentSettings) -> None:
    """Unwrap until SIGTERM or SIGINT. What is attached stays, as pins.

    Raises LbError where this host cannot.
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
    with (
        closing(Underlay()) as underlay,
        closing(Decapsulator(settings.bpf_dir)) as decapsulator,
    ):
        own = frozenset(await underlay.addresses()) - settings.vips
        decapsulator.configure(Decapsulation(settings.balancers, own, settings.vips))
        ports = await underlay.ports(settings.interfaces)
        decapsulator.attach(ports)
        _log.info("started", instance=settings.instance, interfaces=[p.name for p in ports])
        await stopping.wait()
