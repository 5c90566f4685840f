"""The program that sends this node's own probes the way clients' packets go.

See `bpf/probe.bpf.c`. It runs where a route names it; `underlay` makes the routes.
"""

import ctypes
import os
from pathlib import Path as FilePath

from headrace.dataplane import layout, libbpf
from headrace.dataplane.maps import HashMap
from headrace.model import Encapsulation, IPAddress, NextHop, Path

_OBJECT = FilePath(__file__).parent / "objects" / "probe.bpf.o"
_HEADER_BYTES = 48  # IPv6 and UDP
_ETHERTYPE_VLAN = 0x8100
_OUTER_PROTOCOLS = {Encapsulation.IPIP: 0, Encapsulation.GUE: 17}  # 0: the program fills it in
_UDP_BYTES = 8
_OUTER_BYTES = {4: 20, 6: 40}
_ENCAPSULATIONS = {
    (Encapsulation.IPIP, 4): layout.ENCAPSULATION_IPIP4,
    (Encapsulation.IPIP, 6): layout.ENCAPSULATION_IPIP6,
    (Encapsulation.GUE, 4): layout.ENCAPSULATION_GUE4,
    (Encapsulation.GUE, 6): layout.ENCAPSULATION_GUE6,
}


class _Index(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32)]


class _ProbePath(ctypes.Structure):
    _fields_ = [
        ("header", ctypes.c_uint8 * _HEADER_BYTES),
        ("ifindex", ctypes.c_uint32),
        ("encapsulation", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("size", ctypes.c_uint8),
        ("zero", ctypes.c_uint8),
    ]


class ProbeTunnel:
    """The loaded program and its paths. Nothing of it is pinned: routes keep it alive."""

    def __init__(self) -> None:
        loaded = libbpf.BpfObject(_OBJECT)
        try:
            loaded.load()
            self._map_fd = loaded.map_fd("probe_paths")
            self._program_fd = loaded.program_fd("probe")
        finally:
            loaded.close()
        self._paths = HashMap(self._map_fd, _Index, _ProbePath)

    @property
    def fd(self) -> int:
        """The program, for `encap bpf xmit` of a route."""
        return self._program_fd

    def put(self, index: int, path: Path, gue_port: int) -> None:
        """Have packets whose mark ends in `index` take a path; a packet sees the old or the new."""
        self._paths.put(_Index(index), _encode(path, gue_port))

    def remove(self, index: int) -> None:
        """Drop packets whose mark ends in `index`."""
        self._paths.remove(_Index(index))

    def close(self) -> None:
        """Let go of the program; the routes that name it keep it."""
        os.close(self._map_fd)
        os.close(self._program_fd)


def overhead_bytes(path: Path) -> int:
    """How much larger than a client's packet the IP packet is that carries it."""
    if path.outer_destination is None:
        return 0
    udp = _UDP_BYTES if path.encapsulation is Encapsulation.GUE else 0
    return _OUTER_BYTES[path.outer_destination.version] + udp


def _encode(path: Path, gue_port: int) -> _ProbePath:
    """The entry of a path."""
    source, destination = path.outer_source, path.outer_destination
    if source is None or destination is None:
        header = _frame_header(path.next_hop)
        entry = _ProbePath(ifindex=path.next_hop.ifindex, encapsulation=layout.ENCAPSULATION_L2)
    else:
        header = _outer_header(path.encapsulation, source, destination, gue_port)
        entry = _ProbePath(
            encapsulation=_ENCAPSULATIONS[path.encapsulation, destination.version],
            flags=layout.ENDPOINT_SOURCE_HASHED * path.source_hashed,
        )
    entry.size = len(header)
    entry.header[: len(header)] = header
    return entry


def _frame_header(hop: NextHop) -> bytes:
    """Both MAC addresses, the tag, and room for the ethertype."""
    tag = _ETHERTYPE_VLAN.to_bytes(2, "big") + hop.tag.to_bytes(2, "big") if hop.tag else b""
    return hop.destination_mac + hop.source_mac + tag + bytes(2)


def _outer_header(
    encapsulation: Encapsulation, source: IPAddress, destination: IPAddress, gue_port: int
) -> bytes:
    """The outer headers; what depends on the packet is zero."""
    protocol = _OUTER_PROTOCOLS[encapsulation]
    addresses = source.packed + destination.packed
    if destination.version == 4:
        ip = b"\x45" + bytes(5) + b"\x40\x00" + bytes((64, protocol, 0, 0)) + addresses  # DF, TTL
    else:
        ip = b"\x60" + bytes(5) + bytes((protocol, 64)) + addresses
    if encapsulation is Encapsulation.GUE:
        return ip + bytes(2) + gue_port.to_bytes(2, "big") + bytes(4)
    return ip
