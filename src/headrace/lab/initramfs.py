"""The file system of a virtual machine: a `cpio` archive that the kernel unpacks into memory."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from headrace.lab.tools import find_tool
from headrace.model.errors import UnavailableError

_FOLDER, _FILE = 0o040755, 0o100755
_ALIGNMENT = 4
_LIBRARY = re.compile(r"(/\S+) \(0x")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class Archive:
    """A `newc` archive being written, see the kernel's initramfs-buffer-format.rst."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._inodes = 0
        self._present: set[str] = set()

    def add_folder(self, path: str) -> None:
        """A folder and those above it, where they are not there yet."""
        folder = PurePosixPath(path.strip("/"))
        for part in (*reversed(folder.parents[:-1]), folder):
            if str(part) not in self._present:
                self._add(str(part), b"", _FOLDER)

    def add_file(self, path: str, content: bytes, *, changed_s: int = 0) -> None:
        """An executable file; the first of several with one path is the one that stays."""
        name = path.strip("/")
        if name in self._present:
            return
        if "/" in name:
            self.add_folder(name.rpartition("/")[0])
        self._add(name, content, _FILE, changed_s)

    def add_copy(self, source: Path, path: str | None = None) -> None:
        """A file of this machine, at its own place or another."""
        changed_s = int(source.stat().st_mtime)  # Python compares it with what it has compiled
        self.add_file(path or str(source), source.read_bytes(), changed_s=changed_s)

    def add_program(self, source: Path, path: str | None = None) -> None:
        """A program of this machine with the libraries that it needs."""
        self.add_copy(source, path)
        for library in _libraries(source):
            self.add_copy(library)

    def finish(self) -> bytes:
        """The whole archive."""
        self._add("TRAILER!!!", b"", 0)
        return bytes(self._out)

    def _add(self, name: str, content: bytes, mode: int, changed_s: int = 0) -> None:
        self._inodes += 1
        self._present.add(name)
        sizes = (len(content), 0, 0, 0, 0, len(name) + 1, 0)
        fields = (self._inodes, mode, 0, 0, 1, changed_s, *sizes)
        self._out += b"070701" + b"".join(b"%08x" % field for field in fields)
        self._out += name.encode() + b"\0"
        self._pad()
        self._out += content
        self._pad()

    def _pad(self) -> None:
        self._out += bytes(-len(self._out) % _ALIGNMENT)


def modules_in_order(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files of these kernel modules and of all that they need, in the order to load them."""
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko")}
    order: dict[str, Path] = {}
    for name in names:
        if name not in files:
            raise UnavailableError(f"there is no kernel module {name} in {folder}")
        _add_module(name, files, order)
    return list(order.values())


def _add_module(name: str, files: Mapping[str, Path], order: dict[str, Path]) -> None:
    if name in order or name not in files:  # a needed one without a file is part of the kernel
        return
    for needed in _needed_modules(files[name].read_bytes()):
        _add_module(needed, files, order)
    order[name] = files[name]


def _needed_modules(module: bytes) -> Sequence[str]:
    found = _DEPENDS.search(module)
    return found[1].decode().split(",") if found and found[1] else ()


def _libraries(program: Path) -> Iterator[Path]:
    """What the dynamic loader would load; nothing for a static program."""
    done = subprocess.run(
        [str(find_tool("ldd")), str(program)], capture_output=True, text=True, check=False
    )
    for path in _LIBRARY.findall(done.stdout):
        yield Path(path)
