"""Compile what the wheel carries beside Python: the BPF objects and the table kernel.

pip and hatch call `CompiledParts`; `python hatch_build.py` (`make build`) does the same in place.
CLANG, LLVM_STRIP and CC name other tools than those found on PATH.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
BPF_SOURCES = Path("src/headrace/dataplane/bpf")
BPF_OBJECTS = Path("src/headrace/dataplane/objects")
KERNEL_SOURCE = Path("src/headrace/maglev/kernel.c")
KERNEL_LIBRARY = Path("src/headrace/maglev/_kernel.so")

LLVM_VERSIONS = range(22, 13, -1)
"""14 is the oldest LLVM whose objects were tested; Debian names versioned tools `clang-14`."""

WARNINGS = ("-Wall", "-Wextra", "-Werror")


class BuildError(Exception):
    """The build cannot go on; the message says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class Product:
    """One file to compile: where it goes, what it is made of, and how."""

    target: Path
    sources: tuple[Path, ...]  # the first is compiled, the others are included by it
    kind: str  # "bpf" or "shared"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program the build needs, and the package that brings it."""

    variable: str
    names: tuple[str, ...]
    package: str

    def find(self) -> list[str] | None:
        """The command that runs this tool; None when this machine has none."""
        if given := os.environ.get(self.variable):
            command = shlex.split(given)
            return command if shutil.which(command[0]) else None
        return next(([name] for name in self.names if shutil.which(name)), None)


TOOLS = {
    "clang": Tool("CLANG", ("clang", *(f"clang-{v}" for v in LLVM_VERSIONS)), "clang"),
    "strip": Tool(
        "LLVM_STRIP", ("llvm-strip", *(f"llvm-strip-{v}" for v in LLVM_VERSIONS)), "llvm"
    ),
    "cc": Tool("CC", ("cc", "gcc"), "gcc libc6-dev"),
}
TOOLS_OF_KIND = {"bpf": ("clang", "strip"), "shared": ("cc",)}


def products(root: Path) -> list[Product]:
    """Everything that this tree compiles."""
    programs = sorted((root / BPF_SOURCES).glob("*.bpf.c"))
    if not programs or not (root / KERNEL_SOURCE).exists():
        raise BuildError(
            f"{BPF_SOURCES}/*.bpf.c or {KERNEL_SOURCE} is missing: the checkout is not complete"
        )
    headers = tuple(sorted((root / BPF_SOURCES).glob("*.h")))
    kernel_headers = tuple(sorted((root / KERNEL_SOURCE).parent.glob("*.h")))
    return [
        *(
            Product(root / BPF_OBJECTS / f"{source.stem}.o", (source, *headers), "bpf")
            for source in programs
        ),
        Product(root / KERNEL_LIBRARY, (root / KERNEL_SOURCE, *kernel_headers), "shared"),
    ]


def is_stale(product: Product) -> bool:
    """Whether a source, or this recipe, is newer than what was compiled from it."""
    if not product.target.exists():
        return True
    built = product.target.stat().st_mtime_ns
    return any(source.stat().st_mtime_ns > built for source in (*product.sources, Path(__file__)))


def build(root: Path) -> Iterator[Path]:
    """Compile what is stale, yielding each file as it is done."""
    stale = [product for product in products(root) if is_stale(product)]
    tools = find_tools(product.kind for product in stale)
    for product in stale:
        product.target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = product.target.with_name(f".{product.target.name}.{os.getpid()}")
        try:
            for command in commands(product, unfinished, tools, root):
                run(command, root)
            unfinished.replace(product.target)
        finally:
            unfinished.unlink(missing_ok=True)
        yield product.target


def find_tools(kinds: Iterable[str]) -> dict[str, list[str]]:
    """The commands for these kinds of product; raises naming every tool that is missing."""
    wanted = sorted({name for kind in kinds for name in TOOLS_OF_KIND[kind]})
    found = {name: TOOLS[name].find() for name in wanted}
    missing = [TOOLS[name] for name, command in found.items() if command is None]
    if missing:
        lines = [f"  {tool.names[0]} ({tool.variable}= names another one)" for tool in missing]
        packages = " ".join(tool.package for tool in missing)
        raise BuildError(
            "\n".join(["missing to compile headrace:", *lines, f"apt-get install {packages}"])
        )
    return {name: command for name, command in found.items() if command is not None}


def commands(
    product: Product, target: Path, tools: dict[str, list[str]], root: Path
) -> list[list[str]]:
    """What to run, in order, to make `target` from the product's sources."""
    source = str(product.sources[0].relative_to(root))
    if product.kind == "shared":
        flags = ["-O2", "-std=c11", "-shared", "-fPIC", *WARNINGS]
        return [[*tools["cc"], *flags, "-o", str(target), source]]
    headers = f"/usr/include/{platform.machine()}-linux-gnu"  # where Debian keeps asm/types.h
    flags = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", *WARNINGS, f"-I{headers}"]
    flags.append(f"-ffile-prefix-map={root}=.")  # BTF would carry the build machine's paths
    return [
        [*tools["clang"], *flags, "-c", source, "-o", str(target)],
        [*tools["strip"], "-g", str(target)],  # drops DWARF, keeps the BTF that libbpf needs
    ]


def run(command: list[str], root: Path) -> None:
    """Run one command in the tree; raises with what it printed when it fails."""
    done = subprocess.run(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode == 0:
        return
    message = f"{shlex.join(command)}\n{done.stdout}"
    if "file not found" in done.stdout:
        message += "the headers are in: apt-get install libbpf-dev linux-libc-dev libc6-dev"
    raise BuildError(message)


class CompiledParts(BuildHookInterface[Any]):
    """Compile before a wheel is packed, and ship the result in it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatch's signature)
        """Add the compiled files to the wheel, which then fits one architecture, any Python 3."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        try:
            for target in build(root):
                self.app.display_info(f"compiled {target.relative_to(root)}")
        except BuildError as error:
            self.app.abort(str(error))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
        build_data["artifacts"] += [f"{BPF_OBJECTS}/*.bpf.o", str(KERNEL_LIBRARY)]


def main() -> int:
    """Compile in place; 1 when something is missing or wrong."""
    try:
        for target in build(ROOT):
            sys.stdout.write(f"compiled {target.relative_to(ROOT)}\n")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
