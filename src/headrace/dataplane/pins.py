"""An instance's pins as somebody sees them who is not its daemon.

Nothing is made, and nothing is changed but how many packets are sampled.
"""

import ctypes
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Generic, TypeVar

from headrace.dataplane import encoding, layout, libbpf
from headrace.dataplane.bpffs import interface_of, is_bpffs, is_moving
from headrace.dataplane.maps import HashMap, SharedArray
from headrace.dataplane.samples import Samples, capacity_of
from headrace.model import (
    IPAddress,
    IPNetwork,
    KernelError,
    Protocol,
    Reach,
    ServiceKey,
    UnavailableError,
)

Value = TypeVar("Value", bound=ctypes.Structure)

_ANY_PORT = 0
_VALUES: Mapping[str, type[ctypes.Structure]] = {
    "settings": layout.Settings,
    "endpoints": layout.Endpoint,
    "pool_infos": layout.PoolInfo,
    "services4": layout.Service,
    "services6": layout.Service,
    "vip_prefixes": layout.Number,
}
"""The maps that are read, and what their values are."""


class Pins:
    """The maps of an instance's data plane, whether a daemon runs or not."""

    def __init__(self, directory: Path) -> None:
        """Open them; UnavailableError where there are none, or of another version."""
        self._fds: list[int] = []
        self._directory = directory
        try:
            fds = {name: self._open(name) for name in (*_VALUES, "samples")}
            _check_versions(fds)
            self._settings = SharedArray(fds["settings"], layout.Settings).values[0]
            self._endpoints = _View(fds["endpoints"], layout.Endpoint)
            self._pools = _View(fds["pool_infos"], layout.PoolInfo)
            self._services: dict[int, HashMap[encoding.ServiceKeyEntry, layout.Service]] = {
                4: HashMap(fds["services4"], layout.ServiceKey4, layout.Service),
                6: HashMap(fds["services6"], layout.ServiceKey6, layout.Service),
            }
            self._prefixes = HashMap(fds["vip_prefixes"], layout.PrefixKey, layout.Number)
            self._samples_fd = fds["samples"]
            self.sample_capacity = capacity_of(self._samples_fd)
            """How many samples the ring holds."""
        except BaseException:
            self.close()
            raise

    # --- what the maps say ---------------------------------------------------------------------

    def reach(self, index: int) -> Reach | None:
        """The endpoint at an index and how it is reached; None if there is none any more."""
        entry = self._endpoints[index]
        return encoding.reach_of(entry) if any(entry.identity) else None

    def pool(self, vip: IPAddress, protocol: Protocol, port: int | None) -> str:
        """The pool that serves a VIP's packets of a protocol and port; empty if none does.

        Without a port, the one for packets without ports.
        """
        name = self._vip(vip)
        if port is None:
            keys = [encoding.portless_key(name, protocol)]
        else:
            keys = [encoding.service_key(ServiceKey(name, protocol, p)) for p in (port, _ANY_PORT)]
        for key in keys:
            service = self._services[vip.version].get(key)
            if service is not None:
                return bytes(self._pools[service.pool].name).decode(errors="replace")
        return ""

    # --- samples -------------------------------------------------------------------------------

    @property
    def sample_one_in(self) -> int:
        """One packet in so many is sampled; 0: none."""
        return int(self._settings.sample_one_in)

    @sample_one_in.setter
    def sample_one_in(self, one_in: int) -> None:
        self._settings.sample_one_in = one_in

    def samples(self) -> Samples:
        """A reader of the ring of samples, the caller's to close; a ring has one reader.

        At one time it reads no more than the ring holds.
        """
        return Samples(self._samples_fd)

    def interfaces(self) -> dict[int, str]:
        """The interfaces that the program runs on, by index, as the daemon called them."""
        return {index: name for name, index in read_links(self._directory).items() if index}

    def close(self) -> None:
        """Let go of the maps."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    # --- inside --------------------------------------------------------------------------------

    def _open(self, name: str) -> int:
        if not is_bpffs(self._directory):
            raise _missing(self._directory)
        try:
            fd = libbpf.open_pin(self._directory / "maps" / name)
        except KernelError as error:
            raise _missing(self._directory, f" ({error})") from error
        self._fds.append(fd)
        return fd

    def _vip(self, address: IPAddress) -> IPAddress | IPNetwork:
        """The VIP that an address is or is in: itself where it is none."""
        if self._services[address.version].get(encoding.vip_mark(address)) is not None:
            return address
        found = self._prefixes.get(encoding.prefix_key(ip_network(address)))
        return address if found is None else ip_network((address, found.number), strict=False)


@dataclass(frozen=True, slots=True)
class PinnedState:
    """What lies in an instance's folder of pins."""

    is_mounted: bool  # a bpffs; a plain folder holds no pins
    links: Mapping[str, int]  # interface -> index, 0 when its device is gone
    leftovers: tuple[str, ...] = ()  # what a daemon that was killed had not finished


def read_pinned_state(directory: Path) -> PinnedState:
    """What lies in an instance's folder of pins; nothing is opened but its links."""
    if not is_bpffs(directory):
        return PinnedState(is_mounted=False, links={})
    made = (*directory.glob("*-new"), *directory.glob("*/*-new"))
    unfinished = [path for path in made if path.parent.name != "links"]  # where it is a name's end
    unfinished += [path for path in directory.glob("links/*") if is_moving(path.name)]
    leftovers = (str(path.relative_to(directory)) for path in unfinished)
    return PinnedState(
        is_mounted=True, links=read_links(directory), leftovers=tuple(sorted(leftovers))
    )


def read_links(directory: Path) -> dict[str, int]:
    """The interfaces that a folder of pins has links of, and the index each is on."""
    found = {}
    for path in sorted((directory / "links").glob("*")):
        if is_moving(path.name):
            continue
        with suppress(KernelError):  # its daemon may have removed it just now
            link = libbpf.open_pin(path)
            found[interface_of(path.name)] = libbpf.link_ifindex(link)
            os.close(link)
    return found


class _View(Generic[Value]):
    """An array map's memory, to read only."""

    def __init__(self, fd: int, value: type[Value]) -> None:
        self._value = value
        self._size = ctypes.sizeof(value)
        length = int(libbpf.map_info(fd).max_entries) * self._size
        pages = -(-length // mmap.PAGESIZE)
        self._memory = mmap.mmap(fd, pages * mmap.PAGESIZE, prot=mmap.PROT_READ)

    def __getitem__(self, index: int) -> Value:
        start = index * self._size
        return self._value.from_buffer_copy(self._memory[start : start + self._size])


def _check_versions(fds: Mapping[str, int]) -> None:
    """Raise UnavailableError if a map's values are not as this version knows them."""
    sizes = {name: ctypes.sizeof(value) for name, value in _VALUES.items()}
    for name, size in sizes.items():
        if int(libbpf.map_info(fds[name]).value_size) != size:
            raise UnavailableError(
                f"the pinned map {name} is of another version of headrace; "
                "use that version's command, or restart the daemon with this one"
            )


def _missing(directory: Path, why: str = "") -> UnavailableError:
    return UnavailableError(
        f"{directory} has no data plane{why}; start one with `headrace run`, as root, or name "
        "another by --instance. A daemon that runs, by `ip netns exec` for one, may have mounts of "
        "its own: `headrace doctor` says how to look from there"
    )
