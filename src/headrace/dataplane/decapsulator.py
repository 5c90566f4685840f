"""The endpoint's program: unwraps IP in IP from known load balancers. See `bpf/tailrace.bpf.c`."""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from headrace.dataplane.loader import Loader, Program
from headrace.dataplane.maps import Counters, HashMap
from headrace.dataplane.verdicts import all_verdicts
from headrace.model import IPAddress, Port, VerdictCount

_PROGRAM = Program("tailrace", ("addresses", "verdict_counts"))


class Role(IntEnum):
    """What an address means to the endpoint; as `enum role` in the C."""

    BALANCER = 1
    OWN = 2
    VIP = 3


class _AddressKey(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint8 * 4), ("role", ctypes.c_uint32)]


class _Present(ctypes.Structure):
    _fields_ = [("one", ctypes.c_uint32)]


@dataclass(frozen=True, slots=True)
class Decapsulation:
    """Which packets an endpoint unwraps."""

    balancers: frozenset[IPAddress]  # outer sources
    own: frozenset[IPAddress]  # outer destinations
    vips: frozenset[IPAddress]  # inner destinations


class Decapsulator:
    """The endpoint's program and maps, opened from their pins or made anew."""

    def __init__(self, directory: Path) -> None:
        self._loader = Loader(_PROGRAM, directory)
        self._loader.load()
        self._addresses = HashMap(self._loader.map_fds["addresses"], _AddressKey, _Present)
        self._counts = Counters(self._loader.map_fds["verdict_counts"])
        self._loader.commit()

    def configure(self, wanted: Decapsulation) -> None:
        """Unwrap exactly these packets; what stays wanted is never missing in between."""
        entries = {
            *((address, Role.BALANCER) for address in wanted.balancers),
            *((address, Role.OWN) for address in wanted.own),
            *((address, Role.VIP) for address in wanted.vips),
        }
        keys = {bytes(_key(address, role)) for address, role in entries}
        for key in keys:
            self._addresses.put(_AddressKey.from_buffer_copy(key), _Present(1))
        for known, _ in list(self._addresses.items()):
            if bytes(known) not in keys:
                self._addresses.remove(known)

    def attach(self, ports: Iterable[Port]) -> None:
        """Run on these interfaces besides those it runs on already."""
        for port in ports:
            self._loader.attach(port)

    def verdict_counts(self) -> list[VerdictCount]:
        """Packets by verdict."""
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


def _key(address: IPAddress, role: Role) -> _AddressKey:
    key = _AddressKey(role=role)
    key.address[:] = address.packed
    return key
