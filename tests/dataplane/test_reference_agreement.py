"""The C and the reference agree on any packet. More packets: HEADRACE_FUZZ_PACKETS=N."""

import os
import random

import pytest

from .fuzzing import random_packet
from .rig import Rig

pytestmark = pytest.mark.bpf

PACKETS = int(os.environ.get("HEADRACE_FUZZ_PACKETS", "5000"))


def test_program_and_reference_agree_on_random_packets(rig: Rig) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    verdicts = set()

    for number in range(PACKETS):
        packet = random_packet(rng)
        expected = rig.expected(packet)
        seen = rig.run(packet)
        assert (seen.verdict, seen.packet) == (expected.verdict, expected.packet), (
            f"packet {number} of seed {seed}: {packet.hex()}"
        )
        verdicts.add(seen.verdict)

    assert {"sent", "pass_not_vip", "drop_unserved", "drop_fragment"} <= verdicts
