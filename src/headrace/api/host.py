"""What the API may ask of the host beside its load balancer; the daemon offers it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from headrace.model import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface, its addresses and what it carried."""

    name: str
    index: int
    mac: bytes
    mtu_bytes: int
    up: bool
    is_bond: bool
    addresses: tuple[str, ...]  # with prefix length, of both families
    received: tuple[int, int, int]  # bytes, packets, errors
    sent: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route of the kernel's main table."""

    destination: IPNetwork
    gateways: tuple[IPAddress, ...]  # none: a network that the host is in
    protocol: int  # who made it, as the kernel numbers them


@dataclass(frozen=True, slots=True)
class HostProcess:
    """The daemon, or a process that it started."""

    pid: int
    user: str
    nice: int
    virtual_bytes: int
    resident_bytes: int
    shared_bytes: int
    status: str
    cpu_percent: float
    memory_percent: float
    cpu_time: timedelta
    command: str  # its name; arguments may hold what is nobody's business


@dataclass(frozen=True, slots=True)
class Device:
    """The machine and its system."""

    host_name: str
    machine_id: str
    boot_id: str
    system: str
    kernel: str
    architecture: str
    uptime: timedelta


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A file system that the daemon writes to, or the root."""

    device: str
    kind: str
    mounted_on: str
    size_bytes: int
    used_bytes: int
    available_bytes: int


class Host(Protocol):
    """Reads the host; what takes long is awaited."""

    async def interfaces(self, names: Collection[str]) -> list[Interface]:
        """The interfaces of these names that there are."""
        ...

    async def routes(self, limit: int) -> list[HostRoute]:
        """Routes of the main table, so many at most."""
        ...

    async def processes(self) -> list[HostProcess]:
        """The daemon and what it started."""
        ...

    async def device(self) -> Device:
        """The machine."""
        ...

    async def filesystems(self) -> list[Filesystem]:
        """The file systems that are real ones."""
        ...
