"""Network namespaces for the tests, and ways to do things inside them."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_NETNS_FOLDER = Path("/run/netns")
_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_numbers = count()
_T = TypeVar("_T")


class Namespace:
    """One network namespace with lo up."""

    def __init__(self, label: str) -> None:
        self.name = f"hr-test-{os.getpid()}-{next(_numbers)}-{label}"
        _run("ip", "netns", "add", self.name)
        self.ip("link set lo up")
        # A device whose link-local address is still being checked asks no IPv6 neighbour: 1-2 s.
        self.sysctl("net.ipv6.conf.default.accept_dad=0")

    def remove(self) -> None:
        """Take it away with all that is in it."""
        _run("ip", "netns", "del", self.name)

    def ip(self, command: str) -> None:
        """Run `ip` in it."""
        _run("ip", "-n", self.name, *command.split())

    def bridge(self, command: str) -> None:
        """Run `bridge` in it."""
        _run("bridge", "-n", self.name, *command.split())

    def sysctl(self, setting: str) -> None:
        """Write a setting, such as net.ipv4.ip_forward=1. A minimal Debian has no `sysctl`."""
        name, _, value = setting.partition("=")
        path = Path("/proc/sys", name.replace(".", "/"))
        self.inside(lambda: path.write_text(value))

    def mac(self, device: str) -> bytes:
        """The MAC address of a device."""
        return bytes.fromhex(self._sys(device, "address").replace(":", ""))

    def index(self, device: str) -> int:
        """The interface index of a device."""
        return int(self._sys(device, "ifindex"))

    def inside(self, work: Callable[[], _T]) -> _T:
        """The result of work done by a thread that has entered the namespace."""
        results: list[_T] = []
        failures: list[BaseException] = []

        def enter_and_work() -> None:
            try:
                _enter(_NETNS_FOLDER / self.name)
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - it is raised again by the caller
                failures.append(error)

        thread = threading.Thread(target=enter_and_work)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def announce_arp(self, device: str, address: str) -> None:
        """Send a gratuitous ARP request for an address of the device."""
        mac, packed = self.mac(device), socket.inet_aton(address)
        arp = b"\x00\x01\x08\x00\x06\x04\x00\x01" + mac + packed + bytes(6) + packed
        frame = _BROADCAST + mac + _ETH_P_ARP.to_bytes(2, "big") + arp

        def send() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                raw.bind((device, 0))
                raw.send(frame)

        self.inside(send)

    def _sys(self, device: str, entry: str) -> str:
        """An entry of sysfs, which shows the namespace only to those who enter by `ip netns`."""
        path = f"/sys/class/net/{device}/{entry}"
        return _run("ip", "netns", "exec", self.name, "cat", path).strip()


@contextmanager
def namespaces(*labels: str) -> Iterator[list[Namespace]]:
    """Some namespaces for as long as the block runs."""
    made: list[Namespace] = []
    try:
        for label in labels:
            made.append(Namespace(label))  # noqa: PERF401 - those made are removed on a failure
        yield made
    finally:
        for namespace in made:
            namespace.remove()


def connect(left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
    """A veth pair between two namespaces, both ends up."""
    left.ip(
        f"link add {left_device} type veth peer name {right_device} netns {right.name}",
    )
    left.ip(f"link set {left_device} up")
    right.ip(f"link set {right_device} up")


def _enter(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open() as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
