"""A virtual machine that holds a lab's guests: Debian's own kernel, emulated, with its tunnels.

Each guest is a network namespace inside, whose interfaces are taps in the node's namespace outside.
The file system is in memory: busybox, `ip`, Python and the prover's programs, from this machine.
"""

import asyncio
import fcntl
import os
import re
import shlex
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

from headrace.lab.emulator import (
    INIT_START,
    base_archive,
    emulator_command,
    interpreter,
)
from headrace.lab.guest_script import render_guest
from headrace.lab.laboratory import Laboratory
from headrace.lab.namespaces import run_in_namespace
from headrace.lab.network import join_tap
from headrace.lab.processes import ProcessId
from headrace.lab.topology import LinkEnd, Topology
from headrace.lab.waiting import poll
from headrace.model.errors import KernelError, UnavailableError

_MODULES = (
    *("virtio_pci", "virtio_net", "ipip", "ip6_tunnel", "sit", "fou", "sctp"),
    "sctp_diag",  # so that `ss` inside can show what SCTP does
)
_MEMORY_MB = 384
_BOOT_TIMEOUT_S = 120.0
"""It takes 6 s on an idle machine, and 50 beside four busy processes on two cores."""
_COMMAND_TIMEOUT_S = 30.0
_LIMIT_OUTPUT_BYTES = 1024 * 1024

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000  # without IFF_VNET_HDR, so that every packet is a whole one

_PROGRAMS = "/lab"
_NODES = "/nodes"
_READY = "READY"
_EXIT = re.compile(r"EXIT=(\d+)\r?\n")

_INIT_END = """\
{guests}
echo {ready}
while read -r line; do
    eval "$line" </dev/null
    echo "EXIT=$?"
done
"""

_IMPORTED_BY_PROGRAMS = "import contextlib, json, os, select, socket, struct"


class Machine:
    """The running machine; commands go in by its serial console, one at a time."""

    def __init__(
        self, lab: Laboratory, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._lab = lab
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._servers = 0

    @classmethod
    async def start(cls, lab: Laboratory) -> Self:
        """Boot, and make every guest what the topology says."""
        process = await asyncio.to_thread(_launch, lab)
        log = _console_log(lab)

        async def probe() -> bool | None:
            if not process.is_alive():
                raise UnavailableError(f"the virtual machine has ended:\n{_tail(lab)}")
            return True if log.exists() and _READY in log.read_text(errors="replace") else None

        if await poll(probe, timeout_s=_BOOT_TIMEOUT_S) is None:
            raise UnavailableError(f"the virtual machine does not boot:\n{_tail(lab)}")
        if "FAILED" in log.read_text(errors="replace"):
            raise UnavailableError(f"a guest's commands failed:\n{_tail(lab)}")
        reader, writer = await asyncio.open_unix_connection(
            _console_socket(lab), limit=_LIMIT_OUTPUT_BYTES
        )
        return cls(lab, reader, writer)

    async def run(self, node: str, argv: Sequence[str]) -> str:
        """What a command on a guest prints; UnavailableError when it fails."""
        return await self._type(f"ip netns exec {node} {shlex.join(argv)}")

    async def start_server(self, node: str, argv: Sequence[str]) -> None:
        """Start one of the prover's servers on a guest, and wait until it listens."""
        self._servers += 1
        log = f"/tmp/server{self._servers}.log"  # noqa: S108 - inside the machine
        await self._type(f"ip netns exec {node} {shlex.join(argv)} >{log} 2>&1 &")
        await self._type(f"until grep -q listening {log}; do sleep 0.1; done")

    async def serve_http(self, node: str, name: str, port: int) -> None:
        """A real HTTP server on every address of a guest; its page is its name."""
        folder = f"/www/{node}"
        await self._type(f"mkdir -p {folder} && echo {shlex.quote(name)} >{folder}/index.html")
        await self.run(node, ["httpd", "-h", folder, "-p", f"[::]:{port}"])

    async def close(self) -> None:
        """Let go of the console; the machine ends with its lab."""
        self._writer.close()
        await self._writer.wait_closed()

    async def _type(self, line: str) -> str:
        async with self._turn:
            self._writer.write(f"{line}\n".encode())
            try:
                async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                    output, code = await self._read_answer()
            except TimeoutError:
                raise UnavailableError(f"no end of this on the virtual machine: {line}") from None
        if code:
            raise UnavailableError(f"{line} on the virtual machine ended with {code}:\n{output}")
        return output

    async def _read_answer(self) -> tuple[str, int]:
        text = ""
        while (found := _EXIT.search(text)) is None:
            data = await self._reader.read(_LIMIT_OUTPUT_BYTES)
            if not data:
                raise UnavailableError(f"the virtual machine has ended:\n{_tail(self._lab)}")
            text += data.decode(errors="replace")
        return text[: found.start()].replace("\r", ""), int(found[1])


def guest_program(file_name: str, *arguments: str) -> list[str]:
    """One of the prover's programs, as it is called on a guest."""
    return [str(interpreter()), "-I", "-S", f"{_PROGRAMS}/{file_name}", *arguments]


def _launch(lab: Laboratory) -> ProcessId:
    archive = lab.path / "machine.cpio"
    archive.write_bytes(_build_archive(lab.topology))
    with ExitStack() as stack:
        taps = []
        for end in _interfaces(lab.topology):
            namespace, tap = lab.namespace(end.node), f"t{end.peer_node}"
            taps.append(run_in_namespace(namespace, partial(_open_tap, tap)))
            stack.callback(os.close, taps[-1])
            join_tap(namespace, tap, end)
        argv = _qemu_command(lab, archive, taps)
        return lab.start(lab.topology.guests[0].name, argv, "machine")


def _qemu_command(lab: Laboratory, archive: Path, taps: Sequence[int]) -> list[str]:
    """The emulator without anything but a console and the interfaces."""
    console = f"socket,id=console,path={_console_socket(lab)},server=on,wait=off"
    argv = emulator_command(archive, memory_mb=_MEMORY_MB, serials=["chardev:console"])
    argv += ["-chardev", f"{console},logfile={_console_log(lab)}"]
    for index, tap in enumerate(taps):
        argv += ["-netdev", f"tap,id=n{index},fd={tap}"]
        argv += ["-device", f"virtio-net-pci,netdev=n{index},mac={_mac(index)},romfile="]
    return argv


def _build_archive(topology: Topology) -> bytes:
    archive = base_archive(_MODULES)
    for file in _python_files():
        archive.add_program(file) if file.suffix == ".so" else archive.add_copy(file)
    for program in Path(__file__).parent.glob("prover_*.py"):
        archive.add_copy(program, f"{_PROGRAMS}/{program.name}")
    for node in topology.guests:
        script = "\n".join(render_guest(topology, node))
        archive.add_file(f"{_NODES}/{node.name}", f"{script}\n".encode())
    init = INIT_START + _INIT_END.format(guests="\n".join(_render_guests(topology)), ready=_READY)
    archive.add_file("/init", init.encode())
    return archive.finish()


def _render_guests(topology: Topology) -> Iterator[str]:
    """Give each guest its namespace and its interfaces, known by their MACs; then its commands."""
    for node in topology.guests:
        yield f"ip netns add {node.name}"
    for index, end in enumerate(_interfaces(topology)):
        yield f"device=$(grep -l {_mac(index)} /sys/class/net/*/address | cut -d/ -f5)"
        yield f"ip link set dev $device netns {end.node} name {end.device}"
    for node in topology.guests:
        yield f"ip netns exec {node.name} sh -e {_NODES}/{node.name} || echo FAILED {node.name}"


def _interfaces(topology: Topology) -> list[LinkEnd]:
    """The interfaces of all guests; the order gives each its MAC."""
    return [end for node in topology.guests for end in topology.link_ends(node.name)]


def _mac(index: int) -> str:
    return f"52:54:00:00:00:{index:02x}"


def _open_tap(name: str) -> int:
    """Make a tap in the namespace that we are in; it lasts as long as its descriptor."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR)
        os.set_inheritable(fd, True)  # noqa: FBT003 - has no keyword
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError as error:
        raise KernelError(f"make the tap {name}", error.errno or 0) from error
    return fd


def _python_files() -> list[Path]:
    """The modules of the standard library that the prover's programs import, and as compiled."""
    code = f"{_IMPORTED_BY_PROGRAMS}\nimport sys\nfor module in list(sys.modules.values()):\n"
    code += "    for name in ('__file__', '__cached__'):\n"
    code += "        if path := getattr(module, name, None): sys.stdout.write(path + '\\n')\n"
    done = subprocess.run(
        [str(interpreter()), "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return [path for line in done.stdout.splitlines() if (path := Path(line)).is_file()]


def _console_socket(lab: Laboratory) -> Path:
    return lab.path / "machine.sock"


def _console_log(lab: Laboratory) -> Path:
    return lab.path / "console.log"


def _tail(lab: Laboratory) -> str:
    """The last words of the emulator and of the guests' console."""
    logs = (lab.path / "machine.log", _console_log(lab))
    text = "".join(log.read_text(errors="replace") for log in logs if log.exists())
    return "\n".join(text.splitlines()[-20:])
