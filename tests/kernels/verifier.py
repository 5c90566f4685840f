"""What the kernel's verifier says about the programs of an object file."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.model import KernelError

_LOG_PATHS = 1  # BPF_LOG_LEVEL1, include/linux/bpf_verifier.h
_LOG_STATISTICS = 4  # BPF_LOG_STATS
_LOG_BYTES = 16 * 1024 * 1024 - 1  # the most that old kernels take
_LAST_LINES = 40  # where a program is refused
_STATISTICS = re.compile(r"stack depth ([\d+]+)\s+processed (\d+) insns")


@dataclass(frozen=True, slots=True)
class Verified:
    """A program that the verifier accepted."""

    name: str
    instructions: int  # processed, over all paths; the kernel's limit is a million
    stack_bytes: int  # of the function that needs most


def verify(path: Path) -> list[Verified]:
    """Load an object's programs; KernelError with the verifier's words where one is refused."""
    result, logs = _load(path, _LOG_STATISTICS)
    if result < 0:
        _, paths = _load(path, _LOG_PATHS)
        said = "\n".join((*paths.values(), *logs.values())).splitlines()
        raise KernelError(f"load {path.name}", -result, "\n".join(said[-_LAST_LINES:]))
    return [_read(name, log) for name, log in logs.items()]


def _load(path: Path, log_level: int) -> tuple[int, dict[str, str]]:
    """The error, and the log of each program up to the one that was refused."""
    with _opened(path) as (library, opened):
        logs = {}
        program = library.bpf_object__next_program(opened, None)
        while program:
            log = logs[library.bpf_program__name(program)] = ctypes.create_string_buffer(_LOG_BYTES)
            library.bpf_program__set_log_level(program, log_level)
            library.bpf_program__set_log_buf(program, log, len(log))
            program = library.bpf_object__next_program(opened, program)
        result = library.bpf_object__load(opened)
        return result, {name.decode(): log.value.decode() for name, log in logs.items()}


def _read(name: str, log: str) -> Verified:
    found = _STATISTICS.search(log)
    assert found is not None, f"no statistics of {name} in: {log}"
    return Verified(name, int(found[2]), max(map(int, found[1].split("+"))))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ctypes.CDLL, int]]:
    """An open object, and the functions of the library that only this test needs."""
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    pointer = ctypes.c_void_p
    for name, arguments, result in (
        ("bpf_object__open_file", [ctypes.c_char_p, pointer], pointer),
        ("bpf_object__next_program", [pointer, pointer], pointer),
        ("bpf_program__name", [pointer], ctypes.c_char_p),
        ("bpf_program__set_log_level", [pointer, ctypes.c_uint32], ctypes.c_int),
        ("bpf_program__set_log_buf", [pointer, pointer, ctypes.c_size_t], ctypes.c_int),
        ("bpf_object__load", [pointer], ctypes.c_int),
        ("bpf_object__close", [pointer], None),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    opened = library.bpf_object__open_file(str(path).encode(), None)
    assert opened, f"{path} is no object file"
    try:
        yield library, opened
    finally:
        library.bpf_object__close(opened)
