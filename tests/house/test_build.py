"""The build: compiles what is stale, no more, and names every tool that is missing."""

import os
import time
from pathlib import Path

import pytest

import hatch_build
from tests.house.source import ROOT

BPF_SOURCE = """
#include "tiny.h"
int tiny(void *context) { return ANSWER + !context; }
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree with one small BPF program, its header, and a small table kernel."""
    bpf = tmp_path / hatch_build.BPF_SOURCES
    bpf.mkdir(parents=True)
    (bpf / "tiny.bpf.c").write_text(BPF_SOURCE)
    (bpf / "tiny.h").write_text("#define ANSWER 2\n")
    kernel = tmp_path / hatch_build.KERNEL_SOURCE
    kernel.parent.mkdir(parents=True)
    kernel.write_text("int answer(void);\nint answer(void) { return 42; }\n")
    return tmp_path


def names_built(checkout: Path) -> list[str]:
    return [path.name for path in hatch_build.build(checkout)]


def make_newer(path: Path) -> None:
    an_hour_ahead = time.time_ns() + 3600 * 10**9
    os.utime(path, ns=(an_hour_ahead, an_hour_ahead))


def test_everything_is_compiled_in_a_fresh_checkout(checkout: Path) -> None:
    assert names_built(checkout) == ["tiny.bpf.o", "_kernel.so"]


def test_nothing_is_compiled_twice(checkout: Path) -> None:
    names_built(checkout)

    assert names_built(checkout) == []


def test_a_header_makes_only_what_includes_it_stale(checkout: Path) -> None:
    names_built(checkout)
    make_newer(checkout / hatch_build.BPF_SOURCES / "tiny.h")

    assert names_built(checkout) == ["tiny.bpf.o"]


def test_a_warning_fails_and_leaves_nothing_behind(checkout: Path) -> None:
    (checkout / hatch_build.KERNEL_SOURCE).write_text("static int unused;\n")

    with pytest.raises(hatch_build.BuildError, match="unused"):
        names_built(checkout)

    assert not list((checkout / hatch_build.KERNEL_LIBRARY).parent.glob("*.so*"))


def test_objects_carry_no_path_of_the_machine_that_built_them(checkout: Path) -> None:
    names_built(checkout)

    built = (checkout / hatch_build.BPF_OBJECTS / "tiny.bpf.o").read_bytes()

    assert str(checkout).encode() not in built


def test_every_missing_tool_is_named_with_its_package(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(hatch_build.BuildError) as refusal:
        names_built(checkout)

    assert str(refusal.value).splitlines() == [
        "missing to compile headrace:",
        "  cc (CC= names another one)",
        "  clang (CLANG= names another one)",
        "  llvm-strip (LLVM_STRIP= names another one)",
        "apt-get install gcc libc6-dev clang llvm",
    ]


def test_another_compiler_can_be_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --fast")

    with pytest.raises(hatch_build.BuildError, match="gcc libc6-dev"):
        names_built(checkout)


def test_an_incomplete_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hatch_build.BuildError, match="the checkout is not complete"):
        names_built(tmp_path)


def test_the_packages_that_the_build_names_are_those_that_set_up_installs() -> None:
    lines = (ROOT / "setup/packages.txt").read_text().splitlines()
    installed = {line.split()[0] for line in lines if line and not line.startswith("#")}
    named = {package for tool in hatch_build.TOOLS.values() for package in tool.package.split()}

    assert named <= installed
