"""Switch off what a veth leaves to the hardware that it does not have, as `ethtool -K` would.

A sender that leaves checksums to the device hands XDP half a checksum, and the endpoint drops the
packet; segmentation offload hands it 64 kB at once.
"""

import array
import fcntl
import socket
import struct
from enum import IntEnum

from headrace.model.errors import KernelError

_SIOCETHTOOL = 0x8946


class Offload(IntEnum):
    """An offload, by the ETHTOOL_S... command that sets it (linux/ethtool.h)."""

    TX_CHECKSUM = 0x17
    TSO = 0x1F
    GSO = 0x24
    GRO = 0x2C


def set_offloads(device: str, *, gro: bool) -> None:
    """Make every packet of a device a whole packet of its own; call it inside the namespace.

    Generic receive offload is what wakes a veth's receive queue: where an XDP redirect must arrive
    in a device without an XDP program, it has to be on (the frames vanish otherwise).
    """
    wanted = {Offload.TX_CHECKSUM: False, Offload.TSO: False, Offload.GSO: False, Offload.GRO: gro}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for offload, enabled in wanted.items():
            _set_offload(control, device, offload, enabled=enabled)


def _set_offload(control: socket.socket, device: str, offload: Offload, *, enabled: bool) -> None:
    value = array.array("B", struct.pack("=II", offload, int(enabled)))  # struct ethtool_value
    address, _ = value.buffer_info()
    request = struct.pack("16sP16x", device.encode(), address)  # struct ifreq
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        operation = f"set {offload.name.lower()} of {device}"
        raise KernelError(operation, error.errno or 0) from error
