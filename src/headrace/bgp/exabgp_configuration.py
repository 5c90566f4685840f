"""What ExaBGP reads: its configuration file and its environment, as text from values."""

import base64
import hashlib
import os
import pwd
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from headrace.bgp import relay
from headrace.model import Bgp, Family, Peer, UnavailableError

TTL_DIRECT = 255
"""What a direct session sends with, so that a router may demand it (GTSM, RFC 5082, section 3)."""

RELAY = Path(relay.__file__).with_name("__main__.py")

_UNQUOTABLE = re.compile(r"[\"'\\\x00-\x1f\x7f-\uffff]")  # ExaBGP's tokeniser cannot escape them


def render_configuration(bgp: Bgp, socket_path: Path) -> tuple[str, str]:
    """ExaBGP's configuration file, and the digest by which ExaBGP shows that it has read it.

    Raises UnavailableError for a path that ExaBGP cannot be told.
    """
    command = [sys.executable, "-I", "-S", str(RELAY), "exabgp", str(socket_path)]
    process = _section(
        "process relay",
        [f"run {' '.join(_quoted(word) for word in command)};", "encoder json;", "respawn true;"],
    )
    neighbors = [_neighbor_lines(bgp, peer) for peer in bgp.peers]
    digest = hashlib.sha256(repr((process, neighbors)).encode()).hexdigest()[:16]
    sections = [
        _section(f"neighbor {peer.address}", [f'description "{digest}";', *lines])
        for peer, lines in zip(bgp.peers, neighbors, strict=True)
    ]
    return "\n".join([process, *sections]), digest


def build_environment(inherited: Mapping[str, str], pidfile: Path, log: Path) -> dict[str, str]:
    """The environment that keeps ExaBGP in its directory: no pipes, no listener, no other user.

    Settings of the operator's own ExaBGP (its variables, its environment file) do not reach ours.
    """
    kept = {
        name: value for name, value in inherited.items() if not name.lower().startswith("exabgp")
    }
    return kept | {
        "EXABGP_ENVFILE": os.devnull,
        "exabgp_api_ack": "true",
        "exabgp_api_cli": "false",
        "exabgp_daemon_daemonize": "false",
        "exabgp_daemon_drop": "false",
        "exabgp_daemon_pid": str(pidfile),
        "exabgp_daemon_user": pwd.getpwuid(os.getuid()).pw_name,
        "exabgp_log_destination": str(log),
        "exabgp_log_level": "INFO",
        "exabgp_log_processes": "false",
        "exabgp_log_statistics": "false",
        "exabgp_tcp_bind": "",
    }


def _neighbor_lines(bgp: Bgp, peer: Peer) -> list[str]:
    """A session that we open.

    `adj-rib-out false` because the relay remembers; `route-refresh` would switch it on. Where
    routers keep routes over a restart, the relay says when they have heard all.
    """
    restart_s = bgp.graceful_restart_s
    restart = "disable" if restart_s is None else str(restart_s)
    lines = [
        f"router-id {bgp.router_id};",
        f"local-as {bgp.as_number};",
        f"peer-as {peer.as_number};",
        f"local-address {peer.local_address or 'auto'};",
        f"connect {peer.port};",
        f"hold-time {peer.hold_time_s};",
        *_ttl_lines(peer),
        "passive false;",
        "adj-rib-in false;",
        "adj-rib-out false;",
        f"manual-eor {'false' if restart_s is None else 'true'};",
        f"capability {{ route-refresh disable; graceful-restart {restart}; }}",
        f"family {{ {' '.join(f'{family} unicast;' for family in _families(peer))} }}",
        "api { processes [ relay ]; neighbor-changes; negotiated; }",
    ]
    if peer.extended_next_hop:
        lines.append("nexthop { ipv4 unicast ipv6; }")
    if peer.password is not None:
        key = base64.b64encode(peer.password.encode()).decode()
        lines += [f'md5-password "{key}";', "md5-base64 true;"]
    return lines


def _families(peer: Peer) -> list[Family]:
    """In one order; ExaBGP takes RFC 8950's only where the session has both."""
    return sorted(set(Family) if peer.extended_next_hop else peer.carried)


def _ttl_lines(peer: Peer) -> list[str]:
    hops = peer.multihop or 1
    if peer.gtsm:
        return [f"outgoing-ttl {TTL_DIRECT};", f"incoming-ttl {TTL_DIRECT + 1 - hops};"]
    return [f"outgoing-ttl {peer.multihop or TTL_DIRECT};"]


def _section(name: str, lines: list[str]) -> str:
    return "\n".join([f"{name} {{", *(f"    {line}" for line in lines), "}\n"])


def _quoted(word: str) -> str:
    if _UNQUOTABLE.search(word):
        raise UnavailableError(
            f"ExaBGP cannot be told of {word!r}; keep it under a path of plain characters"
        )
    return f'"{word}"'
