"""Find the programs that a lab needs: on the PATH, or unpacked beside the source checkout.

Debian's packages of routing daemons start a service when they are installed, so the set-up unpacks
them into `.tools/root` of the checkout instead. `HEADRACE_TOOLS` names another such folder.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.model.errors import UnavailableError

_TOOLS = Path(".tools") / "root"
_BIN_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not on every user's PATH
_PACKAGES = {
    "bird": "bird2",
    "birdc": "bird2",
    "birdcl": "bird2",
    "tcpdump": "tcpdump",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "ldd": "libc-bin",
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
}


def find_tool(name: str) -> Path:
    """The path of a program; UnavailableError names the package that has it."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    if found := shutil.which(name, path=path):
        return Path(found)
    searched = list(_tool_roots())
    for root in searched:
        for folder in _BIN_FOLDERS:
            candidate = root / folder / name
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return candidate
    raise _not_found(name, _PACKAGES.get(name, name), searched)


def find_unpacked(pattern: str, package: str) -> Path:
    """The last file or folder of that pattern in an unpacked package, such as the newest kernel."""
    searched = list(_tool_roots())
    for root in searched:
        if found := sorted(root.glob(pattern)):
            return found[-1]
    raise _not_found(pattern, package, searched)


def _not_found(name: str, package: str, searched: Sequence[Path]) -> UnavailableError:
    return UnavailableError(
        f"{name} is not installed; run `make setup` in the checkout, or install the package "
        f"{package}, or name the folder it is unpacked in by HEADRACE_TOOLS "
        f"(searched the PATH and {', '.join(map(str, searched)) or 'no folder of tools'})"
    )


def _tool_roots() -> Iterator[Path]:
    """Folders of unpacked packages, the most deliberate choice first."""
    if named := os.environ.get("HEADRACE_TOOLS"):
        yield Path(named)
        return
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / _TOOLS).is_dir():
                yield folder / _TOOLS
                break
