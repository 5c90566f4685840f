"""A real routing daemon on a node: BGP sessions, ECMP into the kernel's table."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network
from time import monotonic

from headrace.lab.laboratory import Laboratory
from headrace.lab.network import read_next_hops
from headrace.lab.processes import ProcessId
from headrace.lab.topology import Bgp, Node
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError

HOLD_TIME_S = 3
"""The least that BIRD, FRR and ExaBGP accept: a silent balancer is noticed within it."""

BFD_INTERVAL_MS, BFD_MULTIPLIER = 80, 3
"""A router's own wish; what is used is the slower of both ends'. From BFD's word to its kernel's
route FRR takes up to 90 ms: with 100 ms, a silent node's route was gone after 373 ms at worst."""

LIMIT_NEXT_HOPS = 64
"""Legs of one route; the largest lab has far fewer."""


class Router(ABC):
    """A routing daemon on one node of a lab."""

    def __init__(self, lab: Laboratory, node: Node) -> None:
        if node.bgp is None:
            raise UnavailableError(f"node {node.name} has no BGP in its topology")
        self._lab = lab
        self._bgp: Bgp = node.bgp
        self._processes: Sequence[ProcessId] = ()
        self.node = node

    @abstractmethod
    def start(self) -> None:
        """Start it; sessions come up when the peers do."""

    @abstractmethod
    async def bfd_peers(self) -> set[str]:
        """The addresses that BFD says are alive."""

    def stop(self) -> None:
        """End it, which withdraws its routes from the kernel."""
        self._lab.end(self._processes)
        self._processes = ()

    def kill(self) -> None:
        """End it without a word; its routes stay in the kernel."""
        self._lab.kill(self._processes)
        self._processes = ()

    @property
    def kind(self) -> str:
        """The daemon's name as people write it."""
        return self._bgp.daemon.upper()

    @property
    def router_id(self) -> IPv4Address:
        """Its BGP identifier, in the lab also its address towards its peers."""
        return self._bgp.router_id

    @property
    def namespace(self) -> str:
        """The network namespace that it routes in."""
        return self._lab.namespace(self.node.name)

    def next_hops(self, prefix: IPv4Network) -> list[str]:
        """The legs of the kernel's route to a prefix, as the router forwards now."""
        return read_next_hops(self.namespace, prefix)

    async def wait_next_hops(self, prefix: IPv4Network, count: int, *, timeout_s: float) -> float:
        """Wait until the kernel's route has so many legs; how long that took in seconds."""
        return await self._wait(prefix, lambda hops: len(hops) == count, timeout_s)

    async def wait_leg_gone(
        self, prefix: IPv4Network, leg: IPv4Address, *, timeout_s: float
    ) -> float:
        """Wait until a leg has left the kernel's route; how long that took in seconds."""
        return await self._wait(prefix, lambda hops: str(leg) not in hops, timeout_s)

    async def wait_bfd(self, addresses: Collection[IPv4Address], *, timeout_s: float) -> None:
        """Wait until BFD watches all of these and finds them alive."""
        wanted = {str(address) for address in addresses}

        async def probe() -> bool | None:
            return True if wanted <= await self.bfd_peers() else None

        if await poll(probe, timeout_s=timeout_s) is None:
            alive = ", ".join(sorted(await self.bfd_peers())) or "nobody"
            raise UnavailableError(
                f"after {timeout_s:g} s BFD of {self.node.name} has {alive} alive, not all of "
                f"{', '.join(sorted(wanted))}; see {self._lab.path}"
            )

    async def _wait(
        self, prefix: IPv4Network, holds: Callable[[list[str]], bool], timeout_s: float
    ) -> float:
        started = monotonic()

        async def probe() -> float | None:
            hops = await asyncio.to_thread(self.next_hops, prefix)
            return monotonic() - started if holds(hops) else None

        took_s = await poll(probe, timeout_s=timeout_s)
        if took_s is None:
            hops = ", ".join(self.next_hops(prefix)) or "none"
            raise UnavailableError(
                f"after {timeout_s:g} s the route of {self.node.name} to {prefix} has the next "
                f"hops {hops}; see {self._lab.path}"
            )
        return took_s
