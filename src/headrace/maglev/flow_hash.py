"""The flow hash of docs/hash-v1.md, sections 1 and 2: what the data plane computes per packet."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Self, assert_never

from headrace.model.values import Affinity, Flow

MASK_64 = 2**64 - 1
MASK_32 = 2**32 - 1

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (
    0x9FB21C651E98DF25,
    0xA0761D6478BD642F,
    0xE7037ED1A0B428DB,
    0x8EBC6AF09C88C6E3,
    0x589965CC75374CC3,
    0x1D8E4E27C47D124F,
)
_FINISH_MULTIPLIER = 0xD6E8FEB86659FD93


def mix(z: int) -> int:
    """Spread every bit of a 64-bit number over all 64: the output function of splitmix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    return z ^ (z >> 31)


def key_of(seed: int, index: int) -> int:
    """Key number `index` of a cluster: the outputs of splitmix64 started at its seed."""
    return mix((seed + (index + 1) * _GOLDEN_GAMMA) & MASK_64)


def slot_of(hash32: int, slot_count: int) -> int:
    """The slot of a lookup table that a hash falls into."""
    return (hash32 * slot_count) >> 32


class FlowHash:
    """The keyed hash of a cluster; the same on every node that has its seed."""

    def __init__(self, keys: Sequence[int]) -> None:
        if len(keys) != len(_MULTIPLIERS):
            raise ValueError(f"{len(keys)} hash keys are not {len(_MULTIPLIERS)}")
        self.keys = tuple(keys)

    @classmethod
    def of_seed(cls, seed: int) -> Self:
        """The hash that a cluster's seed makes."""
        if not 0 <= seed <= MASK_64:
            raise ValueError(f"hash seed {seed} is not in 0..2^64-1")
        return cls([key_of(seed, index) for index in range(len(_MULTIPLIERS))])

    def hash32(self, flow: Flow, affinity: Affinity = Affinity.FLOW) -> int:
        """The hash of a flow from client to VIP, over what the affinity lets count."""
        total = self._fold(1, _ports_word(flow, affinity))
        for index, word in _address_words(flow):
            total += self._fold(index, 0 if affinity is Affinity.DESTINATION_PORT else word)
        return _finish(total & MASK_64)

    def _fold(self, index: int, word: int) -> int:
        product = ((word ^ self.keys[index]) * _MULTIPLIERS[index]) & MASK_64
        return product ^ (product >> 32)


def _ports_word(flow: Flow, affinity: Affinity) -> int:
    match affinity:
        case Affinity.FLOW:
            return flow.protocol.number << 32 | flow.destination_port << 16 | flow.source_port
        case Affinity.SOURCE_IP:
            return 0
        case Affinity.DESTINATION_PORT:
            return flow.destination_port << 16
        case _:
            assert_never(affinity)


def _address_words(flow: Flow) -> list[tuple[int, int]]:
    """The words of both addresses, each with the number of its key and multiplier."""
    source, destination = int(flow.source), int(flow.destination)
    match flow.source, flow.destination:
        case IPv4Address(), IPv4Address():
            return [(0, destination << 32 | source)]
        case IPv6Address(), IPv6Address():
            return [
                (index, (destination >> shift & MASK_32) << 32 | source >> shift & MASK_32)
                for index, shift in ((2, 96), (3, 64), (4, 32), (5, 0))
            ]
        case _:
            raise ValueError(f"{flow.source} and {flow.destination} are of two families")


def _finish(total: int) -> int:
    total ^= total >> 29
    return ((total * _FINISH_MULTIPLIER) & MASK_64) >> 32
