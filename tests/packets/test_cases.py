"""Every packet case, through the program in the kernel and through the reference."""

import pytest
from scapy.layers.l2 import Ether

from . import expect
from .arena import Arena
from .case import Case
from .every import CASES

pytestmark = pytest.mark.bpf

every_case = pytest.mark.parametrize("case", CASES, ids=[case.sentence for case in CASES])


@every_case
def test_the_kernel_does_as_the_case_says(arena: Arena, case: Case) -> None:
    seen = arena.run_in_kernel(case)

    assert (seen.verdict, seen.action) == (case.verdict, case.action)
    assert_same(seen.packet, case.expected)
    assert [packets for packets, _ in seen.counts.values()] == [1]
    assert seen.counts[case.verdict][1] in counted_bytes(case)


@every_case
def test_the_reference_does_as_the_case_says(arena: Arena, case: Case) -> None:
    outcome = arena.run_in_reference(case)

    assert outcome.verdict == case.verdict
    assert_same(outcome.packet, case.expected)
    assert outcome.ifindex == case.ifindex


def assert_same(packet: bytes, expected: bytes) -> None:
    """Compare whole packets; a difference is shown field by field."""
    if packet != expected:
        assert Ether(packet).show2(dump=True) == Ether(expected).show2(dump=True)
        assert packet.hex() == expected.hex()


def counted_bytes(case: Case) -> set[int]:
    """What a verdict's counter may grow by: the IP packet's length, or the frame's without one.

    A malformed packet has two lengths that contradict each other.
    """
    if case.verdict == "pass_not_ip":
        return {len(case.packet)}
    length = expect.parsed(case.packet).length
    return {length, len(case.packet)} if case.verdict == "drop_malformed" else {length}
