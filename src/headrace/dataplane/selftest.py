"""Whether this kernel loses big packets that a native XDP program redirects.

Linux 6.1 drops a redirected packet of more than one buffer and counts nothing; 6.18 carries it.
So we try: in a network namespace of our own, which ends with its thread, a program on one end of a
veth pair sends back what it gets, a small frame and one of more than a page.
"""

import ctypes
import fcntl
import functools
import os
import socket
import struct
import threading
import time

import structlog

from headrace.dataplane import libbpf
from headrace.model import KernelError

SAFE_MTU_BYTES = 3506
"""Packets up to this lie in one buffer of a veth with 4,096-byte pages and are never lost."""

_CLONE_NEWNET = 0x40000000
_MTU_BYTES = 9000
_ETHERTYPE = 0x88B5  # IEEE 802, for local experiments
_SMALL_BYTES, _BIG_BYTES = 1000, 4000
_PATIENCE_S = 0.5
_SIOCGIFMTU = 0x8921

_log = structlog.get_logger()


@functools.cache
def loses_big_redirects() -> bool:
    """Whether native mode loses redirected packets above `SAFE_MTU_BYTES`; tried once a process.

    Where it cannot be tried the kernel is taken to be right, and the log says so.
    """
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_try()), name="xdp-selftest")
    thread.start()
    thread.join()
    return answers == [True]


def mtu_bytes(interface: str) -> int:
    """The MTU of an interface. Raises KernelError: it may have gone just now."""
    request = struct.pack("16si12x", interface.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _SIOCGIFMTU, request)
        except OSError as error:
            raise KernelError(f"read the MTU of {interface}", error.errno or 0) from error
    return int(struct.unpack("16si12x", answer)[1])


def _try() -> bool:
    """In a thread that may lose its network namespace: whether only the small frame came back."""
    try:
        _unshare()
        near, far = _make_veth()
        small, big = _come_back(near, far)
    except (KernelError, OSError) as error:
        _log.warning("redirect_not_tested", because=str(error))
        return False
    if not small:
        _log.warning("redirect_not_tested", because="not even a small frame came back")
    return small and not big


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise KernelError("make a network namespace", ctypes.get_errno())


def _make_veth() -> tuple[int, int]:
    """A veth pair that is up: the indexes of its ends."""
    # Imported here: it takes 0.2 s, and most commands that import this room never attach.
    from pyroute2.iproute import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as netlink:
            netlink.link("add", ifname="near", kind="veth", peer={"ifname": "far"})
            near, far = (netlink.link_lookup(ifname=name)[0] for name in ("near", "far"))
            for index in (near, far):
                netlink.link("set", index=index, mtu=_MTU_BYTES, state="up")
    except NetlinkError as error:
        raise KernelError("make a veth pair", error.code) from error
    return near, far


def _come_back(near: int, far: int) -> tuple[bool, bool]:
    """Whether a small and a big frame come back to `near` from a program on `far`."""
    programs = [_instructions_to_pass(), _instructions_to_redirect(far)]
    opened: list[int] = []
    try:
        for index, instructions in zip((near, far), programs, strict=True):
            opened.append(libbpf.load_xdp_instructions(instructions))
            opened.append(libbpf.create_xdp_link(opened[-1], index, libbpf.XDP_FLAGS_DRV_MODE))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE)) as end:
            end.bind(("near", _ETHERTYPE))
            return _comes_back(end, _SMALL_BYTES), _comes_back(end, _BIG_BYTES)
    finally:
        for fd in opened:
            os.close(fd)


def _comes_back(end: socket.socket, size: int) -> bool:
    frame = b"\xff" * 6 + b"\x02" + bytes(5) + struct.pack("!H", _ETHERTYPE) + bytes(size)
    end.send(frame)
    deadline = time.monotonic() + _PATIENCE_S
    while (left_s := deadline - time.monotonic()) > 0:
        end.settimeout(left_s)
        try:
            received, (_, _, kind, *_) = end.recvfrom(_MTU_BYTES)
        except TimeoutError:
            return False
        if received == frame and kind != socket.PACKET_OUTGOING:
            return True
    return False


def _instructions_to_pass() -> bytes:
    return _instruction(0xB7, 0, 2) + _instruction(0x95)  # r0 = XDP_PASS; exit


def _instructions_to_redirect(ifindex: int) -> bytes:
    """r1 = ifindex; r2 = 0; call bpf_redirect; exit."""
    arguments = _instruction(0xB7, 1, ifindex) + _instruction(0xB7, 2, 0)
    return arguments + _instruction(0x85, 0, 23) + _instruction(0x95)


def _instruction(code: int, register: int = 0, immediate: int = 0) -> bytes:
    """One struct bpf_insn (uapi/linux/bpf.h)."""
    return struct.pack("=BBhi", code, register, 0, immediate)
