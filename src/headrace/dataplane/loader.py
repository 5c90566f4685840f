"""Loads a program, keeps its maps pinned, attaches it to interfaces and outlives the daemon.

<directory>/maps/<map>         every map, by name
<directory>/links/<interface>  the XDP link of each port
<directory>/programs/<name>    the running program
"""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from headrace.dataplane import libbpf
from headrace.dataplane.bpffs import (
    ensure_bpffs,
    exchange,
    interface_of,
    is_bpffs,
    moving_pin_name,
    pin_name,
    remove_pins,
    replace_pin,
    unmount_bpffs,
)
from headrace.dataplane.selftest import SAFE_MTU_BYTES, loses_big_redirects, mtu_bytes
from headrace.model import KernelError, LbError, Port, UnavailableError

_OBJECTS = Path(__file__).parent / "objects"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Program:
    """An XDP program: its object file has the same name, as has its function."""

    name: str
    maps: tuple[str, ...]
    interfaces: str  # what the operator names those in that it runs on
    generations: tuple[frozenset[str], ...] = ()
    """Maps that say what each other's entries mean, and those of earlier groups: a daemon keeps all
    of a group and of those before, or has them anew. A program before still forwards by the others.
    """

    redirects: bool = False  # sends packets to other interfaces

    @property
    def object_path(self) -> Path:
        """The compiled program."""
        return _OBJECTS / f"{self.name}.bpf.o"


class Loader:
    """One program and its maps in the kernel."""

    def __init__(self, program: Program, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._program_fd = -1
        self.is_held = False
        """Whether `commit` waits for `release`."""
        self.map_fds: dict[str, int] = {}
        self.made: set[str] = set()
        """The maps that no earlier daemon left as this program needs them: they were empty."""
        self._against_native: dict[str, str] = {}  # as was told last, by interface
        ensure_bpffs(directory)
        for folder in ("maps", "links", "programs"):
            (directory / folder).mkdir(mode=0o700, exist_ok=True)

    def load(self, sizes: Mapping[str, int] | None = None) -> None:
        """Load the program over the maps that are open or pinned, as far as they fit.

        `sizes` gives the entries that a map must have at least; a smaller one is made anew, empty.
        Nothing runs the program before `commit`. Descriptors of maps that stay are not changed.
        """
        sizes = sizes or {}
        bpf_object = libbpf.BpfObject(self._program.object_path)
        kept: dict[str, int] = {}
        try:
            kept |= self._fitting_maps(bpf_object, sizes)
            made = set(self._program.maps) - kept.keys()
            for name in made & sizes.keys():
                bpf_object.resize_map(name, sizes[name])
            for name, fd in kept.items():
                bpf_object.reuse_map(name, fd)
            bpf_object.load()
            maps = kept | {name: bpf_object.map_fd(name) for name in made}
            program_fd = bpf_object.program_fd(self._program.name)
        except KernelError:
            _close(set(kept.values()) - set(self.map_fds.values()))
            raise
        finally:
            bpf_object.close()
        _close({*self.map_fds.values(), self._program_fd} - set(maps.values()))
        self.map_fds, self._program_fd = maps, program_fd
        self.made |= made

    def hold(self) -> None:
        """Have `commit` wait for `release`.

        Where an earlier version's program is attached, it forwards by its own maps meanwhile.
        """
        self.is_held = bool(self._link_pins())

    @property
    def is_mounted(self) -> bool:
        """Whether pins can be there: without its bpffs the data plane has ended."""
        return (self._directory / "links").exists()

    def release(self) -> None:
        """Commit if that was held back."""
        if self.is_held:
            self.is_held = False
            self.commit()

    def commit(self) -> None:
        """Pin what was loaded and have the attached interfaces run it, unless that is held back.

        Raises UnavailableError where the pins' file system is gone.
        """
        if self.is_held:
            return
        self._check_mounted()
        self._pin_maps()
        self._pin(self._program_fd, self._directory / "programs" / self._program.name)
        for path in self._link_pins():
            self._update(path)

    def attach(self, port: Port) -> None:
        """Run the program on an interface: native where driver and kernel can, else generic.

        Raises UnavailableError where another program is or the pins' file system is gone,
        KernelError where the kernel refuses.
        """
        self._check_mounted()
        path = self._directory / "links" / pin_name(port.name)
        if self._link_of(path) == port.ifindex:
            return
        path.unlink(missing_ok=True)
        link = self._create_link(port)
        try:
            libbpf.pin(link, path)
        finally:
            os.close(link)

    def attach_all(self, ports: Iterable[Port]) -> None:
        """Run on each of these; what the first refusal was is raised at the end."""
        failures: list[LbError] = []
        for port in ports:
            try:
                self.attach(port)
            except (KernelError, UnavailableError) as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def follow_names(self, names: Mapping[int, str]) -> None:
        """Call links by the names that their interfaces, by index, have by now."""
        folder = self._directory / "links"
        moved = {}
        for path in self._link_pins():
            name = names.get(self._link_of(path))
            if name is not None and path.name != pin_name(name):
                # Two interfaces may have exchanged their names.
                moved[path.rename(folder / moving_pin_name(name))] = folder / pin_name(name)
        for temporary, final in moved.items():
            replace_pin(temporary, final)

    def detach(self, interface: str) -> None:
        """Stop running on an interface."""
        (self._directory / "links" / pin_name(interface)).unlink(missing_ok=True)

    def attached(self) -> dict[str, int]:
        """The interfaces with a link, and the ifindex it is on: 0 when its device is gone."""
        return {interface_of(path.name): self._link_of(path) for path in self._link_pins()}

    @property
    def program_fd(self) -> int:
        """The loaded program, to run on packets of one's own."""
        return self._program_fd

    def close(self) -> None:
        """Let go of the descriptors; the data plane runs on."""
        _close({*self.map_fds.values(), self._program_fd})
        self.map_fds, self._program_fd = {}, -1

    def _create_link(self, port: Port) -> int:
        because = self._reason_against_native(port)
        if not because:
            try:
                return self._link(port, libbpf.XDP_FLAGS_DRV_MODE)
            except KernelError as error:
                because = str(error)
        if self._against_native.get(port.name) != because:  # told once: tries go on without end
            self._against_native[port.name] = because
            _log.warning("xdp_generic", interface=port.name, because=because)
        return self._link(port, libbpf.XDP_FLAGS_SKB_MODE)

    def _link(self, port: Port, mode: int) -> int:
        """A link in one mode. Raises UnavailableError where another program is: no mode helps."""
        try:
            return libbpf.create_xdp_link(self._program_fd, port.ifindex, mode)
        except KernelError as error:
            if error.errno in {errno.EBUSY, errno.EEXIST}:
                raise UnavailableError(
                    _held_by_another(port.name, self._program.interfaces)
                ) from error
            raise KernelError(f"attach XDP to {port.name}", error.errno) from error

    def _reason_against_native(self, port: Port) -> str:
        """Why native mode would lose packets here; empty when it would not."""
        if not self._program.redirects:
            return ""
        mtu = mtu_bytes(port.name)
        if mtu <= SAFE_MTU_BYTES or not loses_big_redirects():
            return ""
        return f"MTU {mtu}: this kernel loses redirected packets above {SAFE_MTU_BYTES} bytes"

    def _fitting_maps(
        self, bpf_object: libbpf.BpfObject, sizes: Mapping[str, int]
    ) -> dict[str, int]:
        """The descriptors of the open or pinned maps that are as the program needs them."""
        fitting = {}
        for name in self._program.maps:
            path = self._directory / "maps" / name
            fd = self.map_fds.get(name, -1)
            if fd < 0 and path.exists():
                fd = libbpf.open_pin(path)
            if fd >= 0 and _fits(fd, bpf_object.map_shape(name), sizes.get(name, 0)):
                fitting[name] = fd
            elif fd >= 0 and name not in self.map_fds:
                os.close(fd)
        if not self.map_fds:
            for name in self._of_another_generation(fitting.keys()):
                os.close(fitting.pop(name))
        return fitting

    def _of_another_generation(self, fitting: Iterable[str]) -> set[str]:
        """Those of the maps that fit that would not mean the same beside the others."""
        kept, found, is_broken = set(fitting), set[str](), False
        for group in self._program.generations:
            is_broken = is_broken or not group <= kept
            if is_broken:
                found |= group & kept
        return found

    def _pin_maps(self) -> None:
        """Pin all maps at once, unless those are pinned already: never some of two generations."""
        folder, fresh = self._directory / "maps", self._directory / "maps-new"
        remove_pins(fresh)  # of a daemon that was killed
        if _pinned_ids(folder) == {name: _map_id(fd) for name, fd in self.map_fds.items()}:
            return
        fresh.mkdir(mode=0o700)
        for name, fd in self.map_fds.items():
            libbpf.pin(fd, fresh / name)
        exchange(fresh, folder)
        remove_pins(fresh)

    def _pin(self, fd: int, path: Path) -> None:
        """Pin in the place of what was there; a daemon killed meanwhile leaves one or the other."""
        temporary = path.with_name(f"{path.name}-new")
        temporary.unlink(missing_ok=True)
        libbpf.pin(fd, temporary)
        replace_pin(temporary, path)

    def _check_mounted(self) -> None:
        if not self.is_mounted:
            raise UnavailableError(
                f"{self._directory}: its bpffs was unmounted, and with the pins the data plane "
                "ended; restart the daemon, and find out who unmounts it"
            )

    def _link_pins(self) -> list[Path]:
        return sorted((self._directory / "links").glob("*"))

    def _link_of(self, path: Path) -> int:
        if not path.exists():
            return 0
        link = libbpf.open_pin(path)
        try:
            return libbpf.link_ifindex(link)
        finally:
            os.close(link)

    def _update(self, path: Path) -> None:
        link = libbpf.open_pin(path)
        try:
            if libbpf.link_ifindex(link):
                libbpf.update_link(link, self._program_fd)
        finally:
            os.close(link)


def _held_by_another(name: str, interfaces: str) -> str:
    return (
        f"{name}, or a device over it, has another program's XDP; `ip link show {name}` names it: "
        f"end that, or leave {name} out of {interfaces}"
    )


def _fits(fd: int, wanted: libbpf.MapShape, entries: int) -> bool:
    """Whether a map has the shape that a program declares and at least so many entries."""
    info = libbpf.map_info(fd)
    return (info.type, info.key_size, info.value_size, info.map_flags) == (
        wanted.type,
        wanted.key_size,
        wanted.value_size,
        wanted.map_flags,
    ) and info.max_entries >= max(wanted.max_entries, entries)


def _pinned_ids(folder: Path) -> dict[str, int]:
    """The kernel's numbers of the maps in a folder, by the names of their pins."""
    found = {}
    for path in folder.iterdir():
        fd = libbpf.open_pin(path)
        found[path.name] = _map_id(fd)
        os.close(fd)
    return found


def _map_id(fd: int) -> int:
    return int(libbpf.map_info(fd).id)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def detach_all(directory: Path) -> None:
    """Remove everything an instance left in the kernel: links, program, maps."""
    while is_bpffs(directory):  # one may be mounted over another
        for folder in ("links", "programs", "maps", "maps-new"):
            remove_pins(directory / folder)
        unmount_bpffs(directory)
    with suppress(FileNotFoundError):
        directory.rmdir()
