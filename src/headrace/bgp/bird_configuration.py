"""What BIRD reads: its configuration file as text from values.

The routes are in a file of their own, which the relay writes (`relay/bird_text.py`) and this one
includes. BIRD takes no route from a peer and gives none to the kernel.
"""

from pathlib import Path

from headrace.bgp.relay.bird_text import name_of
from headrace.model import Bfd, Bgp, Family, Peer

LIMIT_LOG_BYTES = 1_048_576
"""BIRD keeps one older file beside it."""

_HEAD = """\
# Written by Headrace; every change of the document writes it anew.
log "{log}" {limit} "{log}.1" all;
router id {router_id};
timeformat protocol iso long ms;

protocol device {{
    scan time 10;
}}
"""

_FILTERS = """
attribute ip given_next_hop4;
attribute ip given_next_hop6;
attribute int given_med;
attribute int given_class;
include "{routes}";

function give(bool next_hop_is_ipv6) {{
    if defined(given_med) then bgp_med = given_med;
    if next_hop_is_ipv6 then {{
        if defined(given_next_hop6) then bgp_next_hop = given_next_hop6;
    }} else {{
        if defined(given_next_hop4) then bgp_next_hop = given_next_hop4;
    }}
}}
filter to_external {{ give(net.type = NET_IP6); accept; }}
filter to_external_extended {{ give(true); accept; }}
filter to_internal {{ bgp_path.empty; give(net.type = NET_IP6); accept; }}
filter to_internal_extended {{ bgp_path.empty; give(true); accept; }}
"""

_BFD = """
protocol bfd {{
    interface "*" {{ {timing} }};
    multihop {{ {timing} }};
{neighbors}}}
"""


def render_bird(bgp: Bgp, *, log: Path, routes: Path) -> str:
    """The configuration of a BIRD that speaks BGP, with BFD where it is asked for."""
    parts = [_render_head(bgp, log), _FILTERS.format(routes=routes)]
    if bgp.bfd is not None:
        parts.append(_render_bfd(bgp.bfd, []))
    parts += [_render_peer(bgp, peer) for peer in bgp.peers]
    return "".join(parts)


def render_bfd_only(bgp: Bgp, *, log: Path) -> str:
    """The configuration of a BIRD that does no more than BFD with the peers to be watched."""
    watched = [peer for peer in bgp.peers if bgp.is_watched(peer)]
    return _render_head(bgp, log) + _render_bfd(bgp.bfd or Bfd(), watched)


def _render_head(bgp: Bgp, log: Path) -> str:
    return _HEAD.format(log=log, limit=LIMIT_LOG_BYTES, router_id=bgp.router_id)


def _render_bfd(bfd: Bfd, neighbors: list[Peer]) -> str:
    timing = f"interval {bfd.interval_ms} ms; multiplier {bfd.multiplier};"
    return _BFD.format(timing=timing, neighbors="".join(map(_render_bfd_neighbor, neighbors)))


def _render_bfd_neighbor(peer: Peer) -> str:
    local = "" if peer.local_address is None else f" local {peer.local_address}"
    hops = "" if peer.multihop is None else " multihop on"
    return f"    neighbor {peer.address}{local}{hops};\n"


def _render_peer(bgp: Bgp, peer: Peer) -> str:
    """A session; it tries again at once, where BIRD's default stays away for five minutes."""
    local = "" if peer.local_address is None else f"{peer.local_address} "
    lines = [
        f"local {local}as {bgp.as_number};",
        f"neighbor {peer.address} port {peer.port} as {peer.as_number};",
        "direct;" if peer.multihop is None else f"multihop {peer.multihop};",
        f"hold time {peer.hold_time_s};",
        "connect delay time 1; connect retry time 1; error wait time 1,2;",
        f"ttl security {'on' if peer.gtsm else 'off'};",
        "debug { states };",
    ]
    if peer.password is not None:
        lines.append(f'password "{peer.password}";')
    if bgp.is_watched(peer):
        lines.append("bfd on;")
    if bgp.graceful_restart_s is not None:
        lines.append(f"graceful restart on; graceful restart time {bgp.graceful_restart_s};")
    lines += [_render_channel(bgp, peer, family) for family in sorted(peer.carried)]
    return "\n    ".join([f"\nprotocol bgp {name_of(str(peer.address))} {{", *lines]) + "\n}\n"


def _render_channel(bgp: Bgp, peer: Peer, family: Family) -> str:
    kind = "internal" if peer.as_number == bgp.as_number else "external"
    extended = family is Family.IPV4 and peer.extended_next_hop
    name = f"to_{kind}{'_extended' if extended else ''}"
    if not peer.hears_all:
        is_ipv6 = "true" if extended else "net.type = NET_IP6"
        path = "bgp_path.empty; " if kind == "internal" else ""
        asked = f"if export_to({peer.address}, {is_ipv6}) then give({is_ipv6});"
        name = f"{{ {asked} {path}accept; }}"
    option = " extended next hop on;" if extended else ""
    return f"{family} {{ import none; export filter {name};{option} }};"
