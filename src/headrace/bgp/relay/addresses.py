"""The own address of the other family, beside the one that a session has."""

import array
import fcntl
import ipaddress
import socket
import struct

from .messages import version_of

_SIOCGIFCONF = 0x8912  # every IPv4 address of every interface
_ENTRY_BYTES = 40  # struct ifreq on 64-bit machines: the name, and a sockaddr in 24 bytes
_LIMIT_ADDRESSES = 1_024
_INET6 = "/proc/net/if_inet6"
_GLOBAL = "00"  # the scope
_UNUSABLE = 0x20 | 0x40 | 0x08  # deprecated, tentative, failed duplicate detection


def address_beside(local: str) -> str | None:
    """An address of the other family on the interface that has this one; None without."""
    of_v4, of_v6 = _read_ipv4(), _read_ipv6()
    own, others = (of_v6, of_v4) if version_of(local) == 6 else (of_v4, of_v6)
    names = {name for name, address in own if address == local}
    return next((address for name, address in others if name in names), None)


def _read_ipv4() -> list[tuple[str, str]]:
    buffer = array.array("B", bytes(_LIMIT_ADDRESSES * _ENTRY_BYTES))
    address, size = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFCONF, struct.pack("iL", size, address))
    (filled,) = struct.unpack_from("i", answer)
    return decode_ipv4(bytes(buffer[:filled]))


def _read_ipv6() -> list[tuple[str, str]]:
    try:
        with open(_INET6, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow
            return decode_ipv6(file.read())
    except OSError:
        return []  # a kernel without IPv6


def decode_ipv4(data: bytes) -> list[tuple[str, str]]:
    """Interfaces and addresses from the kernel's `struct ifreq`s; a label counts as one."""
    return [
        (
            data[start : start + 16].split(b"\0")[0].split(b":")[0].decode(),
            socket.inet_ntoa(data[start + 20 : start + 24]),
        )
        for start in range(0, len(data), _ENTRY_BYTES)
    ]


def decode_ipv6(text: str) -> list[tuple[str, str]]:
    """Interfaces and their global addresses from the lines of `/proc/net/if_inet6`."""
    rows = [line.split() for line in text.splitlines()]
    return [
        (name, str(ipaddress.IPv6Address(int(digits, 16))))
        for digits, _, _, scope, flags, name in rows
        if scope == _GLOBAL and not int(flags, 16) & _UNUSABLE
    ]
