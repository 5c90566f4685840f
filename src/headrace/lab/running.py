"""What every command of the lab needs: root and tools, an end by signal, the last words of logs."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from headrace.lab.claims import ClaimView
from headrace.lab.frr import find_frr
from headrace.lab.laboratory import Laboratory
from headrace.lab.state import RUN_FOLDER
from headrace.lab.tools import find_tool
from headrace.lab.topologies import TOPOLOGIES
from headrace.lab.topology import RoutingDaemon, Topology
from headrace.model.errors import ConfigError, UnavailableError

_NEEDED_TOOLS = ("tcpdump", "nsenter")
_NEEDED_BY_BIRD = ("bird", "birdcl")
_NEEDED_BY_GUESTS = ("qemu-system-x86_64", "busybox")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_TAIL_LINES = 8


def run_stoppable(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end, or until a signal asks to stop: then clean up and say by which signal."""
    received: list[signal.Signals] = []

    async def supervise() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise AssertionError("a coroutine runs in a task")

        def stop(number: signal.Signals) -> None:
            if not received:  # a second one must not disturb the clean-up
                task.cancel()
            received.append(number)

        for number in _STOPPING:
            loop.add_signal_handler(number, stop, number)
        return await work

    with suppress(asyncio.CancelledError):
        return asyncio.run(supervise())
    return 128 + received[0]


def show_logs(view: ClaimView, lab: Laboratory) -> None:
    """The last words of every program, before they are removed with the lab."""
    for log in sorted(lab.path.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        if lines:
            view.packets(log.name, lines[-_LOG_TAIL_LINES:])


def topology_named(name: str) -> Topology:
    """A topology that comes with Headrace."""
    if name not in TOPOLOGIES:
        raise ConfigError.at("lab", f"there is no topology {name}; choose {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name]


def check_machine(topologies: Iterable[Topology]) -> None:
    """Refuse at once, with everything that is missing, rather than in the middle."""
    check_root()
    missing = []
    known = list(topologies)
    finders: list[Callable[[], Path]] = [partial(find_tool, tool) for tool in _needed_tools(known)]
    if RoutingDaemon.FRR in _routing_daemons(known):
        finders.append(find_frr)
    for find in finders:
        try:
            find()
        except UnavailableError as error:
            missing.append(str(error))
    if missing:
        raise UnavailableError("\n".join(missing))


def _needed_tools(topologies: Iterable[Topology]) -> list[str]:
    tools = dict.fromkeys(_NEEDED_TOOLS)
    for topology in topologies:
        if topology.guests:
            tools |= dict.fromkeys(_NEEDED_BY_GUESTS)
    if RoutingDaemon.BIRD in _routing_daemons(topologies):
        tools |= dict.fromkeys(_NEEDED_BY_BIRD)
    return list(tools)


def _routing_daemons(topologies: Iterable[Topology]) -> set[RoutingDaemon]:
    return {node.bgp.daemon for topology in topologies for node in topology.nodes if node.bgp}


def check_root() -> None:
    """Refuse where a lab cannot be at all."""
    if os.geteuid() != 0:
        raise UnavailableError("a lab needs root: it makes network namespaces; use sudo")
    if not RUN_FOLDER.parent.is_dir():
        raise UnavailableError(f"a lab needs {RUN_FOLDER.parent}")
