"""The announcing network at work: two routers, two load balancers, three endpoints."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from time import CLOCK_REALTIME, clock_gettime, monotonic
from typing import Any

from headrace.lab.balancer import STATUS_POLL_S, Balancer
from headrace.lab.claims import ClaimView
from headrace.lab.demo_network import DemoNetwork
from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import ProcessId
from headrace.lab.proofs.figures import Figures
from headrace.lab.prover_client import FIRST_PORT
from headrace.lab.route_watch import RouteWatch
from headrace.lab.router import BFD_INTERVAL_MS, BFD_MULTIPLIER, Router
from headrace.lab.routers import make_router
from headrace.lab.tools import find_tool
from headrace.lab.topology import Node, Role
from headrace.lab.waiting import poll, together
from headrace.model.errors import UnavailableError

INTERVAL_S, FALL, RISE = 0.25, 2, 2
HOLD_DOWN_S = 3.0
KEEP_ANNOUNCED_S = 4
DRAIN_WAIT_S = 1.0

_UP_TIMEOUT_S = 30.0
_STEADY_S, _STEADY_TRIES = 1.0, 10
_GONE_TIMEOUT_S = 15.0  # more than any bound, so that a miss is a figure

Legs = frozenset[str]


@dataclass(slots=True)
class AnnounceNetwork:
    """The lab of one speaker, and what runs in it."""

    lab: Laboratory
    view: ClaimView
    speaker: str  # as the document names it
    figures: Figures = field(init=False)
    base: DemoNetwork = field(init=False)
    routers: tuple[Router, ...] = field(init=False)
    watches: dict[str, RouteWatch] = field(init=False, default_factory=dict)  # by subject
    daemons: dict[str, ProcessId] = field(init=False, default_factory=dict)  # by node
    _next_port: int = field(init=False, default=FIRST_PORT)
    _open: ExitStack = field(init=False, default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Find the nodes that do something."""
        self.figures = Figures(self.view)
        self.base = DemoNetwork(self.lab, self.view)
        nodes = [node for node in self.lab.topology.with_role(Role.ROUTER) if node.bgp]
        self.routers = tuple(make_router(self.lab, node) for node in nodes)

    def close(self) -> None:
        """Stop watching; the lab's removal ends the rest."""
        self._open.close()

    @property
    def balancers(self) -> list[Balancer]:
        """The load balancers, in the topology's order."""
        return self.base.balancers

    @property
    def endpoints(self) -> tuple[Node, ...]:
        """The endpoints, in the topology's order."""
        return self.base.endpoints

    @property
    def all_legs(self) -> Legs:
        """The legs of a router's route while every load balancer announces."""
        return frozenset(str(balancer.leg) for balancer in self.balancers)

    async def bring_up(self) -> None:
        """Start all of it, and wait until both routers forward to both load balancers."""
        for router in self.routers:
            router.start()
            watch = RouteWatch(router.namespace, self.base.vip_prefix)
            self.watches[f"{self.speaker}, {router.kind}"] = self._open.enter_context(watch)
        await self.base.start_endpoints()
        for balancer in self.balancers:
            self._let_find_bird(balancer)
            self.daemons[balancer.node.name] = balancer.start(self.document(balancer))
        await self.wait_whole()

    def document(self, balancer: Balancer) -> dict[str, Any]:
        """What a load balancer is told."""
        document = balancer.document()
        topology = self.lab.topology
        endpoints = [{"address": str(node.identity)} for node in self.endpoints]
        check = {"kind": "tcp", "interval_s": INTERVAL_S, "timeout_s": INTERVAL_S}
        document["health"] = {"quick": check | {"rise": RISE, "fall": FALL}}
        document["pools"] = {
            # All endpoints die on purpose here, which would else be taken for the checks' fault.
            "servers": {"endpoints": endpoints, "health": "quick", "fail_open_above": 1}
        }
        service = {"vip": str(topology.vip), "protocol": "tcp", "port": topology.port}
        document["services"] = [
            service | {"pool": "servers", "announce": True, "hold_down_s": HOLD_DOWN_S}
        ]
        document["node"] |= {"drain_wait_s": DRAIN_WAIT_S}
        document["bgp"] |= {
            "speaker": self.speaker,
            "keep_announced_s": KEEP_ANNOUNCED_S,
            "bfd": {"interval_ms": BFD_INTERVAL_MS, "multiplier": BFD_MULTIPLIER},
        }
        return document

    def take_ports(self, count: int) -> int:
        """The first of so many source ports of the client that nobody has used."""
        first = self._next_port
        self._next_port += count
        return first

    def restart(self, balancer: Balancer) -> None:
        """Start a load balancer's daemon again."""
        self.daemons[balancer.node.name] = balancer.restart()

    async def wait_whole(self) -> None:
        """Wait until nothing is missing, and no route has changed for a while since.

        Sessions that come back may end once more: BFD, which is slow in its first second, may not
        have heard yet that the other end is back.
        """
        for _ in range(_STEADY_TRIES):
            await self._wait_complete()
            whole_s = monotonic()
            await asyncio.sleep(_STEADY_S)
            if not any(watch.since(whole_s) for watch in self.watches.values()):
                return
        raise UnavailableError(f"routes changed each time within {_STEADY_S:g} s after all was up")

    async def _wait_complete(self) -> None:
        """Wait until nothing is missing: sessions, BFD, endpoints, routes."""
        await together(balancer.wait_up(timeout_s=_UP_TIMEOUT_S) for balancer in self.balancers)
        await self.wait_healthy(len(self.endpoints))
        for watch in self.watches.values():
            await watch.first(self.all_legs.__eq__, since_s=monotonic(), timeout_s=_UP_TIMEOUT_S)
        legs = [balancer.leg for balancer in self.balancers]
        await together(router.wait_bfd(legs, timeout_s=_UP_TIMEOUT_S) for router in self.routers)

    async def wait_healthy(self, count: int) -> None:
        """Wait until every load balancer believes so many endpoints to be up."""
        for balancer in self.balancers:
            await self.wait_healthy_on(balancer, count)

    async def wait_healthy_on(self, balancer: Balancer, count: int) -> None:
        """Wait until one load balancer believes so many endpoints to be up."""

        async def probe() -> bool | None:
            (pool,) = (await balancer.status())["pools"]
            up = [each for each in pool["endpoints"] if each["health"] == "up"]
            return True if len(up) == count else None

        if await poll(probe, timeout_s=_UP_TIMEOUT_S, every_s=STATUS_POLL_S) is None:
            raise UnavailableError(
                f"after {_UP_TIMEOUT_S:g} s {balancer.node.name} does not have {count} endpoints up"
            )

    async def gone(self, leg: str, since_s: float) -> dict[str, float]:
        """How long after a time each router's route lost a leg, by subject."""
        return {
            subject: await watch.first(
                lambda legs: leg not in legs, since_s=since_s, timeout_s=_GONE_TIMEOUT_S
            )
            for subject, watch in self.watches.items()
        }

    def logged_s(
        self, balancer: Balancer, event: str, since_s: float
    ) -> Iterator[tuple[float, Any]]:
        """What a load balancer has logged under a name since a time, with the monotonic times."""
        offset_s = clock_gettime(CLOCK_REALTIME) - monotonic()
        for entry in balancer.log_events(event):
            at_s = datetime.fromisoformat(entry["timestamp"]).timestamp() - offset_s
            if at_s >= since_s:
                yield at_s, entry

    def stop_server(self, node: Node) -> None:
        """Kill an endpoint's server: its host refuses connections from now on."""
        self.lab.kill([self.base.servers[node.name]])

    def _let_find_bird(self, balancer: Balancer) -> None:
        """BIRD may be unpacked where the daemon would not look."""
        path = f"{find_tool('bird').parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.lab.set_environment(balancer.node.name, {"PATH": path})
