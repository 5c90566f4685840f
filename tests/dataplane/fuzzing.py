"""Random packets that are nearly right: one valid frame, then a few fields or bytes changed."""

import random
import struct

from headrace.dataplane.reference import checksum

from .rig import BRIDGE_MAC, OWN_MAC, ROUTER_MAC, VIP, VIP_ANY_PORT, VIP_NO_PATH, VIP_SMALL_MTU

_DESTINATIONS = [v.packed for v in (VIP, VIP_ANY_PORT, VIP_NO_PATH, VIP_SMALL_MTU)]
_DESTINATIONS.append(bytes([11, 11, 11, 1]))
_PORTS = (8080, 53, 443, 80, 0, 65535, 9)
_FRAGMENTS = (0, 0, 0, 0, 0x4000, 0x2000, 0x00B9, 0x20B9, 0x8000)
_ETHERNET_MIN = 14


def random_packet(rng: random.Random) -> bytes:
    """A frame of at least 14 bytes, as a driver would hand over."""
    packet = bytearray(_frame(rng))
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 8))):
        packet[rng.randrange(min(len(packet), 60))] = rng.randrange(256)
    if rng.random() < 0.1:
        del packet[rng.randrange(_ETHERNET_MIN, len(packet)) :]
    return bytes(packet)


def _frame(rng: random.Random) -> bytes:
    mac = rng.choice((OWN_MAC, OWN_MAC, BRIDGE_MAC, ROUTER_MAC))
    options = bytes(4 * rng.choice((0, 0, 0, 1, 10)))
    payload = rng.randbytes(rng.choice((0, 1, 18, 100, 1440, 1441, 1473)))
    ports = struct.pack("!HH", rng.randrange(65536), rng.choice(_PORTS))
    segment = ports + rng.randbytes(16) + payload
    total = 20 + len(options) + len(segment)
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45 + len(options) // 4,
            rng.randrange(256),
            total if rng.random() < 0.95 else rng.randrange(65536),
            rng.randrange(65536),
            rng.choice(_FRAGMENTS),
            rng.randrange(256),
            rng.choice((6, 6, 6, 17, 17, 1, 0, 4, rng.randrange(256))),
            0,
            rng.randbytes(4),
            rng.choice(_DESTINATIONS),
        )
        + options
    )
    struct.pack_into("!H", header, 10, checksum(bytes(header)))
    trailer = bytes(rng.choice((0, 0, 0, 6, 46)))
    return mac + ROUTER_MAC + b"\x08\x00" + bytes(header) + segment + trailer
