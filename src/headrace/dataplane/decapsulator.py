"""The endpoint's program: unwraps IP in IP and GUE from known load balancers.

See `bpf/tailrace.bpf.c`.
"""

import ctypes
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_network
from pathlib import Path

from headrace.dataplane.loader import Loader, Program
from headrace.dataplane.maps import Counters, HashMap
from headrace.dataplane.verdicts import all_verdicts
from headrace.model import IPAddress, IPNetwork, Port, VerdictCount

_PROGRAM = Program("tailrace", ("prefixes", "settings", "verdict_counts"), "--interface")
_ROLE_AND_FAMILY_BITS = 32


class Role(IntEnum):
    """What an address means to the endpoint; as `enum role` in the C."""

    BALANCER = 1
    OWN = 2
    VIP = 3


class _AddressKey(ctypes.Structure):
    _fields_ = [
        ("prefix_length", ctypes.c_uint32),
        ("role", ctypes.c_uint8),
        ("family", ctypes.c_uint8),
        ("zero", ctypes.c_uint8 * 2),
        ("address", ctypes.c_uint8 * 16),
    ]


class _Present(ctypes.Structure):
    _fields_ = [("one", ctypes.c_uint32)]


class _Index(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32)]


class _TailSettings(ctypes.Structure):
    _fields_ = [("gue_port", ctypes.c_uint8 * 2), ("zero", ctypes.c_uint8 * 6)]


@dataclass(frozen=True, slots=True)
class Decapsulation:
    """Which packets an endpoint unwraps."""

    balancers: frozenset[IPNetwork]  # outer sources
    own: frozenset[IPAddress]  # outer destinations
    vips: frozenset[IPNetwork]  # inner destinations
    gue_port: int  # outer UDP destination port


class Decapsulator:
    """The endpoint's program and maps, opened from their pins or made anew."""

    def __init__(self, directory: Path) -> None:
        self._loader = Loader(_PROGRAM, directory)
        self._loader.load({"verdict_counts": len(all_verdicts(_PROGRAM.name))})
        self._prefixes = HashMap(self._loader.map_fds["prefixes"], _AddressKey, _Present)
        self._settings = HashMap(self._loader.map_fds["settings"], _Index, _TailSettings)
        self._counts = Counters(self._loader.map_fds["verdict_counts"])

    def configure(self, wanted: Decapsulation) -> None:
        """Unwrap exactly these packets; what stays wanted is never missing in between.

        Where another program of this instance is attached,
        this one takes its place.
        """
        settings = _TailSettings()
        settings.gue_port[:] = wanted.gue_port.to_bytes(2, "big")
        self._settings.put(_Index(0), settings)
        keys = {bytes(key) for key in _keys(wanted)}
        for key in keys:
            self._prefixes.put(_AddressKey.from_buffer_copy(key), _Present(1))
        for known, _ in list(self._prefixes.items()):
            if bytes(known) not in keys:
                self._prefixes.remove(known)
        self._loader.commit()

    def attach(self, ports: Collection[Port]) -> None:
        """Run on these interfaces besides those it runs on already, by the names they have now.

        Raises as the load balancer's does, after all others were attached.
        """
        self._loader.follow_names({port.ifindex: port.name for port in ports})
        for name, ifindex in self._loader.attached().items():
            if not ifindex:  # its device is gone
                self._loader.detach(name)
        self._loader.attach_all(ports)

    def verdict_counts(self) -> list[VerdictCount]:
        """Packets by verdict; bytes are the inner packets' where there is one, else the frames'."""
        return [
            VerdictCount(v.name, v.action, v.meaning, self._counts.read(index))
            for index, v in enumerate(all_verdicts(_PROGRAM.name))
        ]

    @property
    def program_fd(self) -> int:
        """The running program, for BPF_PROG_TEST_RUN."""
        return self._loader.program_fd

    def close(self) -> None:
        """Let go of the kernel's objects; the program runs on."""
        self._loader.close()


def _keys(wanted: Decapsulation) -> list[_AddressKey]:
    return [
        *(_key(network, Role.BALANCER) for network in wanted.balancers),
        *(_key(ip_network(address), Role.OWN) for address in wanted.own),
        *(_key(network, Role.VIP) for network in wanted.vips),
    ]


def _key(network: IPNetwork, role: Role) -> _AddressKey:
    key = _AddressKey(_ROLE_AND_FAMILY_BITS + network.prefixlen, role, network.version)
    packed = network.network_address.packed
    key.address[: len(packed)] = packed
    return key
