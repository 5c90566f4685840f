"""Debian's own kernel in an emulator: how it is started, and what its file system begins with."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from headrace.lab.initramfs import Archive, modules_in_order
from headrace.lab.tools import find_tool, find_unpacked

INIT_START = """\
#!/bin/sh
export PATH=/sbin:/bin:/usr/bin
/bin/busybox --install -s /bin 2>/dev/null
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
for module in /modules/*; do [ ! -e "$module" ] || insmod "$module"; done
"""
"""How `/init` begins: the console is the first serial line, the modules are loaded."""

_KERNEL_PACKAGE = "linux-image-cloud-amd64"
_KERNEL_ARGUMENTS = "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off nokaslr nosmp"


def emulator_command(archive: Path, *, memory_mb: int, serials: Sequence[str]) -> list[str]:
    """The emulator with nothing but serial lines, each as its option `-serial` takes it."""
    qemu = find_tool("qemu-system-x86_64")
    usr = qemu.parents[1]  # it may be unpacked anywhere, with its libraries and firmware
    libraries = usr / "lib" / "x86_64-linux-gnu"
    environment = [
        f"LD_LIBRARY_PATH={libraries}:{usr.parent / 'lib' / 'x86_64-linux-gnu'}",
        f"QEMU_MODULE_DIR={libraries / 'qemu'}",
    ]
    argv = ["env", *environment, str(qemu), "-M", "pc", "-accel", "tcg", "-cpu", "max"]
    argv += ["-m", str(memory_mb), "-nodefaults", "-no-user-config", "-no-reboot"]
    argv += ["-display", "none", "-L", str(usr / "share/qemu"), "-L", str(usr / "share/seabios")]
    for serial in serials:
        argv += ["-serial", serial]
    argv += ["-kernel", str(_kernel()), "-initrd", str(archive), "-append", _KERNEL_ARGUMENTS]
    return argv


def base_archive(modules: Iterable[str] = ()) -> Archive:
    """A file system with a shell, `ip`, this Python's interpreter and kernel modules."""
    archive = Archive()
    for folder in ("proc", "sys", "dev", "tmp", "run", "var/run"):
        archive.add_folder(folder)
    archive.add_program(Path("/bin/sh").resolve(), "/bin/sh")
    archive.add_program(find_tool("busybox"), "/bin/busybox")
    archive.add_program(find_tool("ip").resolve(), "/sbin/ip")
    for index, module in enumerate(modules_in_order(_modules_folder(), modules)):
        archive.add_copy(module, f"/modules/{index:03}-{module.name}")
    archive.add_program(interpreter())
    return archive


def interpreter() -> Path:
    """The interpreter itself, not a virtual environment's link to it."""
    return Path(sys.executable).resolve()


def _kernel() -> Path:
    return find_unpacked("boot/vmlinuz-*", _KERNEL_PACKAGE)


def _modules_folder() -> Path:
    release = _kernel().name.removeprefix("vmlinuz-")
    return find_unpacked(f"lib/modules/{release}", _KERNEL_PACKAGE)
