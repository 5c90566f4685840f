"""FRR on a node of a lab: zebra for the kernel, bgpd, bfdd.

It is used unpacked and as root. It insists on a group `frrvty` that root is in, which the machine
need not have: its programs see a file of groups of their own, in a mount namespace of their own.
"""

import asyncio
import json
import os
from pathlib import Path

from headrace.lab.processes import ProcessId
from headrace.lab.router import (
    BFD_INTERVAL_MS,
    BFD_MULTIPLIER,
    HOLD_TIME_S,
    LIMIT_NEXT_HOPS,
    Router,
)
from headrace.lab.tools import find_unpacked
from headrace.lab.topology import Bgp, BgpPeer
from headrace.model.errors import UnavailableError

_GROUPS = "root:x:0:\nfrrvty:x:0:root\n"

_START = """\
mount --bind "$1" /etc/group || exit
until [ "$2" = none ] || [ -S "$2" ]; do sleep 0.02; done
shift 2
exec "$@"
"""
"""The shell's part: $1 is the file of groups, $2 a socket to wait for, then comes the program."""

_ZEBRA = """\
zebra work-queue 0
"""
"""No wait for more routes before one is put into the kernel: 10 ms of the 70 ms that FRR takes."""

_BFD = """\
bfd
 profile lab
  receive-interval {interval_ms}
  transmit-interval {interval_ms}
  detect-multiplier {multiplier}
"""

_BGP = """\
router bgp {as_number}
 bgp router-id {router_id}
 no bgp ebgp-requires-policy
 bgp bestpath as-path multipath-relax
{peers} address-family ipv4 unicast
  redistribute connected
  maximum-paths {limit}
 exit-address-family
"""

_ANSWER_TIMEOUT_S = 5.0
_END = b"\0\0\0"
"""Ends each answer, with one byte of result behind it (FRR, lib/vty.c)."""


def render_frr(bgp: Bgp) -> str:
    """The configuration of bgpd: it learns from its peers and tells them its networks."""
    return _BGP.format(
        as_number=bgp.as_number,
        router_id=bgp.router_id,
        peers="".join(map(_render_peer, bgp.peers)),
        limit=LIMIT_NEXT_HOPS,
    )


def _render_peer(peer: BgpPeer) -> str:
    lines = [
        f"remote-as {peer.as_number}",
        f"timers {HOLD_TIME_S // 3} {HOLD_TIME_S}",
        "timers connect 1",
        "advertisement-interval 0",
    ]
    if peer.password:
        lines.append(f"password {peer.password}")
    if peer.bfd:
        lines += ["bfd", "bfd profile lab"]
    return "".join(f" neighbor {peer.address} {line}\n" for line in lines)


def find_frr() -> Path:
    """The folder of FRR's programs, in its unpacked package. Raises UnavailableError."""
    return find_unpacked("usr/lib/frr/zebra", "frr").parent


class FrrRouter(Router):
    """FRR 8: three processes, and a socket for commands to each."""

    def start(self) -> None:
        """Start the three; bgpd and bfdd wait for zebra's socket."""
        self._folder.mkdir(exist_ok=True)
        for socket in (*self._folder.glob("*.vty"), self._zebra_socket):
            socket.unlink(missing_ok=True)  # of an earlier start, which nobody must wait for
        (self._folder / "groups").write_text(_GROUPS)
        settings = {
            "zebra": _ZEBRA,
            "bfdd": _BFD.format(interval_ms=BFD_INTERVAL_MS, multiplier=BFD_MULTIPLIER),
            "bgpd": render_frr(self._bgp),
        }
        self._processes = [self._start(name, text) for name, text in settings.items()]

    async def bfd_peers(self) -> set[str]:
        """The peers that bfdd calls up."""
        sessions = json.loads(await self._ask("bfdd", "show bfd peers json"))
        return {str(session["peer"]) for session in sessions if session["status"] == "up"}

    @property
    def _folder(self) -> Path:
        return self._lab.path / f"{self.node.name}.frr"

    @property
    def _zebra_socket(self) -> Path:
        return self._folder / "zebra.api"

    def _start(self, name: str, settings: str) -> ProcessId:
        program = find_frr() / name
        libraries = find_unpacked("usr/lib/*/frr", "frr")
        config = self._folder / f"{name}.conf"
        config.write_text(settings)
        waits_for = "none" if name == "zebra" else str(self._zebra_socket)
        shell = ["sh", "-c", _START, "sh", str(self._folder / "groups"), waits_for]
        environment = f"LD_LIBRARY_PATH={libraries.parent}{os.pathsep}{libraries}"
        argv = ["unshare", "--mount", "--propagation", "private", *shell]
        argv += ["env", environment, str(program), "-u", "root", "-g", "root", "-f", str(config)]
        argv += ["-i", str(self._folder / f"{name}.pid"), "-z", str(self._zebra_socket)]
        argv += ["--vty_socket", str(self._folder), "-P", "0", "--log", "stdout"]
        if name == "bfdd":
            argv += ["--bfdctl", str(self._folder / "bfdd.ctl")]
        return self._lab.start(self.node.name, argv, f"{self.node.name}-{name}")

    async def _ask(self, name: str, command: str) -> bytes:
        """What a daemon prints for a command, as vtysh would ask it."""
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                path = self._folder / f"{name}.vty"
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    await _converse(reader, writer, "enable")
                    return await _converse(reader, writer, command)
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise UnavailableError(
                f"{name} of {self.node.name} does not answer {command}: {error!r}"
            ) from error


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str
) -> bytes:
    writer.write(command.encode() + b"\0")
    answer = await reader.readuntil(_END)
    await reader.readexactly(1)
    return answer[: -len(_END)]
