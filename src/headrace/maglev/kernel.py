"""The lookup table's C kernel, bound by ctypes. It holds no lock of Python's while it works."""

from __future__ import annotations  # array[int] needs it before Python 3.12

import ctypes
import functools
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

from headrace.model.errors import UnavailableError

RECORD_SIZE = 20
STATICS_PER_SLOT = 3
NO_ENDPOINT = 0xFFFF

_ABI = 2
_LIBRARY = Path(__file__).with_name("_kernel.so")


class WithoutSlotError(Exception):
    """An endpoint with a weight would have no slot; the caller knows how to say it."""


class RepeatedError(Exception):
    """Two endpoints have one identity; the caller knows which."""


class NoLabelError(Exception):
    """An endpoint has no label of 14 bits; the caller knows how to say it."""


def sort_records(
    identities: bytes, weights: Iterable[int], flags: bytes
) -> tuple[array[int], bytes]:
    """The order that sorts endpoints by identity, and their records in that order.

    RepeatedError if two have one identity.
    """
    count = len(flags)
    native_weights, order = array("H", weights), _zeros("I", count)
    records = array("B", bytes(count * RECORD_SIZE))
    _call(
        "maglev_records",
        identities,
        _address(native_weights),
        flags,
        ctypes.c_uint32(count),
        _address(order),
        _address(records),
    )
    return order, records.tobytes()


def base_owners(seed: int, records: bytes, slot_count: int) -> array[int]:
    """The base owner of every slot; WithoutSlotError if an endpoint with a weight has none."""
    base = _zeros("H", slot_count)
    _call("maglev_base", *_pool(seed, records, slot_count), _address(base))
    return base


def owners(seed: int, records: bytes, base: array[int]) -> array[int]:
    """Who answers each slot, by the endpoints' weights and flags."""
    answer = _zeros("H", len(base))
    _call("maglev_owners", *_pool(seed, records, len(base)), _address(base), _address(answer))
    return answer


def statics(seed: int, records: bytes, base: array[int]) -> array[int]:
    """Base owner, first and second fallback of every slot, or NO_ENDPOINT; health ignored."""
    answer = _zeros("H", len(base) * STATICS_PER_SLOT)
    _call("maglev_statics", *_pool(seed, records, len(base)), _address(base), _address(answer))
    return answer


def label(owners: array[int], labels: array[int]) -> array[int]:
    """The label of every slot's owner; NoLabelError if one has none of 14 bits."""
    answer = _zeros("I", len(owners))
    _call(
        "maglev_label",
        _address(owners),
        ctypes.c_uint32(len(owners)),
        _address(labels),
        ctypes.c_uint32(len(labels)),
        _address(answer),
    )
    return answer


def transition(
    words: array[int], owners: array[int], is_down: bytes | bytearray
) -> tuple[array[int], int]:
    """The words that follow, and how many slots have another owner.

    `owners` has as many labels as there are words, `is_down` a byte for each possible label.
    """
    answer, changed = _zeros("I", len(words)), ctypes.c_uint32()
    _call(
        "maglev_transition",
        _address(words),
        _address(owners),
        ctypes.c_uint32(len(words)),
        bytes(is_down),
        _address(answer),
        ctypes.byref(changed),
    )
    return answer, changed.value


def settle(words: array[int] | memoryview, lines: array[int]) -> int:
    """Settle these lines in place; how many of their slots were unstable."""
    settled = ctypes.c_uint32()
    _call(
        "maglev_settle",
        (ctypes.c_uint32 * len(words)).from_buffer(words),
        ctypes.c_uint32(len(words)),
        _address(lines),
        ctypes.c_uint32(len(lines)),
        ctypes.byref(settled),
    )
    return settled.value


def _pool(seed: int, records: bytes, slot_count: int) -> tuple[object, ...]:
    count = len(records) // RECORD_SIZE
    return (ctypes.c_uint64(seed), records, ctypes.c_uint32(count), ctypes.c_uint32(slot_count))


def _zeros(typecode: str, count: int) -> array[int]:
    return array(typecode, bytes(count * array(typecode).itemsize))


def _address(values: array[int]) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.buffer_info()[0])


def _call(name: str, *arguments: object) -> None:
    function: Callable[..., int] = getattr(_library(), name)
    match function(*arguments):  # enum result in pool.h
        case 0:
            return
        case 2:
            raise WithoutSlotError
        case 3:
            raise RepeatedError
        case 4:
            raise NoLabelError
        case _:
            raise MemoryError(name)


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(_LIBRARY))
    except OSError as error:
        raise UnavailableError(f"{_LIBRARY.name} is missing: run `make build`") from error
    library.maglev_abi.restype = ctypes.c_uint32
    if library.maglev_abi() != _ABI:
        raise UnavailableError(f"{_LIBRARY.name} is of another version: run `make build`")
    return library
