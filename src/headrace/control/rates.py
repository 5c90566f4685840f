"""How many packets a second still go to endpoints that drain: the flows that they have left."""

from collections import deque
from collections.abc import Iterable

from headrace.control.desired import Desired
from headrace.control.ports import Dataplane
from headrace.model import Document, Reach

SAMPLE_S = 1.0
"""Between two looks at the counters."""

WINDOW = 4
"""Looks that a rate is taken over: a flow that is not quite idle shows, an old burst does not."""


class Rates:
    """Looks at the counters of some endpoints from time to time."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._seen: dict[Reach, deque[tuple[float, int]]] = {}  # times and packets

    def sample(self, reaches: Iterable[Reach], now: float) -> None:
        """Look at these; others are forgotten."""
        seen = {}
        for reach in reaches:
            known = self._seen.get(reach, deque(maxlen=WINDOW))
            known.append((now, self._dataplane.endpoint_count(reach).packets))
            seen[reach] = known
        self._seen = seen

    def packets_per_s(self, reach: Reach) -> float | None:
        """Over the last few seconds; None of one that was not looked at twice."""
        known = self._seen.get(reach)
        if known is None or len(known) < 2:
            return None
        (begin_s, before), (end_s, after) = known[0], known[-1]
        return (after - before) / (end_s - begin_s)


def draining_reaches(document: Document, desired: Desired) -> list[Reach]:
    """The endpoints, as the data plane has them, that drain in some pool."""
    pools = document.all_pools()
    drained = {
        name: {e.address for e in pool.endpoints if e.drained and not e.disabled}
        for name, pool in pools.items()
    }
    found = {
        reach: None
        for name, pool in desired.pools.items()
        if drained.get(name)
        for reach in pool.reaches
        if reach.endpoint in drained[name]
    }
    return list(found)
