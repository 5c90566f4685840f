"""The kernel's verifier accepts every program, and has room for the next one."""

import subprocess
from pathlib import Path

import pytest

from hatch_build import TOOLS
from headrace.model import KernelError
from tests.kernels.budget import BUDGET, STACK_BUDGET_BYTES, beyond
from tests.kernels.trial import OBJECTS
from tests.kernels.verifier import Verified, verify

pytestmark = pytest.mark.bpf

LIMIT_INSTRUCTIONS = 1_000_000  # the kernel's
OUT_OF_BOUNDS = """\
struct xdp_md { unsigned data, data_end; };
__attribute__((section("xdp"), used)) int wrong(struct xdp_md *xdp)
{
	return *(unsigned char *)(long)xdp->data;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


@pytest.mark.parametrize("path", OBJECTS, ids=[path.name for path in OBJECTS])
def test_each_program_keeps_to_its_budget(path: Path) -> None:
    programs = verify(path)

    assert path.name.partition(".")[0] in {program.name for program in programs}
    assert beyond(programs) == []


def test_every_budget_stays_far_below_the_kernels_limit() -> None:
    assert {path.name.partition(".")[0] for path in OBJECTS} == BUDGET.keys()
    assert max(BUDGET.values()) * 10 <= LIMIT_INSTRUCTIONS


def test_a_program_beyond_its_budget_is_told() -> None:
    most = BUDGET["headrace"]

    assert beyond([Verified("headrace", most, STACK_BUDGET_BYTES)]) == []
    assert beyond([Verified("headrace", most + 1, STACK_BUDGET_BYTES + 1)]) == [
        f"headrace: {most + 1:,} instructions of {most:,}",
        f"headrace: {STACK_BUDGET_BYTES + 1} bytes on the stack",
    ]


def test_a_program_that_is_refused_is_told_in_the_verifiers_words(tmp_path: Path) -> None:
    source, target = tmp_path / "wrong.c", tmp_path / "wrong.bpf.o"
    source.write_text(OUT_OF_BOUNDS)
    clang = TOOLS["clang"].find()
    assert clang is not None
    command = [*clang, "-target", "bpf", "-O2", "-g", "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)

    with pytest.raises(KernelError, match="invalid access to packet"):
        verify(target)
