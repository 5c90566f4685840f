"""Load balancers that die: all of one, without a word; all of one, silently; its daemon alone."""

import signal
from time import monotonic

from headrace.lab.balancer import Balancer
from headrace.lab.processes import kill_processes, signal_processes
from headrace.lab.proofs.figures import Bound
from headrace.lab.proofs.network import KEEP_ANNOUNCED_S, AnnounceNetwork

BY_FIN = Bound("route gone after every process was killed, by FIN", 0.100)
BY_BFD = Bound("route gone after every process was stopped, link up, by BFD", 0.350)
BY_RELAY = Bound(
    "route gone after the daemon alone was killed, by its relay",
    KEEP_ANNOUNCED_S + 0.5,
    KEEP_ANNOUNCED_S,
)


async def killed(network: AnnounceNetwork, runs: int) -> None:
    """Kill -9 of everything on a load balancer, one after the other in turn."""
    for balancer in _in_turn(network, runs):
        processes = network.lab.processes_inside(balancer.node.name)
        killed_s = monotonic()
        kill_processes(processes)
        network.lab.kill_inside(balancer.node.name)  # what was starting meanwhile
        await _note(network, BY_FIN, balancer, killed_s)
        network.restart(balancer)
        await network.wait_whole()
    network.figures.tell()


async def silent(network: AnnounceNetwork, runs: int) -> None:
    """Everything on a load balancer stops, but its kernel and its links go on."""
    for balancer in _in_turn(network, runs):
        processes = network.lab.processes_inside(balancer.node.name)
        stopped_s = monotonic()
        signal_processes(processes, signal.SIGSTOP)
        try:
            await _note(network, BY_BFD, balancer, stopped_s)
        finally:
            signal_processes(processes, signal.SIGCONT)
        await network.wait_whole()
    network.figures.tell()


async def daemon_killed(network: AnnounceNetwork) -> None:
    """Only the daemon dies: what it announced stays for a while, since packets are forwarded."""
    balancer = network.balancers[0]
    killed_s = monotonic()
    network.lab.kill([network.daemons[balancer.node.name]])
    await _note(network, BY_RELAY, balancer, killed_s)
    network.restart(balancer)
    await network.wait_whole()
    network.figures.tell()


def _in_turn(network: AnnounceNetwork, runs: int) -> list[Balancer]:
    return [network.balancers[run % len(network.balancers)] for run in range(runs)]


async def _note(network: AnnounceNetwork, bound: Bound, balancer: Balancer, since_s: float) -> None:
    for subject, took_s in (await network.gone(str(balancer.leg), since_s)).items():
        network.figures.add(bound, subject, [took_s])
