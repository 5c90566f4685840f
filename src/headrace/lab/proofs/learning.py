"""Learned routes: a routing daemon on the load balancer changes them, next hops follow."""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from time import monotonic

from headrace.lab.arrivals import Arrivals
from headrace.lab.balancer import Balancer, render_services
from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.proofs.figures import Bound, Figures
from headrace.lab.route_watch import RouteWatch
from headrace.lab.router import Router
from headrace.lab.routers import make_router
from headrace.lab.topology import Role
from headrace.lab.traffic import start_sender
from headrace.model.errors import UnavailableError

NEXT_HOP = Bound("last packet by the old next hop after the kernel's route changed", 0.100)

_NETWORK = IPv4Network("56.56.56.0/24")
_PACKETS_PER_S = 1_000
_FLOWS = 50
_TIMEOUT_S = 20.0
_LOOK_S = 0.5


@dataclass(slots=True)
class LearningNetwork:
    """A load balancer that learns, the routers that it learns from, and traffic by one of them."""

    lab: Laboratory
    source: str | None  # of outer packets; None: the address of the link that they leave by
    balancer: Balancer = field(init=False)
    routers: dict[str, Router] = field(init=False)
    learner: Router = field(init=False)

    def __post_init__(self) -> None:
        """Find the nodes that do something."""
        (node,) = self.lab.topology.with_role(Role.BALANCER)
        self.balancer, self.learner = Balancer(self.lab, node), make_router(self.lab, node)
        nodes = self.lab.topology.with_role(Role.ROUTER)
        self.routers = {each.name: make_router(self.lab, each) for each in nodes}

    @property
    def legs(self) -> frozenset[str]:
        """The next hops of the learned route while both routers live."""
        return frozenset(str(router.router_id) for router in self.routers.values())

    async def bring_up(self, watch: RouteWatch) -> None:
        """Start all of it, and wait until packets have a way."""
        for router in (self.learner, *self.routers.values()):
            router.start()
        await watch.first(self.legs.__eq__, since_s=monotonic(), timeout_s=_TIMEOUT_S)
        document = self.balancer.document() | render_services(self.lab.topology)
        del document["bgp"]
        if self.source is not None:
            document["node"]["source"] = self.source
        self.balancer.start(document)
        await self.balancer.wait_up(timeout_s=_TIMEOUT_S)
        await self.balancer.wait_forwarding(timeout_s=_TIMEOUT_S)
        start_sender(self.lab, "user", packets_per_s=_PACKETS_PER_S, ports=[0] * _FLOWS)

    def arrivals(self, name: str) -> Arrivals:
        """What comes from the load balancer to a router."""
        return Arrivals(self.lab.namespace(name), f"e{name}{self.balancer.node.name}")

    async def used(self) -> tuple[str, str]:
        """The router that packets go by, and the other one."""
        first, second = self.routers
        with self.arrivals(first) as arrivals:
            await asyncio.sleep(_LOOK_S)
            return (first, second) if arrivals.times_s else (second, first)

    async def change(self, watch: RouteWatch) -> float:
        """End the router in use; for how long packets were still sent to it after the change."""
        used, other = await self.used()
        with self.arrivals(used) as old, self.arrivals(other) as new:
            ended_s = monotonic()
            self.routers[used].kill()
            await watch.first(lambda legs: len(legs) == 1, since_s=ended_s, timeout_s=_TIMEOUT_S)
            changed_s = watch.since(ended_s)[0].at_s
            await asyncio.sleep(_LOOK_S)
            if not new.times_s:
                raise UnavailableError(f"no packet goes by {other} since {used} is gone")
            late_s = max(old.times_s) - changed_s
        self.routers[used].start()
        await watch.first(self.legs.__eq__, since_s=monotonic(), timeout_s=_TIMEOUT_S)
        return max(late_s, 0.0)


async def next_hops(lab: Laboratory, view: ClaimView, runs: int, *, source: str | None) -> None:
    """End the router that packets go by, again and again; they must go by the other one."""
    network = LearningNetwork(lab, source)
    subject = f"{network.learner.kind} on the node, outer source {source or 'of the link'}"
    figures = Figures(view)
    with RouteWatch(network.learner.namespace, _NETWORK) as watch:
        await network.bring_up(watch)
        for _ in range(runs):
            figures.add(NEXT_HOP, subject, [await network.change(watch)])
    figures.tell()
