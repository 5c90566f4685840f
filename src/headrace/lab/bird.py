"""BIRD on a node of a lab."""

from pathlib import Path

from headrace.lab.commands import run_command
from headrace.lab.router import (
    BFD_INTERVAL_MS,
    BFD_MULTIPLIER,
    HOLD_TIME_S,
    LIMIT_NEXT_HOPS,
    Router,
)
from headrace.lab.tools import find_tool
from headrace.lab.topology import Bgp, BgpPeer

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

protocol bfd {{
    interface "*" {{
        interval {interval_ms} ms;
        multiplier {multiplier};
    }};
}}

# RFC 8326: what is about to leave is preferred by nobody.
filter from_peers {{
    if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
    accept;
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
{more}    ipv4 {{
        import filter from_peers;
        export where source = RTS_DEVICE;
    }};
}}
"""


def render_bird(bgp: Bgp) -> str:
    """The configuration of a router that learns from its peers and tells them its networks."""
    head = _HEAD.format(
        router_id=bgp.router_id,
        limit=LIMIT_NEXT_HOPS,
        interval_ms=BFD_INTERVAL_MS,
        multiplier=BFD_MULTIPLIER,
    )
    peers = (
        _PEER.format(
            name=f"peer{index}",
            local_as=bgp.as_number,
            address=peer.address,
            peer_as=peer.as_number,
            hold_time=HOLD_TIME_S,
            more=_render_more(peer),
        )
        for index, peer in enumerate(bgp.peers, start=1)
    )
    return head + "".join(peers)


def _render_more(peer: BgpPeer) -> str:
    """What not every session has."""
    password = f'    password "{peer.password}";\n' if peer.password else ""
    return password + ("    bfd on;\n" if peer.bfd else "")


class BirdRouter(Router):
    """BIRD 2: one process, and a control socket for `birdc`."""

    def start(self) -> None:
        """Start BIRD."""
        config = self._lab.path / f"{self.node.name}.conf"
        config.write_text(render_bird(self._bgp))
        argv = [str(find_tool("bird")), "-f", "-c", str(config), "-s", str(self.control_socket)]
        self._processes = [self._lab.start(self.node.name, argv, f"{self.node.name}-bird")]

    @property
    def control_socket(self) -> Path:
        """Where `birdc -s` reaches the router."""
        return self._lab.path / f"{self.node.name}.ctl"

    async def bfd_peers(self) -> set[str]:
        """The addresses in the lines of BFD sessions that are up."""
        client = [str(find_tool("birdcl")), "-s", str(self.control_socket)]
        shown = await run_command(self._lab, self.node.name, [*client, "show", "bfd", "sessions"])
        lines = [line.split() for line in shown.decode().splitlines()]
        return {words[0] for words in lines if len(words) >= 3 and words[2] == "Up"}
