"""How many flows were seen, from a sketch of their hashes: HyperLogLog (Flajolet et al., 2007).

A hash chooses a byte of the sketch by its low bits; the byte keeps the highest rank, which is how
many zeros the other bits end with, and one. The data plane marks, see `bpf/flow_table.h`.
"""

from math import log

SKETCH_BITS = 7
SKETCH_BYTES = 1 << SKETCH_BITS

_END = 1 << 32 - SKETCH_BITS
"""The bit that ends the zeros of a hash which has nothing else."""
_BIAS = 0.7213 / (1 + 1.079 / SKETCH_BYTES)
_FEW = 2.5 * SKETCH_BYTES
"""Up to so many flows the bytes that are still zero tell the number better."""


def mark_flow(sketch: bytearray, hash32: int) -> None:
    """Mark a flow in a sketch."""
    rest = hash32 >> SKETCH_BITS | _END
    rank = (rest & -rest).bit_length()
    byte = hash32 % SKETCH_BYTES
    sketch[byte] = max(sketch[byte], rank)


def join_sketches(one: bytes, other: bytes) -> bytes:
    """The sketch of the flows that are in one of two."""
    return bytes(map(max, one, other))


def count_flows(sketch: bytes) -> int:
    """About how many flows a sketch saw: exact for a few, within 9 % mostly for many."""
    estimate = _BIAS * SKETCH_BYTES**2 / sum(2.0**-rank for rank in sketch)
    unmarked = sketch.count(0)
    if estimate <= _FEW and unmarked:
        estimate = SKETCH_BYTES * log(SKETCH_BYTES / unmarked)
    return round(estimate)
