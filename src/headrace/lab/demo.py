"""`headrace lab demo` and its relatives: show the seed's network, or leave it running for play."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

from rich.console import Console

from headrace.lab.demo_network import DemoNetwork
from headrace.lab.demo_packets import show_agreement, show_captures
from headrace.lab.demo_trials import Trials
from headrace.lab.demo_view import DemoView
from headrace.lab.laboratory import Laboratory, remove_lab
from headrace.lab.namespaces import command_in_namespace
from headrace.lab.state import RUN_FOLDER, LabFolder
from headrace.lab.tools import find_tool
from headrace.lab.topologies import DEMO, TOPOLOGIES
from headrace.lab.topology import Topology
from headrace.lab.traffic import LiveTraffic
from headrace.model.errors import ConfigError, LbError, NotFoundError, UnavailableError

_NEEDED_TOOLS = ("bird", "tcpdump", "nsenter")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_TAIL_LINES = 8


def run_demo(console: Console, *, name: str = DEMO.name) -> int:
    """Show the seed's network at work; 0 only if every claim held. Nothing is left of it."""
    _check_machine()
    return _run_stoppable(_demo(DemoView(console), name))


def up(topology_name: str, console: Console, *, name: str | None = None) -> int:
    """Build a topology, start everything in it, and leave it running."""
    topology = _topology(topology_name)
    _check_machine()
    return _run_stoppable(_up(DemoView(console), topology, name or topology_name))


def down(name: str) -> bool:
    """Remove a lab that was left running or has crashed; whether there was one."""
    _check_root()
    return remove_lab(name)


def exec_in(name: str, node: str, argv: Sequence[str]) -> NoReturn:
    """Become a program on a node of a lab, with the node's own environment."""
    _check_root()
    state = LabFolder(name).read()
    if state is None:
        raise NotFoundError(f"there is no lab {name}; `headrace lab up {name}` makes one")
    lab = Laboratory.attach(TOPOLOGIES[state.topology], name)
    command = command_in_namespace(lab.namespace(node), argv)
    environment = lab.environment(node)
    ours = Path(sys.executable).parent  # so that `headrace` is found as `headrace`
    environment["PATH"] = f"{ours}{os.pathsep}{environment.get('PATH', os.defpath)}"
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)  # noqa: S606 - the operator's own command


async def _demo(view: DemoView, name: str) -> int:
    """All steps; the lab is removed whatever happens in them."""
    started = monotonic()
    view.title("The seed's network, brought to life in network namespaces of its own")
    lab = Laboratory.create(DEMO, name)
    try:
        view.note(
            f"{len(DEMO.nodes)} nodes, {len(DEMO.links)} links: {monotonic() - started:.1f} s"
        )
        await _show(DemoNetwork(lab, view))
    except LbError as error:
        view.failure(str(error))
        _show_logs(view, lab)
    finally:
        lab.remove()
    view.summary(took_s=monotonic() - started)
    return 0 if view.all_held else 1


async def _show(network: DemoNetwork) -> None:
    await _bring_up(network)
    await show_captures(network)
    await show_agreement(network)
    traffic = await LiveTraffic.start(network.lab, network.client)
    try:
        trials = Trials(network, traffic)
        await trials.kill_and_return()
        await trials.remove_and_add()
    finally:
        await traffic.stop()


async def _bring_up(network: DemoNetwork) -> None:
    await network.start_router_and_daemons()
    await network.prepare_endpoints()
    await network.create_rules()
    await network.wait_routes()


async def _up(view: DemoView, topology: Topology, name: str) -> int:
    lab = Laboratory.create(topology, name)
    try:
        await _bring_up(DemoNetwork(lab, view))
        lab.keep()
    except BaseException:
        lab.remove()
        raise
    nodes = ", ".join(node.name for node in topology.nodes)
    view.note(f"lab {name} is up: {nodes}")
    view.note(f"try `headrace lab exec NODE COMMAND`; `headrace lab down {name}` ends it")
    return 0


def _run_stoppable(work: Coroutine[Any, Any, int]) -> int:
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


def _show_logs(view: DemoView, lab: Laboratory) -> None:
    """The last words of every program, before they are removed with the lab."""
    for log in sorted(lab.path.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        if lines:
            view.packets(log.name, lines[-_LOG_TAIL_LINES:])


def _topology(name: str) -> Topology:
    if name not in TOPOLOGIES:
        raise ConfigError.at("lab", f"there is no topology {name}; choose {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name]


def _check_machine() -> None:
    """Refuse at once, with everything that is missing, rather than in the middle."""
    _check_root()
    missing = []
    for tool in _NEEDED_TOOLS:
        try:
            find_tool(tool)
        except UnavailableError as error:
            missing.append(str(error))
    if missing:
        raise UnavailableError("\n".join(missing))


def _check_root() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("a lab needs root: it makes network namespaces; use sudo")
    if not RUN_FOLDER.parent.is_dir():
        raise UnavailableError(f"a lab needs {RUN_FOLDER.parent}")
