"""The C kernel's binding: what it says when the kernel is not there, and what both sides know."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from headrace.maglev import Candidate, build_table, kernel
from headrace.model.errors import UnavailableError
from headrace.model.limits import LIMIT_WEIGHT, SLOT_COUNT_MAX

SOURCES = Path(kernel.__file__).parent


@pytest.fixture
def not_loaded() -> Iterator[None]:
    kernel._library.cache_clear()
    yield
    kernel._library.cache_clear()


def defined(header: str, name: str) -> int:
    found = re.search(rf"{name}\s+(\w+)", (SOURCES / header).read_text())
    assert found
    return int(found[1], 0)


@pytest.mark.usefixtures("not_loaded")
def test_a_missing_kernel_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel, "_LIBRARY", tmp_path / "_kernel.so")

    with pytest.raises(UnavailableError, match=r"_kernel\.so is missing: run `make build`"):
        build_table(0, [Candidate(ip_address("10.0.0.1"))], 251)


@pytest.mark.usefixtures("not_loaded")
def test_a_kernel_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_ABI", kernel._ABI + 1)

    with pytest.raises(UnavailableError, match="another version: run `make build`"):
        build_table(0, [Candidate(ip_address("10.0.0.1"))], 251)


def test_both_sides_have_the_same_numbers() -> None:
    assert defined("quota.h", "WEIGHT_MAX") == LIMIT_WEIGHT
    assert defined("pool.h", "RECORD_SIZE") == kernel.RECORD_SIZE
    assert defined("pool.h", "NO_ENDPOINT") == kernel.NO_ENDPOINT
    assert defined("fallback.h", "STATICS_PER_SLOT") == kernel.STATICS_PER_SLOT
    assert defined("kernel.c", "ABI") == kernel._ABI


def test_slots_are_few_enough_for_the_kernels_fractions() -> None:
    assert SLOT_COUNT_MAX < 2**20  # first_met in walk.h
