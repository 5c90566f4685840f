"""Figures about lookup tables: who answers how much, and what a change moves."""

from collections import Counter
from dataclasses import dataclass

from headrace.maglev.table import Candidate, Table


@dataclass(frozen=True, slots=True)
class Share:
    """What one endpoint answers."""

    candidate: Candidate
    slots: int
    share: float  # of all slots, 0..1


@dataclass(frozen=True, slots=True)
class Disruption:
    """What a change of table moves."""

    slots: int  # that have another owner
    needless: int  # of these, slots that an unchanged endpoint lost to an unchanged endpoint


def shares(table: Table) -> tuple[Share, ...]:
    """Every endpoint's slots, in the order of the table's candidates."""
    counts = Counter(table.owners)
    return tuple(
        Share(candidate, counts[index], counts[index] / table.slot_count)
        for index, candidate in enumerate(table.candidates)
    )


def imbalance(table: Table) -> float:
    """The busiest endpoint's slots over its due, by weight among those that answer; 1 is even."""
    answering = [share for share in shares(table) if share.slots]
    weight = sum(share.candidate.weight or 1 for share in answering)
    return max(share.share * weight / (share.candidate.weight or 1) for share in answering)


def disruption(old: Table, new: Table) -> Disruption:
    """The slots that move from one table to another with as many slots."""
    if old.slot_count != new.slot_count:
        raise ValueError(f"{old.slot_count} slots cannot be compared with {new.slot_count}")
    if old.digest == new.digest:
        return Disruption(slots=0, needless=0)
    unchanged = set(old.candidates) & set(new.candidates)
    lost = Counter(zip(old.owners, new.owners, strict=True))
    moves = [
        (old.candidates[before], new.candidates[after], slots)
        for (before, after), slots in lost.items()
        if old.candidates[before].address != new.candidates[after].address
    ]
    return Disruption(
        slots=sum(slots for _, _, slots in moves),
        needless=sum(slots for loser, winner, slots in moves if {loser, winner} <= unchanged),
    )
