"""An endpoint that knows no more than the RFCs: it takes the outer header off, or refuses."""

from dataclasses import dataclass

from scapy.utils import checksum

IPIP_PROTOCOLS = {4: 4, 41: 6}  # to the version inside
UDP = 17


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an endpoint makes of a frame; without an outer header both addresses are None."""

    inner: bytes
    outer_source: bytes | None = None
    outer_destination: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    """The IP header at the front of a packet."""

    size: int
    length: int  # of the packet
    protocol: int
    source: bytes
    destination: bytes
    sums_up: bool


def decapsulate(frame: bytes, gue_port: int) -> Arrived:
    """The packet that a frame brings; ValueError if any header is not as it must be."""
    at = 18 if frame[12:14] == b"\x81\x00" else 14
    packet = frame[at:]
    version = packet[0] >> 4
    _require(frame[at - 2 : at] == {4: b"\x08\x00", 6: b"\x86\xdd"}[version], "the type fits")
    outer = _ipv4(packet) if version == 4 else _ipv6(packet)
    _require(outer.length <= len(packet), "the packet is whole")
    payload = packet[outer.size : outer.length]
    is_gue = outer.protocol == UDP and int.from_bytes(payload[2:4], "big") == gue_port
    if not is_gue and outer.protocol not in IPIP_PROTOCOLS:
        return Arrived(packet[: outer.length])
    _require(outer.sums_up, "the outer header sums up")
    if is_gue:
        _require(int.from_bytes(payload[4:6], "big") == len(payload), "UDP has all of the packet")
        payload = payload[8:]
    else:
        _require(payload[0] >> 4 == IPIP_PROTOCOLS[outer.protocol], "the protocol is the version's")
    return Arrived(payload, outer.source, outer.destination)


def _ipv4(packet: bytes) -> _Header:
    size = (packet[0] & 15) * 4
    length = int.from_bytes(packet[2:4], "big")
    sums_up = checksum(packet[:size]) == 0
    return _Header(size, length, packet[9], packet[12:16], packet[16:20], sums_up)


def _ipv6(packet: bytes) -> _Header:
    length = 40 + int.from_bytes(packet[4:6], "big")
    return _Header(40, length, packet[6], packet[8:24], packet[24:40], sums_up=True)


def _require(holds: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"not so: {rule}")
