"""A real BIRD in a router node: BGP sessions with the balancers, ECMP into the kernel's table."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from time import monotonic

from headrace.lab.laboratory import Laboratory
from headrace.lab.network import read_next_hops
from headrace.lab.processes import ProcessId
from headrace.lab.tools import find_tool
from headrace.lab.topology import Bgp, Node
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError

HOLD_TIME_S = 3
"""The least that BIRD and ExaBGP accept: a silent balancer is noticed within it."""

LIMIT_NEXT_HOPS = 64
"""Legs of one route; the largest lab has far fewer."""

_HEAD = """\
# Written by the lab; every start writes it anew.
log stderr all;
router id {router_id};

protocol device {{}}

protocol direct {{
    ipv4;
}}

protocol kernel {{
    merge paths yes limit {limit};
    ipv4 {{
        import none;
        export where source = RTS_BGP;
    }};
}}
"""

_PEER = """
protocol bgp {name} {{
    local as {local_as};
    neighbor {address} as {peer_as};
    direct;
    hold time {hold_time};
    connect delay time 1;
    error wait time 1,2;
    ipv4 {{
        import all;
        export where source = RTS_DEVICE;
    }};
}}
"""


def render_bird(bgp: Bgp) -> str:
    """The configuration of a router that learns VIPs from its peers and tells them its networks."""
    head = _HEAD.format(router_id=bgp.router_id, limit=LIMIT_NEXT_HOPS)
    peers = (
        _PEER.format(
            name=f"peer{index}",
            local_as=bgp.as_number,
            address=peer.address,
            peer_as=peer.as_number,
            hold_time=HOLD_TIME_S,
        )
        for index, peer in enumerate(bgp.peers, start=1)
    )
    return head + "".join(peers)


class Router:
    """BIRD on one node of a lab."""

    def __init__(self, lab: Laboratory, node: Node) -> None:
        self._lab = lab
        self._node = node
        self._process: ProcessId | None = None

    @property
    def control_socket(self) -> Path:
        """Where `birdc -s` reaches the router."""
        return self._lab.path / f"{self._node.name}.ctl"

    def start(self) -> None:
        """Start BIRD; sessions come up when the peers do."""
        if self._node.bgp is None:
            raise UnavailableError(f"node {self._node.name} has no BGP in its topology")
        config = self._lab.path / f"{self._node.name}.conf"
        config.write_text(render_bird(self._node.bgp))
        argv = [str(find_tool("bird")), "-f", "-c", str(config), "-s", str(self.control_socket)]
        self._process = self._lab.start(self._node.name, argv, f"{self._node.name}-bird")

    def stop(self) -> None:
        """End BIRD, which withdraws its routes from the kernel."""
        if self._process is not None:
            self._lab.end([self._process])
            self._process = None

    def next_hops(self, prefix: IPv4Network) -> list[str]:
        """The legs of the kernel's route to a prefix, as the router forwards now."""
        return read_next_hops(self._lab.namespace(self._node.name), prefix)

    async def wait_next_hops(self, prefix: IPv4Network, count: int, *, timeout_s: float) -> float:
        """Wait until the kernel's route has so many legs; how long that took in seconds."""
        return await self._wait(prefix, lambda hops: len(hops) == count, timeout_s)

    async def wait_leg_gone(
        self, prefix: IPv4Network, leg: IPv4Address, *, timeout_s: float
    ) -> float:
        """Wait until a leg has left the kernel's route; how long that took in seconds."""
        return await self._wait(prefix, lambda hops: str(leg) not in hops, timeout_s)

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
                f"after {timeout_s:g} s the route of {self._node.name} to {prefix} has the next "
                f"hops {hops}; see {self._lab.path}"
            )
        return took_s
