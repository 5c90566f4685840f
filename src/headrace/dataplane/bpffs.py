"""The folder that outlives the daemon: a bpffs of the instance's own, and the pins in it."""

import ctypes
import os
from pathlib import Path

from headrace.model import KernelError

_BPF_FS_MAGIC = 0xCAFE4A11
_AT_FDCWD = -100
_MOVING = "%new"  # `pin_name` gives no such name
_MNT_DETACH = 2
_RENAME_EXCHANGE = 2  # bpffs knows it since Linux 5.17


class _Statfs(ctypes.Structure):
    _fields_ = [("f_type", ctypes.c_long), ("rest", ctypes.c_long * 32)]


def ensure_bpffs(directory: Path) -> None:
    """Mount a bpffs at `directory`, readable by us alone, unless it is one already."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_bpffs(directory):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(directory).encode(), b"bpf", 0, b"mode=0700") != 0:
        raise KernelError(f"mount a bpffs at {directory}", ctypes.get_errno())


def is_bpffs(directory: Path) -> bool:
    """Whether a bpffs is mounted there: a folder alone would lose every pin."""
    status = _Statfs()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(str(directory).encode(), ctypes.byref(status)) != 0:
        return False
    return int(status.f_type) & 0xFFFFFFFF == _BPF_FS_MAGIC


def unmount_bpffs(directory: Path) -> None:
    """Unmount: everything pinned there and not otherwise held is gone.

    Somebody whose working directory it is does not keep it there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(str(directory).encode(), _MNT_DETACH) != 0:
        raise KernelError(f"unmount {directory}", ctypes.get_errno())


def pin_name(interface: str) -> str:
    """An interface's name as a pin may have it: bpffs refuses dots (`eth0.100`)."""
    return interface.replace("%", "%25").replace(".", "%2E")


def interface_of(name: str) -> str:
    """The inverse of `pin_name`."""
    return name.replace("%2E", ".").replace("%25", "%")


def moving_pin_name(interface: str) -> str:
    """What the pin of an interface is called while names are exchanged: no interface's pin is."""
    return f"{pin_name(interface)}{_MOVING}"


def is_moving(name: str) -> bool:
    """Whether a pin was left while names were exchanged."""
    return name.endswith(_MOVING)


def remove_pins(directory: Path) -> None:
    """Remove a folder of pins, if it is there."""
    if directory.exists():
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


def exchange(one: Path, other: Path) -> None:
    """Let two folders of one file system change places, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    places = _AT_FDCWD, str(one).encode(), _AT_FDCWD, str(other).encode()
    if libc.renameat2(*places, _RENAME_EXCHANGE) != 0:
        raise KernelError(f"exchange {one} and {other}", ctypes.get_errno())


def replace_pin(temporary: Path, final: Path) -> None:
    """Put a new pin in the place of an old one, never leaving none."""
    os.rename(temporary, final)  # noqa: PTH104 - the call that is atomic
