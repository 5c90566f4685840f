"""The MAC address of a neighbour outlives a short silence of it. Pure.

The kernel forgets the MAC address when nobody confirms it: about 3 s of FAILED after a silent
change of the MAC, a moment of INCOMPLETE when a link comes back. Packets go on to the last one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.underlay.snapshot import Neighbour, NeighbourKey

LAST_MAC_S = 5.0
"""Longer than the 3 s that a neighbour is FAILED after a MAC change; then it is truly gone."""


@dataclass(frozen=True, slots=True)
class KnownMac:
    """The MAC address to send to, and since when the neighbour has been silent."""

    mac: bytes
    lost_at: float | None = None  # None: the neighbour answers

    @property
    def fresh(self) -> bool:
        """Whether the kernel itself would send to it."""
        return self.lost_at is None


def remember(
    before: Mapping[NeighbourKey, KnownMac],
    neighbours: Mapping[NeighbourKey, Neighbour],
    wanted: Iterable[NeighbourKey],
    now: float,
) -> dict[NeighbourKey, KnownMac]:
    """The MAC addresses of the wanted neighbours, those lately lost included."""
    after: dict[NeighbourKey, KnownMac] = {}
    for key in wanted:
        neighbour = neighbours.get(key)
        mac = neighbour.usable_mac if neighbour is not None else None
        last = before.get(key)
        if mac is not None:
            after[key] = KnownMac(mac)
        elif last is not None:
            after[key] = last if last.lost_at is not None else KnownMac(last.mac, lost_at=now)
    return drop_expired(after, now)


def drop_expired(
    known: Mapping[NeighbourKey, KnownMac], now: float
) -> dict[NeighbourKey, KnownMac]:
    """Those that still answer or fell silent less than LAST_MAC_S ago."""
    return {
        key: mac
        for key, mac in known.items()
        if mac.lost_at is None or now < mac.lost_at + LAST_MAC_S
    }


def next_deadline(known: Mapping[NeighbourKey, KnownMac]) -> float | None:
    """When the first lost MAC address expires; None when there is none."""
    lost = [mac.lost_at for mac in known.values() if mac.lost_at is not None]
    return min(lost) + LAST_MAC_S if lost else None
