"""What makes a probe take the tunnel: what this room needs of the node it runs on."""

from typing import Protocol

from headrace.model import ProbeTarget


class ProbePaths(Protocol):
    """The node's paths to endpoints, and its opinion of what is wrong with them."""

    def mark_of(self, target: ProbeTarget) -> int | None:
        """The mark of sockets whose packets reach the target by its tunnel.

        None: there is no path at the moment.
        """
        ...

    def likely_cause(self, target: ProbeTarget, failure: str) -> str:
        """In words, why probes of this target fail; empty when nothing is known."""
        ...
