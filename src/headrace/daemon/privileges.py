"""What the daemon may still do once its programs are loaded.

Loading mounts a file system and opens what belongs to others; the rest of the daemon's life needs
five capabilities. The user stays who it is: docs/explanation/security.md says why.
"""

import ctypes
from collections.abc import Collection
from enum import IntEnum

from headrace.model import KernelError


class Capability(IntEnum):
    """Numbers of linux/capability.h."""

    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    NET_RAW = 13
    PERFMON = 38
    BPF = 39


KEPT = frozenset(
    {
        Capability.BPF,  # programs and maps, again when the document needs larger ones
        Capability.PERFMON,  # pointers in programs
        Capability.NET_ADMIN,  # XDP links, probe routes, marks of sockets
        Capability.NET_RAW,  # pings, and the ICMP errors about our outer packets
        Capability.NET_BIND_SERVICE,  # BIRD listens on port 179, and a document may choose it
    }
)

_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: 64 bits in two halves


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Half(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def drop_privileges(keep: Collection[Capability] = KEPT) -> None:
    """Give up every capability but these, for this thread, its later ones and all its children.

    Call it before there are other threads: each has its own. Children get no more than we have,
    root's neither, because of no_new_privs.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    on, unused = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, on, unused, unused, unused) != 0:
        raise KernelError("prctl PR_SET_NO_NEW_PRIVS", ctypes.get_errno())
    header = _Header(_VERSION_3, 0)
    halves = (_Half * 2)()
    if libc.capget(ctypes.byref(header), halves) != 0:
        raise KernelError("capget", ctypes.get_errno())
    for index, half in enumerate(halves):
        mask = sum(1 << (each % 32) for each in keep if each // 32 == index)
        half.permitted &= mask
        half.effective = half.permitted
        half.inheritable &= mask  # with a user of its own, children live by ambient ones
    if libc.capset(ctypes.byref(header), halves) != 0:
        raise KernelError("capset", ctypes.get_errno())
