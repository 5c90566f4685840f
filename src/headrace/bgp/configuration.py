"""What ExaBGP reads: its configuration file and its environment, as text from values."""

import base64
import hashlib
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from headrace.bgp import relay
from headrace.model import Bgp, ConfigError, IPAddress, Peer, Problem, UnavailableError

TTL_DIRECT = 255
"""What a direct session sends with, so that a router may demand it (GTSM, RFC 5082, section 3)."""

LIMIT_PASSWORD_BYTES = 80
"""The kernel keeps no more of a TCP MD5 key (TCP_MD5SIG_MAXKEYLEN)."""

_UNQUOTABLE = re.compile(r"[\"'\\\x00-\x1f\x7f-\uffff]")  # ExaBGP's tokeniser cannot escape them


class Files:
    """Everything that ExaBGP and the relay keep, inside one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "exabgp.conf"
        self.pidfile = directory / "exabgp.pid"
        self.socket = directory / "relay.sock"
        self.log = directory / "exabgp.log"  # ExaBGP rotates it: at most four files of 1 MB
        self.output = directory / "exabgp.out"  # a traceback at most; emptied at each start


def render_configuration(bgp: Bgp, files: Files, keep_s: float) -> tuple[str, str]:
    """ExaBGP's configuration file, and the digest by which ExaBGP shows that it has read it.

    Raises ConfigError for a peer that ExaBGP cannot speak to.
    """
    problems = list(_check_peers(bgp))
    if problems:
        raise ConfigError(problems)
    command = [sys.executable, "-I", "-S", relay.__file__, str(files.socket), str(keep_s)]
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


def build_environment(inherited: Mapping[str, str], files: Files) -> dict[str, str]:
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
        "exabgp_daemon_pid": str(files.pidfile),
        "exabgp_daemon_user": pwd.getpwuid(os.getuid()).pw_name,
        "exabgp_log_destination": str(files.log),
        "exabgp_log_level": "INFO",
        "exabgp_log_processes": "false",
        "exabgp_log_statistics": "false",
        "exabgp_tcp_bind": "",
    }


def _check_peers(bgp: Bgp) -> Iterator[Problem]:
    first: dict[IPAddress, int] = {}
    for index, peer in enumerate(bgp.peers):
        path = f"bgp.peers[{index}]"
        if first.setdefault(peer.address, index) != index:
            known = f"bgp.peers[{first[peer.address]}]"
            yield Problem(f"{path}.address", f"{peer.address} is already {known}; keep one of them")
        yield from _check_peer(peer, path)


def _check_peer(peer: Peer, path: str) -> Iterator[Problem]:
    local = peer.local_address
    if peer.address.is_link_local:
        yield Problem(
            f"{path}.address", f"{peer.address} is link-local; ExaBGP needs a global address"
        )
    if local is not None and local.version != peer.address.version:
        yield Problem(
            f"{path}.local_address",
            f"{local} is not of the family of {peer.address}; use one that is",
        )
    if peer.password is not None and not 1 <= len(peer.password.encode()) <= LIMIT_PASSWORD_BYTES:
        yield Problem(
            f"{path}.password",
            f"is not of 1 to {LIMIT_PASSWORD_BYTES} bytes; leave it out for none",
        )


def _neighbor_lines(bgp: Bgp, peer: Peer) -> list[str]:
    """A session that we open and that carries its own address family.

    `adj-rib-out false` because the relay remembers; `route-refresh` would switch it on.
    """
    lines = [
        f"router-id {bgp.router_id};",
        f"local-as {bgp.as_number};",
        f"peer-as {peer.as_number};",
        f"local-address {peer.local_address or 'auto'};",
        f"connect {peer.port};",
        f"hold-time {peer.hold_time_s};",
        f"outgoing-ttl {peer.multihop or TTL_DIRECT};",
        "passive false;",
        "adj-rib-in false;",
        "adj-rib-out false;",
        "capability { route-refresh disable; graceful-restart disable; }",
        f"family {{ ipv{peer.address.version} unicast; }}",
        "api { processes [ relay ]; neighbor-changes; }",
    ]
    if peer.password is not None:
        key = base64.b64encode(peer.password.encode()).decode()
        lines += [f'md5-password "{key}";', "md5-base64 true;"]
    return lines


def _section(name: str, lines: list[str]) -> str:
    return "\n".join([f"{name} {{", *(f"    {line}" for line in lines), "}\n"])


def _quoted(word: str) -> str:
    if _UNQUOTABLE.search(word):
        raise UnavailableError(
            f"ExaBGP cannot be told of {word!r}; keep it under a path of plain characters"
        )
    return f'"{word}"'
