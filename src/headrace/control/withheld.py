"""What export policies keep from which peers. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.model import Announcement, Bgp, Family, IPAddress, IPNetwork
from headrace.model.exporting import Exporting


@dataclass(frozen=True, slots=True)
class Withheld:
    """Prefixes that are announced, and that peers do not hear."""

    by_peer: Mapping[IPAddress, frozenset[IPNetwork]]
    from_all: frozenset[IPNetwork]  # from each peer that carries their family


def withheld_of(bgp: Bgp | None, announced: Iterable[Announcement]) -> Withheld:
    """What the policies of this section keep from its peers."""
    if bgp is None or all(peer.hears_all for peer in bgp.peers):
        return Withheld({}, frozenset())
    told, exporting = tuple(announced), Exporting(bgp)
    by_peer: dict[IPAddress, frozenset[IPNetwork]] = {}
    for way, peers in exporting.ways().items():
        by_peer |= dict.fromkeys(peers, exporting.rejected(told, way))
    return Withheld(
        {
            peer.address: frozenset(
                prefix
                for prefix in by_peer.get(peer.address, ())
                if Family.of(prefix) in peer.carried
            )
            for peer in bgp.peers
        },
        frozenset(each.prefix for each in told if _is_kept_from_all(each.prefix, bgp, by_peer)),
    )


def _is_kept_from_all(
    prefix: IPNetwork, bgp: Bgp, by_peer: Mapping[IPAddress, frozenset[IPNetwork]]
) -> bool:
    hearers = [peer.address for peer in bgp.peers if Family.of(prefix) in peer.carried]
    return bool(hearers) and all(prefix in by_peer.get(each, ()) for each in hearers)
