"""The lookup table of a pool: which endpoint answers for each slot."""

from __future__ import annotations  # array[int] needs it before Python 3.12

import hashlib
import math
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from headrace.maglev import kernel
from headrace.model.errors import ConfigError, Problem
from headrace.model.limits import (
    LIMIT_ENDPOINTS_PER_DOCUMENT,
    LIMIT_WEIGHT,
    SLOT_COUNT_MAX,
    SLOT_COUNT_MIN,
)
from headrace.model.values import IPAddress

_DRAINED = 1
_DOWN = 2
_FLAGS = slice(18, None, kernel.RECORD_SIZE)  # of all records
_ALL_UP = bytes(flags & ~_DOWN for flags in range(256))

_HEADER = struct.Struct(">8sIQII")
_MAGIC = b"headrace"
_HASH_VERSION = 1

_MAPPED_IPV4 = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291 2.5.5.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint of a pool, as far as the lookup table cares."""

    address: IPAddress
    weight: int = 1
    drained: bool = False
    down: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table; two with one digest are equal, wherever they were built."""

    seed: int
    slot_count: int
    candidates: tuple[Candidate, ...]  # sorted by identity
    digest: int  # 64 bits, of configuration and view
    base: array[int] = field(compare=False, repr=False)  # by slot: index into candidates
    owners: array[int] = field(compare=False, repr=False)  # by slot: who answers; may be `base`
    records: bytes = field(compare=False, repr=False)  # the candidates as the digest sees them

    def owner(self, slot: int) -> Candidate:
        """The endpoint that answers for a slot."""
        return self.candidates[self.owners[slot]]


def build_table(
    seed: int, candidates: Sequence[Candidate], slot_count: int, previous: Table | None = None
) -> Table:
    """The lookup table of a pool, whatever the order of its candidates.

    `previous` never changes the result; a table of the same endpoints and weights saves work.
    Raises ConfigError when no such table exists.
    """
    _check(candidates, slot_count)
    order, records = _sorted_records(candidates)
    in_order = tuple([candidates[index] for index in order])
    if previous is not None and _same_base(previous, seed, slot_count, records):
        base = previous.base
    else:
        base = _base(seed, records, slot_count, candidates)
    return _table(seed, in_order, records, base)


def change_down(table: Table, down: Iterable[IPAddress]) -> Table:
    """The table of the same configuration when exactly these of its endpoints are down.

    Addresses that are no candidate's do not matter, so that all pools can be given one set.
    """
    before = table.records[_FLAGS]
    after = bytearray(before.translate(_ALL_UP))
    for identity in _identities(down):
        index = _find(table.records, identity)
        if index is not None:
            after[index] |= _DOWN
    candidates = list(table.candidates)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            was = candidates[index]
            candidates[index] = Candidate(was.address, was.weight, was.drained, not was.down)
    records = bytearray(table.records)
    records[_FLAGS] = after
    return _table(table.seed, tuple(candidates), bytes(records), table.base)


def statics(table: Table) -> array[int]:
    """Three entries a slot: base owner, first and second fallback, health and drains ignored.

    For agents on endpoints: those of whom a flow may be that is not their own.
    An entry indexes `table.candidates`, or is NO_ENDPOINT where the pool has too few endpoints.
    """
    return kernel.statics(table.seed, table.records, table.base)


def _table(seed: int, candidates: tuple[Candidate, ...], records: bytes, base: array[int]) -> Table:
    all_take = not any(records[_FLAGS])
    return Table(
        seed=seed,
        slot_count=len(base),
        candidates=candidates,
        digest=_digest(seed, len(base), records),
        base=base,
        owners=base if all_take else kernel.owners(seed, records, base),
        records=records,
    )


def _digest(seed: int, slot_count: int, records: bytes) -> int:
    count = len(records) // kernel.RECORD_SIZE
    header = _HEADER.pack(_MAGIC, _HASH_VERSION, seed, slot_count, count)
    return int.from_bytes(hashlib.sha256(header + records).digest()[:8])


def _sorted_records(candidates: Sequence[Candidate]) -> tuple[array[int], bytes]:
    identities = _identities([candidate.address for candidate in candidates])
    try:
        return kernel.sort_records(
            b"".join(identities),
            [candidate.weight for candidate in candidates],
            bytes([c.drained * _DRAINED | c.down * _DOWN for c in candidates]),
        )
    except kernel.RepeatedError as error:
        raise _repeated(candidates, identities) from error


def _identities(addresses: Iterable[IPAddress]) -> list[bytes]:
    """The 16 bytes by which each endpoint is known and sorted."""
    return [
        (int(address) if type(address) is IPv6Address else int(address) | _MAPPED_IPV4).to_bytes(16)
        for address in addresses
    ]


def _find(records: bytes, identity: bytes) -> int | None:
    """The index of the endpoint with this identity."""
    size = kernel.RECORD_SIZE
    places = range(len(records) // size)
    index = bisect_left(places, identity, key=lambda i: records[i * size : i * size + 16])
    return index if records.startswith(identity, index * size) else None


def _same_base(previous: Table, seed: int, slot_count: int, records: bytes) -> bool:
    return (
        previous.seed == seed
        and previous.slot_count == slot_count
        and _without_flags(previous.records) == _without_flags(records)
    )


def _without_flags(records: bytes) -> bytearray:
    plain = bytearray(records)
    plain[_FLAGS] = bytes(len(records) // kernel.RECORD_SIZE)
    return plain


def _base(
    seed: int, records: bytes, slot_count: int, candidates: Sequence[Candidate]
) -> array[int]:
    try:
        return kernel.base_owners(seed, records, slot_count)
    except kernel.WithoutSlotError as error:
        raise _too_few_slots(slot_count, candidates) from error


def _too_few_slots(slot_count: int, candidates: Sequence[Candidate]) -> ConfigError:
    weights = [candidate.weight for candidate in candidates if candidate.weight]
    total, least = sum(weights), min(weights)
    needed = _prime_from(-(-total // least))
    remedy = (
        f"set slots to {needed}"
        if needed <= SLOT_COUNT_MAX
        else f"it takes {needed}, more than {SLOT_COUNT_MAX}: bring the weights closer together"
    )
    return ConfigError.at(
        "slots",
        f"{slot_count} slots leave an endpoint of weight {least} of {total} without one; {remedy}",
    )


def _check(candidates: Sequence[Candidate], slot_count: int) -> None:
    """Refuse what the kernel must not be asked; documents that were read never contain it."""
    if not 1 <= len(candidates) <= LIMIT_ENDPOINTS_PER_DOCUMENT:
        raise ConfigError.at(
            "endpoints", f"{len(candidates)} is not in 1..{LIMIT_ENDPOINTS_PER_DOCUMENT}"
        )
    if not SLOT_COUNT_MIN <= slot_count <= SLOT_COUNT_MAX or _prime_from(slot_count) != slot_count:
        raise ConfigError.at(
            "slots", f"{slot_count} is not a prime in {SLOT_COUNT_MIN}..{SLOT_COUNT_MAX}"
        )
    weights = {candidate.weight for candidate in candidates}
    if not 0 <= min(weights) <= max(weights) <= LIMIT_WEIGHT:
        raise ConfigError.at("endpoints", f"a weight is not in 0..{LIMIT_WEIGHT}")


def _repeated(candidates: Sequence[Candidate], identities: Sequence[bytes]) -> ConfigError:
    return ConfigError(
        Problem(
            f"endpoints[{index}].address",
            f"{candidates[index].address} is the address of endpoints[{first}] too; "
            "an address is one endpoint",
        )
        for index, identity in enumerate(identities)
        if (first := identities.index(identity)) < index
    )


def _prime_from(number: int) -> int:
    """The smallest prime that is not below `number`, which is at least 2."""
    while any(number % divisor == 0 for divisor in range(2, math.isqrt(number) + 1)):
        number += 1
    return number
