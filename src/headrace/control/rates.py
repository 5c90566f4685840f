"""What still goes to endpoints that drain: packets a second, and about how many flows."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from headrace.control.desired import Desired
from headrace.control.ports import Dataplane
from headrace.maglev import SKETCH_BYTES, count_flows, join_sketches
from headrace.model import Document, Endpoint, Pool, Reach

SAMPLE_S = 1.0
"""Between two looks at the counters."""

WINDOW = 4
"""Looks that a rate is taken over: a flow that is not quite idle shows, an old burst does not."""

FLOWS_S = 10.0
"""How long flows go into one sketch."""

FLOW_SKETCHES = 6
"""Those that count, so for a minute: most that is kept open without data speaks once in that."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one endpoint at the looks of late."""

    packets: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    flows: deque[tuple[float, bytes]] = field(default_factory=lambda: deque(maxlen=FLOW_SKETCHES))
    counts_flows: bool = False

    def add_flows(self, sketch: bytes, now: float) -> None:
        if not self.flows or now - self.flows[-1][0] >= FLOWS_S:
            self.flows.append((now, sketch))
        elif any(sketch):
            since, known = self.flows[-1]
            self.flows[-1] = since, join_sketches(known, sketch)


class Rates:
    """Looks at the counters of some endpoints from time to time."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._seen: dict[Reach, _Seen] = {}

    def sample(self, reaches: Mapping[Reach, bool], now: float) -> None:
        """Look at these, which know whether their flows are counted; others are forgotten."""
        self._seen = {reach: self._seen.get(reach, _Seen()) for reach in reaches}
        for reach, seen in self._seen.items():
            seen.counts_flows = reaches[reach]
            sketch = self._dataplane.take_flows(reach)
            if seen.packets:  # what the first look finds is from before
                seen.add_flows(sketch, now)
            seen.packets.append((now, self._dataplane.endpoint_count(reach).packets))

    def packets_per_s(self, reach: Reach) -> float | None:
        """Over the last few seconds; None of one that was not looked at twice."""
        known = self._seen.get(reach)
        if known is None or len(known.packets) < 2:
            return None
        (begin_s, before), (end_s, after) = known.packets[0], known.packets[-1]
        return (after - before) / (end_s - begin_s)

    def flows_seen(self, reach: Reach) -> int | None:
        """About how many in the last minute; None where they are not counted, or not yet."""
        known = self._seen.get(reach)
        if known is None or not known.counts_flows or not known.flows:
            return None
        return count_flows(
            reduce(join_sketches, (sketch for _, sketch in known.flows), bytes(SKETCH_BYTES))
        )


def draining_reaches(document: Document, desired: Desired) -> dict[Reach, bool]:
    """The endpoints, as the data plane has them, that drain in some pool.

    With each, whether all its flows are counted: where it gets none but those of slots that have
    another owner. It has flows of its own where its whole pool drains, and by QUIC server ids.
    """
    found: dict[Reach, bool] = {}
    for name, pool in document.all_pools().items():
        draining = _drained(pool)
        if not draining or name not in desired.pools:
            continue
        drained = {e.address: _counts_flows(pool) and e.server_id is None for e in draining}
        for reach in desired.pools[name].reaches:
            if reach.endpoint in drained:
                found[reach] = found.get(reach, True) and drained[reach.endpoint]
    return found


def _drained(pool: Pool) -> list[Endpoint]:
    return [each for each in pool.endpoints if each.drained and not each.disabled]


def _counts_flows(pool: Pool) -> bool:
    return not all(each.drained for each in pool.endpoints)
