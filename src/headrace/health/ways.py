"""What makes a probe take the tunnel: what this room needs of the node it runs on."""

from dataclasses import dataclass
from typing import Protocol

from headrace.model import IPAddress, ProbeTarget


@dataclass(frozen=True, slots=True)
class ProbeWay:
    """What makes the packets of a socket reach one endpoint by its tunnel."""

    mark: int
    source: IPAddress | None = None  # None: the one that the route says
    room_bytes: int | None = None
    """The largest packet that fits the tunnel; None: as the route says."""


class ProbeWays(Protocol):
    """The node's ways to endpoints, and its opinion of what is wrong with them."""

    def way_of(self, target: ProbeTarget) -> ProbeWay | None:
        """The way to the target by its tunnel; None: there is none at the moment."""
        ...

    def likely_cause(self, target: ProbeTarget, failure: str) -> str:
        """In words, why probes of this target fail; empty when nothing is known."""
        ...
