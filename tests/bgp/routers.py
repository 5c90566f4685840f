"""Routers of the end-to-end tests: BIRD and FRR, each in a namespace of its own."""

import itertools
import os
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.lab.tools import find_tool, find_unpacked
from tests.bgp.namespaces import Namespace, eventually, run


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a router demands of its sessions."""

    as_number: int = 65001
    password: str | None = None
    gtsm: bool = False
    multihop: int | None = None
    bfd: bool = False
    both_families: bool = False  # each session carries IPv4 and IPv6 prefixes
    extended: bool = False  # the IPv6 session takes IPv4 prefixes with an IPv6 next hop


class Router(ABC):
    """A router in AS 65001: 10.9.N.254 and fd09:N::254; its peer is .1 in AS 64512."""

    def __init__(self, number: int, namespace: Namespace, directory: Path) -> None:
        self.address = f"10.9.{number}.254"
        self.address6 = f"fd09:{number}::254"
        self.namespace = namespace
        self._directory = directory

    @abstractmethod
    def start(self, stack: ExitStack, wishes: Wishes) -> None:
        """Run until the stack ends."""

    @abstractmethod
    def watches(self) -> bool:
        """Whether BFD is up, as this end sees it."""

    @property
    def sessions(self) -> dict[str, str]:
        """Both sessions' peers by the own address of the session."""
        return {ours: ours.replace("254", "1") for ours in (self.address, self.address6)}

    def has(self, prefix: str) -> bool:
        """Whether it has put a route into the kernel; an address is the prefix of it alone."""
        return bool(self.route(prefix))

    def route(self, prefix: str) -> str:
        """The kernel's route to a prefix that was learnt; nothing without one."""
        family = "-6" if ":" in prefix else "-4"
        shown = self.namespace.ip("-o", family, "route", "show", prefix)
        return shown if "proto bird" in shown or "proto bgp" in shown else ""

    def refused_keys(self) -> int:
        """How many TCP segments its kernel has dropped for a wrong MD5 signature."""
        counted = self.namespace.inside("nstat", "-asz", "TcpExtTCPMD5Failure")
        return int(counted.split()[-2])

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """What happens to the kernel's routes, a line each; behind the block all of it is there."""
        lines: list[str] = []
        sizes = itertools.count(1280)
        command = ["ip", "-o", "monitor", "route"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

        def sees(prefix: str) -> list[str]:
            """Change a route that nobody asks for, and be told of it, or of an earlier change."""
            assert monitor.poll() is None, (command, lines)
            # Nobody is told of a route that is replaced by its equal.
            self.namespace.ip("route", "replace", prefix, "dev", "lo", "mtu", str(next(sizes)))
            return [line for line in list(lines) if f"{prefix} " in line]

        with self.namespace.running(*command, **pipes) as monitor:
            reader = threading.Thread(target=lambda: lines.extend(monitor.stdout or ()))
            reader.start()
            eventually(lambda: sees("192.0.2.1"))
            lines.clear()
            yield lines
            eventually(lambda: sees("192.0.2.2"))
        reader.join(timeout=10)


class BirdRouter(Router):
    """BIRD 2, which answers questions about routes."""

    def start(self, stack: ExitStack, wishes: Wishes) -> None:
        """Run BIRD until the stack ends."""
        configuration = self._directory / "bird.conf"
        configuration.write_text(_bird_configuration(self, wishes))
        log = stack.enter_context((self._directory / "bird.log").open("w"))
        bird = [str(find_tool("bird")), "-f", "-c", str(configuration), "-s", str(self._control)]
        stack.enter_context(self.namespace.running(*bird, stdout=log, stderr=log))
        eventually(self._control.exists)

    def ask(self, *command: str) -> str:
        """What BIRD's control client prints."""
        return run(str(find_tool("birdc")), "-s", str(self._control), *command)

    def heard(self, prefix: str) -> str:
        """All that it knows of a prefix; nothing if it never heard of it."""
        # All in one question: between two of them the route may go, which BIRD calls an error.
        lines = iter(self.ask("show", "route", "all").splitlines())
        first = next((line for line in lines if line.split()[:1] == [prefix]), "")
        more = itertools.takewhile(lambda line: line[:1].isspace(), lines) if first else ()
        return "\n".join([first, *more])

    def watches(self) -> bool:
        """Whether BFD is up, as this end sees it."""
        return " Up " in self.ask("show", "bfd", "sessions")

    @property
    def _control(self) -> Path:
        return self._directory / "bird.ctl"


class FrrRouter(Router):
    """FRR 8, unpacked: zebra for the kernel, bgpd, bfdd.

    It insists on a group that this machine need not have, and writes below /run; so it sees a
    file of groups and a /run of its own.
    """

    def start(self, stack: ExitStack, wishes: Wishes) -> None:
        """Run FRR until the stack ends."""
        (self._directory / "group").write_text("root:x:0:\nfrrvty:x:0:root\n")
        (self._directory / "zebra.conf").write_text("")
        (self._directory / "bfdd.conf").write_text(_FRR_BFD)
        (self._directory / "bgpd.conf").write_text(_frr_configuration(self, wishes))
        libraries = find_unpacked("usr/lib/*/frr", "frr")
        paths = f"{libraries.parent}{os.pathsep}{libraries}"
        environment = os.environ | {"LD_LIBRARY_PATH": paths}
        programs = find_unpacked("usr/lib/frr", "frr")
        log = stack.enter_context((self._directory / "frr.log").open("w"))
        # In a PID namespace: who kills its first process kills all of them.
        own = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        command = ["unshare", *own, "sh", "-c", _FRR_START, "sh"]
        stack.enter_context(
            self.namespace.running(
                *command,
                str(programs),
                str(self._directory),
                stdout=log,
                stderr=log,
                env=environment,
            )
        )

    def watches(self) -> bool:
        """Whether BFD is up, as bfdd says by the socket for its shell."""
        with closing(socket.socket(socket.AF_UNIX)) as shell:
            shell.settimeout(5)
            shell.connect(str(self._directory / "bfdd.vty"))
            for command in ("enable", "show bfd peers json"):
                shell.sendall(command.encode() + b"\0")
                answer = b""
                while not answer[:-1].endswith(b"\0\0\0"):
                    answer += shell.recv(65_536)
        return b'"status":"up"' in answer


ROUTERS: dict[str, type[Router]] = {"bird": BirdRouter, "frr": FrrRouter}


def _bird_configuration(router: Router, wishes: Wishes) -> str:
    kernel = "".join(
        f"protocol kernel {{ {family} {{ export all; import none; }}; }}\n"
        for family in ("ipv4", "ipv6")
    )
    bfd = 'protocol bfd { interface "*" { interval 80 ms; multiplier 3; }; }\n'
    sessions = "".join(_bird_session(ours, peer, wishes) for ours, peer in router.sessions.items())
    return f"router id {router.address};\nprotocol device {{}}\n{kernel}{bfd}{sessions}"


def _bird_session(ours: str, peer: str, wishes: Wishes) -> str:
    own = "ipv6" if ":" in ours else "ipv4"
    families = ["ipv4", "ipv6"] if wishes.both_families else [own]
    extended = "extended next hop on;" if wishes.extended and own == "ipv6" else ""
    lines = [
        f"local {ours} as {wishes.as_number};",
        f"neighbor {peer} as 64512;",
        "direct;" if wishes.multihop is None else f"multihop {wishes.multihop};",
        "error wait time 1,2; connect delay time 1; connect retry time 1;",
        *(
            f"{family} {{ import all; export none; {extended if family == 'ipv4' else ''} }};"
            for family in families
        ),
        f'password "{wishes.password}";' if wishes.password else "",
        "ttl security on;" if wishes.gtsm else "",
        "bfd on;" if wishes.bfd else "",
    ]
    return f"protocol bgp lb_{own} {{\n" + "\n".join(lines) + "\n}\n"


_FRR_BFD = """\
bfd
 profile lab
  receive-interval 80
  transmit-interval 80
  detect-multiplier 3
"""

_FRR_START = """\
mount --bind "$2/group" /etc/group && mount -t tmpfs none /run && mkdir /run/frr || exit
for program in zebra bfdd bgpd; do
    [ $program = zebra ] || until [ -S /run/frr/zserv.api ]; do sleep 0.02; done
    "$1/$program" -u root -g root -f "$2/$program.conf" -P 0 --log stdout --vty_socket "$2" &
done
wait
"""
"""The shell's part: $1 is the folder of programs, $2 that of their configuration.

Who finds no zebra looks for it again only after 10 s.
"""


def _frr_configuration(router: Router, wishes: Wishes) -> str:
    lines = [
        f"router bgp {wishes.as_number}",
        f" bgp router-id {router.address}",
        " no bgp ebgp-requires-policy",
    ]
    for peer in router.sessions.values():
        settings = [
            "remote-as 64512",
            "timers connect 1",
            "advertisement-interval 0",
            f"password {wishes.password}" if wishes.password else "",
            "ttl-security hops 1" if wishes.gtsm else "",
            f"ebgp-multihop {wishes.multihop}" if wishes.multihop else "",
            "bfd profile lab" if wishes.bfd else "",
            "capability extended-nexthop" if wishes.extended and ":" in peer else "",
        ]
        lines += [f" neighbor {peer} {setting}" for setting in settings if setting]
    for family in ("ipv4", "ipv6"):
        lines.append(f" address-family {family} unicast")
        for peer in router.sessions.values():
            own = "ipv6" if ":" in peer else "ipv4"
            no = "" if wishes.both_families or own == family else "no "
            lines.append(f"  {no}neighbor {peer} activate")
        lines.append(" exit-address-family")
    return "\n".join(lines) + "\n"
