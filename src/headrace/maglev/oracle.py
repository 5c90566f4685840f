"""The lookup table in plain Python: docs/hash-v1.md sections 3 to 8 said once more, slowly.

The C kernel must agree with every function here on every byte. Nothing in the product calls this.
"""

from __future__ import annotations  # array[int] needs it before Python 3.12

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from headrace.maglev.flow_hash import MASK_32, MASK_64, key_of, mix
from headrace.maglev.kernel import NO_ENDPOINT, RECORD_SIZE, WithoutSlotError
from headrace.maglev.slot import SLOTS_PER_LINE, SlotWord

_KEY_IDENTITY_HIGH = 6
_KEY_IDENTITY_LOW = 7
_KEY_SLOT = 8


@dataclass(frozen=True, slots=True)
class _Record:
    """An endpoint, as the records that the kernel reads have it."""

    identity: int
    weight: int
    drained: bool
    down: bool


def endpoint_walk(seed: int, identity: int, slot_count: int) -> Iterator[int]:
    """The slots as an endpoint prefers them; its identity is a number of 128 bits."""
    high = mix(identity >> 64 ^ key_of(seed, _KEY_IDENTITY_HIGH))
    return _walk(mix(high ^ identity & MASK_64 ^ key_of(seed, _KEY_IDENTITY_LOW)), slot_count)


def slot_walk(seed: int, slot: int, slot_count: int) -> Iterator[int]:
    """The slots whose base owners stand in for the owner of this one, the nearest first."""
    return _walk(mix(slot ^ key_of(seed, _KEY_SLOT)), slot_count)


def base_owners(seed: int, records: bytes, slot_count: int) -> array[int]:
    """The base owner of every slot; WithoutSlotError if an endpoint with a weight has none."""
    endpoints = _parse(records)
    weights = [endpoint.weight for endpoint in endpoints]
    if not any(weights):
        return _reserve(seed, endpoints, slot_count)
    quotas = _quotas(weights, slot_count)
    if any(weight and not quota for weight, quota in zip(weights, quotas, strict=True)):
        raise WithoutSlotError
    return _fill(seed, endpoints, quotas, slot_count)


def owners(seed: int, records: bytes, base: array[int]) -> array[int]:
    """Who answers each slot, by the endpoints' weights and flags."""
    endpoints = _parse(records)
    up = {index for index, endpoint in enumerate(endpoints) if not endpoint.down}
    available = {i for i in up if endpoints[i].weight and not endpoints[i].drained}
    in_base = set(base)
    for answering in (available, up):
        if answering & in_base:
            return _answer(seed, base, answering)
    if up:
        return _answer(seed, _reserve(seed, endpoints, len(base)), up)
    return array("H", base)


def statics(seed: int, records: bytes, base: array[int]) -> array[int]:
    """Base owner, first and second fallback of every slot, or NO_ENDPOINT; health ignored."""
    del records  # the base table says it all
    firsts = _first_fallbacks(seed, base)
    answer = array("H")
    for slot, owner in enumerate(base):
        others = (base[place] for place in slot_walk(seed, slot, len(base)))
        second = (other for other in others if other not in (owner, firsts[slot]))
        answer.extend((owner, firsts[slot], next(second, NO_ENDPOINT)))
    return answer


def transition(
    words: Sequence[int], owners: Sequence[int], down: Collection[int]
) -> tuple[array[int], int]:
    """The words that follow when the slots get these owners, and how many have another one."""
    old = [SlotWord.of_word(word) for word in words]
    new = [_change(slot, owner, down) for slot, owner in zip(old, owners, strict=True)]
    changed = sum(slot.owner != owner for slot, owner in zip(old, owners, strict=True))
    return array("I", [slot.word for slot in new]), changed


def settle(words: Sequence[int], lines: Iterable[int]) -> tuple[array[int], int]:
    """The words after these lines have settled, and how many of their slots were unstable."""
    settling = set(lines)
    slots = [SlotWord.of_word(word) for word in words]
    settled = [i for i in range(len(slots)) if i // SLOTS_PER_LINE in settling]
    unstable = sum(slots[i].unstable for i in settled)
    for i in settled:
        slots[i] = SlotWord(slots[i].owner)
    return array("I", [slot.word for slot in slots]), unstable


def _change(slot: SlotWord, owner: int, down: Collection[int]) -> SlotWord:
    anchor, unstable = slot.anchor, slot.unstable
    if owner != slot.owner and not unstable:
        anchor, unstable = slot.owner, True
    if anchor in down:
        anchor = None
    return SlotWord(owner, anchor, unstable)


def _parse(records: bytes) -> list[_Record]:
    return [
        _Record(
            identity=int.from_bytes(records[at : at + 16]),
            weight=int.from_bytes(records[at + 16 : at + 18]),
            drained=bool(records[at + 18] & 1),
            down=bool(records[at + 18] & 2),
        )
        for at in range(0, len(records), RECORD_SIZE)
    ]


def _walk(bits: int, slot_count: int) -> Iterator[int]:
    """Every slot once: from a first one by equal steps."""
    position = ((bits >> 32) * slot_count) >> 32
    skip = 1 + (((bits & MASK_32) * (slot_count - 1)) >> 32)
    for _ in range(slot_count):
        yield position
        position = (position + skip) % slot_count


def _quotas(weights: list[int], slot_count: int) -> list[int]:
    """Slots by weight: largest remainder, ties to the lower identity."""
    total = sum(weights)
    quotas = [slot_count * weight // total for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda index: (-(slot_count * weights[index] % total), index)
    )
    for index in by_remainder[: slot_count - sum(quotas)]:
        quotas[index] += 1
    return quotas


def _fill(seed: int, endpoints: list[_Record], quotas: list[int], slot_count: int) -> array[int]:
    seated = sum(quota > 0 for quota in quotas)
    rounds = -(-slot_count // seated)
    walks = [endpoint_walk(seed, endpoint.identity, slot_count) for endpoint in endpoints]
    credits_left = [rounds - 1] * len(endpoints)
    base = array("H", [NO_ENDPOINT]) * slot_count
    for _ in range(rounds):
        for index, quota in enumerate(quotas):
            credits_left[index] += quota
            while credits_left[index] >= rounds:
                credits_left[index] -= rounds
                slot = next(place for place in walks[index] if base[place] == NO_ENDPOINT)
                base[slot] = index
    return base


def _reserve(seed: int, endpoints: list[_Record], slot_count: int) -> array[int]:
    """The base table of the endpoints of weight 0, all alike."""
    quotas = _quotas([int(endpoint.weight == 0) for endpoint in endpoints], slot_count)
    return _fill(seed, endpoints, quotas, slot_count)


def _answer(seed: int, base: array[int], answering: set[int]) -> array[int]:
    firsts = _first_fallbacks(seed, base)
    answer = array("H", base)
    for slot, owner in enumerate(base):
        if owner in answering:
            continue
        order = (base[place] for place in slot_walk(seed, slot, len(base)))
        answer[slot] = next(
            (other for other in (firsts[slot], *order) if other in answering), owner
        )
    return answer


def _first_fallbacks(seed: int, base: array[int]) -> array[int]:
    """By slot: the first other owner on its walk that was not given its share of such slots."""
    quotas = Counter(base)
    given: Counter[tuple[int, int]] = Counter()
    firsts = array("H", [NO_ENDPOINT]) * len(base)
    if len(quotas) == 1:
        return firsts
    for slot, owner in enumerate(base):
        rest = len(base) - quotas[owner]
        for place in slot_walk(seed, slot, len(base)):
            other = base[place]
            limit = -(-quotas[owner] * quotas[other] // rest)
            if other != owner and given[owner, other] < limit:
                break
        given[owner, other] += 1
        firsts[slot] = other
    return firsts
