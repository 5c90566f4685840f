"""Network namespaces: make and remove named ones, run a function or a program inside one.

A namespace is entered by a thread of its own that ends with the function, so that no other code of
this process can ever find itself in the wrong network. Names are those of `ip netns`.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute, NetlinkError

from headrace.model.errors import ConflictError, KernelError, UnavailableError

NETNS_FOLDER = Path("/run/netns")

_CLONE_NEWNET = 0x4000_0000
_MNT_DETACH = 2
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 0x10_0000

_T = TypeVar("_T")


def create_namespace(name: str) -> int:
    """Make an empty network namespace; its inode number, which is its identity."""
    _share_netns_folder()
    path = NETNS_FOLDER / name
    try:
        path.touch(mode=0o444, exist_ok=False)
    except FileExistsError as error:
        raise ConflictError(f"network namespace {name} exists already") from error
    try:
        _in_own_thread(lambda: _unshare_and_pin(path))
    except KernelError:
        path.unlink()
        raise
    return path.stat().st_ino


def remove_namespace(name: str) -> None:
    """Take the name away; the kernel ends the namespace when no process is left inside."""
    path = NETNS_FOLDER / name
    _libc().umount2(os.fsencode(path), _MNT_DETACH)  # EINVAL: only a file was left of it
    path.unlink(missing_ok=True)


def namespace_inode(name: str) -> int | None:
    """The identity of a named namespace; None when there is none of that name."""
    try:
        return (NETNS_FOLDER / name).stat().st_ino
    except FileNotFoundError:
        return None


def run_in_namespace(name: str, function: Callable[[], _T]) -> _T:
    """Call a function in a thread that has entered the namespace; what it returns."""

    def enter_and_call() -> _T:
        _enter(name)
        return function()

    return _in_own_thread(enter_and_call)


def command_in_namespace(name: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program inside, in the same mount namespace as ours.

    `ip netns exec` would give it a mount namespace of its own, which does not see a BPF file system
    that is mounted later.
    """
    return ["nsenter", f"--net={NETNS_FOLDER / name}", "--", *argv]


def processes_in_namespaces(inodes: Sequence[int]) -> list[int]:
    """The processes whose network namespace is one of these; never those of our own namespace."""
    own = Path("/proc/self/ns/net").stat().st_ino
    wanted = set(inodes) - {own}
    return [pid for pid in _all_pids() if _namespace_of(pid) in wanted]


def has_ipip_device(scratch_name: str) -> bool:
    """Whether this kernel can make an `ipip` tunnel device, tried in a namespace of its own."""
    create_namespace(scratch_name)
    try:
        return run_in_namespace(scratch_name, _try_ipip)
    finally:
        remove_namespace(scratch_name)


def _try_ipip() -> bool:
    with IPRoute() as netlink:
        try:
            netlink.link("add", ifname="probe", kind="ipip", ipip_remote="192.0.2.1")
        except NetlinkError as error:
            if error.code in {errno.EOPNOTSUPP, errno.ENOENT}:
                return False
            raise KernelError("make an ipip device", error.code) from error
    return True


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _namespace_of(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _in_own_thread(function: Callable[[], _T]) -> _T:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as pool:
        return pool.submit(function).result()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enter(name: str) -> None:
    try:
        fd = os.open(NETNS_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UnavailableError(f"there is no network namespace {name}") from error
    try:
        _check(_libc().setns(fd, _CLONE_NEWNET), f"enter network namespace {name}")
    finally:
        os.close(fd)


def _unshare_and_pin(path: Path) -> None:
    libc = _libc()
    _check(libc.unshare(_CLONE_NEWNET), "make a network namespace")
    source = b"/proc/thread-self/ns/net"
    _check(libc.mount(source, os.fsencode(path), b"none", _MS_BIND, None), f"name {path.name}")


def _share_netns_folder() -> None:
    """Make the folder of names a shared mount, so that other mount namespaces see new names."""
    NETNS_FOLDER.mkdir(mode=0o755, exist_ok=True)
    libc, folder = _libc(), os.fsencode(NETNS_FOLDER)
    if libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None) == 0:
        return
    _check(libc.mount(folder, folder, b"none", _MS_BIND | _MS_REC, None), f"bind {NETNS_FOLDER}")
    _check(libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None), f"share {NETNS_FOLDER}")


def _check(result: int, operation: str) -> None:
    if result != 0:
        raise KernelError(operation, ctypes.get_errno())
