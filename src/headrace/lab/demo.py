"""`headrace lab demo` and its relatives: show the seed's network, or leave it running for play."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import NoReturn

from rich.console import Console

from headrace.lab.claims import ClaimView
from headrace.lab.demo_network import DemoNetwork
from headrace.lab.demo_packets import show_agreement, show_captures
from headrace.lab.demo_trials import CONNECTION_COUNT, Trials
from headrace.lab.laboratory import Laboratory, remove_lab
from headrace.lab.namespaces import command_in_namespace
from headrace.lab.running import (
    check_machine,
    check_root,
    run_stoppable,
    show_logs,
    topology_named,
)
from headrace.lab.star_network import StarNetwork
from headrace.lab.state import LabFolder
from headrace.lab.topologies import DEMO, TOPOLOGIES
from headrace.lab.topology import Role, Topology
from headrace.lab.traffic import LiveTraffic
from headrace.model.errors import LbError, NotFoundError


def run_demo(
    console: Console, *, name: str = DEMO.name, connections: int = CONNECTION_COUNT
) -> int:
    """Show the seed's network at work; 0 only if every claim held. Nothing is left of it."""
    check_machine([DEMO])
    return run_stoppable(_demo(ClaimView(console), name, connections))


def up(topology_name: str, console: Console, *, name: str | None = None) -> int:
    """Build a topology, start everything in it, and leave it running."""
    topology = topology_named(topology_name)
    check_machine([topology])
    return run_stoppable(_up(ClaimView(console), topology, name or topology_name))


def down(name: str) -> bool:
    """Remove a lab that was left running or has crashed; whether there was one."""
    check_root()
    return remove_lab(name)


def exec_in(name: str, node: str, argv: Sequence[str]) -> NoReturn:
    """Become a program on a node of a lab, with the node's own environment."""
    check_root()
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


async def _demo(view: ClaimView, name: str, connections: int) -> int:
    """All steps; the lab is removed whatever happens in them."""
    started = monotonic()
    view.title("The seed's network, brought to life in network namespaces of its own")
    lab = Laboratory.create(DEMO, name)
    try:
        view.note(
            f"{len(DEMO.nodes)} nodes, {len(DEMO.links)} links: {monotonic() - started:.1f} s"
        )
        await _show(DemoNetwork(lab, view), connections)
    except LbError as error:
        view.failure(str(error))
        show_logs(view, lab)
    finally:
        lab.remove()
    view.summary(took_s=monotonic() - started)
    return 0 if view.all_held else 1


async def _show(network: DemoNetwork, connections: int) -> None:
    await _bring_up(network)
    await show_captures(network)
    await show_agreement(network)
    traffic = await LiveTraffic.start(network.lab, network.client)
    try:
        trials = Trials(network, traffic, connections)
        await trials.kill_and_return()
        await trials.remove_and_add()
    finally:
        await traffic.stop()


async def _bring_up(network: DemoNetwork) -> None:
    await network.start_router_and_daemons()
    await network.prepare_endpoints()
    await network.create_rules()
    await network.wait_routes()


async def _up(view: ClaimView, topology: Topology, name: str) -> int:
    lab = Laboratory.create(topology, name)
    try:
        if topology.with_role(Role.ROUTER):
            await _bring_up(DemoNetwork(lab, view))
        else:
            star = StarNetwork(lab, view)
            await star.bring_up()
            await star.close()
        lab.keep()
    except BaseException:
        lab.remove()
        raise
    nodes = ", ".join(node.name for node in topology.nodes)
    view.note(f"lab {name} is up: {nodes}")
    view.note(f"try `headrace lab exec NODE COMMAND`; `headrace lab down {name}` ends it")
    return 0
