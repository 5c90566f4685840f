import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.dataplane import reference

from .compare import Comparison, bases, broken_outer, comparison
from .generate import Generator

PACKETS = int(os.environ.get("HEADRACE_FUZZ_PACKETS", "100000"))
SEED = 20261126
CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture(scope="module")
def compared() -> Iterator[Comparison]:
    with comparison() as compared:
        yield compared


@pytest.mark.bpf
@pytest.mark.timeout(300)
def test_kernel_and_reference_agree_on_random_packets(compared: Comparison) -> None:
    generator = Generator(SEED, bases())

    wrong = (compared.send(generator.packet()) for _ in range(PACKETS))
    assert list(itertools.islice((each for each in wrong if each), 3)) == []
    never = {name for name, count in compared.verdicts.items() if not count}
    assert never == {"drop_internal", "drop_no_room", "drop_answers"}


@pytest.mark.bpf
@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.hex")), ids=lambda file: file.stem)
def test_kernel_and_reference_agree_on_what_was_wrong_once(
    compared: Comparison, file: Path
) -> None:
    compared.forget()
    for line in file.read_text().split():
        assert compared.send(bytes.fromhex(line)) is None


def test_a_wrong_outer_header_is_noticed() -> None:
    link = bytes(12) + b"\x08\x00"
    inner = bytes.fromhex("4500001400010000400100000a0000010a000002")
    header = bytearray.fromhex("4500002800004000400400001f1f1ffd1f1f1f01")
    header[10:12] = reference.checksum(header).to_bytes(2)
    sound = link + header + inner

    assert broken_outer(inner, sound) == ""
    assert "checksum" in broken_outer(inner, sound[:22] + b"\x3f" + sound[23:])
    assert "longer" in broken_outer(inner, sound[:-1])
