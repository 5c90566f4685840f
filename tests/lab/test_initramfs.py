"""The archive that a virtual machine boots from, and the order of its kernel modules."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.lab.initramfs import Archive, modules_in_order
from headrace.model.errors import UnavailableError

HEADER_BYTES = 110


def read_archive(data: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    """Each entry's name, mode, time and content, as the kernel's unpacker finds them."""
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        header = data[at + 6 : at + HEADER_BYTES]
        fields = [int(header[i : i + 8], 16) for i in range(0, len(header), 8)]
        mode, time, size, name_size = fields[1], fields[5], fields[6], fields[11]
        start = -(-(at + HEADER_BYTES + name_size) // 4) * 4
        name = data[at + HEADER_BYTES :][: name_size - 1].decode()
        if name == "TRAILER!!!":
            return
        yield name, mode, time, data[start : start + size]
        at = -(-(start + size) // 4) * 4


def test_files_come_after_the_folders_that_they_are_in() -> None:
    archive = Archive()
    archive.add_file("/init", b"#!/bin/sh\n")
    archive.add_file("/usr/lib/a", b"12345", changed_s=7)
    archive.add_file("/usr/b", b"")

    entries = list(read_archive(archive.finish()))

    assert [(name, stat.S_ISDIR(mode), time, data) for name, mode, time, data in entries] == [
        ("init", False, 0, b"#!/bin/sh\n"),
        ("usr", True, 0, b""),
        ("usr/lib", True, 0, b""),
        ("usr/lib/a", False, 7, b"12345"),
        ("usr/b", False, 0, b""),
    ]


def test_a_path_is_there_once_however_often_it_is_added() -> None:
    archive = Archive()
    for content in (b"first", b"second"):
        archive.add_file("/lib/libc.so.6", content)
        archive.add_folder("/lib")

    names = [(name, data) for name, _, _, data in read_archive(archive.finish())]

    assert names == [("lib", b""), ("lib/libc.so.6", b"first")]


def test_a_program_brings_its_libraries() -> None:
    archive = Archive()
    archive.add_program(Path("/bin/sh").resolve(), "/bin/sh")

    names = [name for name, _, _, _ in read_archive(archive.finish())]

    assert "bin/sh" in names
    assert any("libc.so" in name for name in names)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Modules that need each other; what `crc` needs is a part of the kernel."""
    needs = {"net/ip-tunnel": "", "net/tunnel4": "", "net/ipip": "ip_tunnel,tunnel4", "crc": "core"}
    for name, needed in needs.items():
        path = tmp_path / f"{name}.ko"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x7fELF\0license=GPL\0depends=" + needed.encode() + b"\0name=x\0")
    return tmp_path


def test_a_module_is_loaded_after_those_that_it_needs(modules: Path) -> None:
    order = [path.stem for path in modules_in_order(modules, ["ipip", "crc", "tunnel4"])]

    assert order == ["ip-tunnel", "tunnel4", "ipip", "crc"]


def test_a_module_that_is_not_there_is_named(modules: Path) -> None:
    with pytest.raises(UnavailableError, match="no kernel module sctp"):
        modules_in_order(modules, ["sctp"])
