"""Ask the running kernel, not its version, whether it can do what Headrace needs.

Prints a line for each thing that is missing, with its remedy; exit code 0 when there is none. Needs
root and the standard library only: set-up runs it before anything is installed. What it makes lives
in a network and a mount namespace of its own, and goes with them.
"""

import ctypes
import errno
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC_PRIVATE = 0x4000 | 0x40000

BPF_PROG_LOAD = 5
BPF_LINK_CREATE = 28
BPF_PROG_TYPE_XDP = 6
BPF_XDP = 37
BPF_F_XDP_HAS_FRAGS = 1 << 5
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

VETH = "probe"

RETURN_XDP_PASS = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)  # r0 = 2; exit

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """A C call's result; raises OSError with its errno when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def bpf(command: int, attributes: bytes) -> int:
    """The new file descriptor that one BPF system call returns."""
    buffer = ctypes.create_string_buffer(attributes, 128)
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"unknown machine {platform.machine()}")
    return checked(libc.syscall(number, command, buffer, len(buffer)))


def load_program() -> int:
    """An XDP program that passes every packet, however many buffers it has: its descriptor."""
    instructions = ctypes.create_string_buffer(RETURN_XDP_PASS, len(RETURN_XDP_PASS))
    gpl = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        BPF_PROG_TYPE_XDP,
        len(RETURN_XDP_PASS) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(gpl),
        *(0, 0, 0, 0),
        BPF_F_XDP_HAS_FRAGS,
        b"headrace_probe",
    )
    return bpf(BPF_PROG_LOAD, attributes)


def enter_namespaces() -> None:
    """Leave the machine's network and mounts for empty, private ones."""
    checked(libc.unshare(CLONE_NEWNET | CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None))


def create_veth() -> None:
    """A pair of virtual interfaces."""
    if not shutil.which("ip"):
        return  # a machine before set-up; set-up asks again when iproute2 is there
    command = ["ip", "link", "add", VETH, "type", "veth", "peer", "name", "peer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(0, done.stderr.strip())


def attach_program() -> None:
    """The program on the virtual interface, held by a BPF link."""
    if shutil.which("ip"):
        index = socket.if_nametoindex(VETH)
        bpf(BPF_LINK_CREATE, struct.pack("=IIII", load_program(), index, BPF_XDP, 0))


def mount_bpffs() -> None:
    """A BPF file system, which keeps programs alive without a process."""
    with tempfile.TemporaryDirectory() as folder:
        checked(libc.mount(b"bpf", folder.encode(), b"bpf", 0, None))
        checked(libc.umount2(folder.encode(), 0))


@dataclass(frozen=True)
class Probe:
    """One ability of the kernel: how to try it, and what to do without it."""

    name: str
    attempt: Callable[[], object]
    remedy: str
    requires: tuple[Callable[[], object], ...] = ()  # attempts that must have gone well before


PROBES = [
    Probe(
        "network namespaces",
        enter_namespaces,
        "use a machine, a virtual machine or a privileged container (CONFIG_NET_NS)",
    ),
    Probe(
        "XDP programs in BPF",
        load_program,
        "use a kernel >= 5.18 with CONFIG_BPF_SYSCALL, outside an unprivileged container",
    ),
    Probe(
        "veth interfaces",
        create_veth,
        "load the module veth, or use a kernel with CONFIG_VETH",
        requires=(enter_namespaces,),
    ),
    Probe(
        "XDP on a veth interface, held by a BPF link",
        attach_program,
        "use a kernel >= 5.18 with CONFIG_BPF_SYSCALL and CONFIG_VETH",
        requires=(enter_namespaces, load_program, create_veth),
    ),
    Probe(
        "the BPF file system",
        mount_bpffs,
        "use a kernel with CONFIG_BPF_SYSCALL, in a container that may mount",
        requires=(enter_namespaces,),
    ),
]


def missing() -> Iterator[str]:
    """What this kernel refuses, a sentence each; what depends on a refused thing is not tried."""
    refused: set[Callable[[], object]] = set()
    for probe in PROBES:
        if not refused.isdisjoint(probe.requires):
            continue
        try:
            probe.attempt()
        except OSError as error:
            refused.add(probe.attempt)
            reason = f"{error.strerror}; {probe.remedy}"
            yield f"kernel {platform.release()} refuses {probe.name}: {reason}"


def main() -> int:
    """Print what is missing; 1 when something is."""
    problems = list(missing())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
