"""The host as the API tells of it. A Host of the API room."""

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address, ip_interface
from pathlib import Path
from platform import freedesktop_os_release, uname
from typing import Any, TypeVar

import psutil

from headrace.api import Device, Filesystem, HostProcess, HostRoute, Interface
from headrace.underlay import read_main_routes

_T = TypeVar("_T")


class ThisHost:
    """The host and network namespace of this process."""

    async def interfaces(self, names: Collection[str]) -> list[Interface]:
        """The interfaces of these names that there are, by index."""
        return await asyncio.to_thread(_interfaces, names)

    async def routes(self, limit: int) -> list[HostRoute]:
        """Routes of the main table, so many at most."""
        found = await asyncio.to_thread(read_main_routes, limit)
        return [HostRoute(each.destination, each.gateways, each.protocol) for each in found]

    async def processes(self) -> list[HostProcess]:
        """The daemon and what it started."""
        return await asyncio.to_thread(_processes)

    async def device(self) -> Device:
        """The machine."""
        return await asyncio.to_thread(_device)

    async def filesystems(self) -> list[Filesystem]:
        """The file systems on disks."""
        return await asyncio.to_thread(lambda: list(_filesystems()))


def _interfaces(names: Collection[str]) -> list[Interface]:
    states = psutil.net_if_stats()
    addresses = psutil.net_if_addrs()
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    found = []
    for name in states.keys() & set(names) & counters.keys():
        with suppress(OSError):  # it has gone meanwhile
            state, count, known = states[name], counters[name], addresses.get(name, [])
            macs = [each.address for each in known if each.family == psutil.AF_LINK]
            found.append(
                Interface(
                    name=name,
                    index=socket.if_nametoindex(name),
                    mac=bytes.fromhex(macs[0].replace(":", "")) if macs else bytes(6),
                    mtu_bytes=state.mtu,
                    up=state.isup,
                    is_bond=Path(f"/sys/class/net/{name}/bonding").exists(),
                    addresses=tuple(_prefixed(known)),
                    received=(count.bytes_recv, count.packets_recv, count.errin),
                    sent=(count.bytes_sent, count.packets_sent, count.errout),
                )
            )
    return sorted(found, key=lambda interface: interface.index)


def _prefixed(addresses: Iterable[Any]) -> Iterator[str]:
    """The IP addresses among these, with their prefix length."""
    for each in addresses:
        if each.family in {socket.AF_INET, socket.AF_INET6}:
            address = each.address.partition("%")[0]  # without the interface, of link-local ones
            length = 0
            if each.netmask:
                length = int(ip_address(each.netmask)).bit_count()
            yield str(ip_interface(f"{address}/{length}"))


def _processes() -> list[HostProcess]:
    own = psutil.Process()
    found = []
    for each in (own, *own.children(recursive=True)):
        with suppress(psutil.Error), each.oneshot():  # it has ended meanwhile
            memory, times = each.memory_info(), each.cpu_times()
            age_s = max(_up_s() - (each.create_time() - psutil.boot_time()), 0.01)
            cpu_s = times.user + times.system
            found.append(
                HostProcess(
                    pid=each.pid,
                    user=each.username(),
                    nice=each.nice(),
                    virtual_bytes=memory.vms,
                    resident_bytes=memory.rss,
                    shared_bytes=memory.shared,
                    status=each.status(),
                    cpu_percent=100 * cpu_s / age_s,  # of its life, as `ps` has it
                    memory_percent=each.memory_percent(),
                    cpu_time=timedelta(seconds=cpu_s),
                    command=each.name(),
                )
            )
    return found


def _device() -> Device:
    system = uname()
    return Device(
        host_name=socket.gethostname(),
        machine_id=_line(Path("/etc/machine-id")),
        boot_id=_line(Path("/proc/sys/kernel/random/boot_id")),
        system=_or_else(lambda: freedesktop_os_release()["PRETTY_NAME"], system.system),
        kernel=system.release,
        architecture=system.machine,
        uptime=timedelta(seconds=int(_up_s())),
    )


def _filesystems() -> Iterator[Filesystem]:
    for partition in psutil.disk_partitions():
        with suppress(OSError):  # not for us to look at
            usage = psutil.disk_usage(partition.mountpoint)
            yield Filesystem(
                device=partition.device,
                kind=partition.fstype,
                mounted_on=partition.mountpoint,
                size_bytes=usage.total,
                used_bytes=usage.used,
                available_bytes=usage.free,
            )


def _up_s() -> float:
    """The time since the machine started; unlike the wall clock, nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _line(path: Path) -> str:
    """A file of one line; empty where it is not."""
    return _or_else(lambda: path.read_text().strip(), "")


def _or_else(read: Callable[[], _T], otherwise: _T) -> _T:
    try:
        return read()
    except (OSError, KeyError):
        return otherwise
