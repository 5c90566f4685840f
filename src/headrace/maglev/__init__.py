"""From (seed, endpoints, weights, health) to a lookup table, and from a flow to its slot.

Also the words that the data plane keeps for slots, and what a change of table makes of them; and
how many flows a sketch of hashes has seen.

Everything here is pure: the same arguments give the same bytes in every process and on every
machine, as docs/hash-v1.md specifies. The room knows no services, no maps and no time.
"""

from headrace.maglev.figures import Disruption, Share, disruption, imbalance, shares
from headrace.maglev.flow_hash import FlowHash, slot_of
from headrace.maglev.flow_sketch import (
    SKETCH_BYTES,
    count_flows,
    join_sketches,
    mark_flow,
)
from headrace.maglev.kernel import NO_ENDPOINT, STATICS_PER_SLOT
from headrace.maglev.slot import SLOTS_PER_LINE, SlotWord, label, settle, transition
from headrace.maglev.table import Candidate, Table, build_table, change_down, statics

__all__ = [
    "NO_ENDPOINT",
    "SKETCH_BYTES",
    "SLOTS_PER_LINE",
    "STATICS_PER_SLOT",
    "Candidate",
    "Disruption",
    "FlowHash",
    "Share",
    "SlotWord",
    "Table",
    "build_table",
    "change_down",
    "count_flows",
    "disruption",
    "imbalance",
    "join_sketches",
    "label",
    "mark_flow",
    "settle",
    "shares",
    "slot_of",
    "statics",
    "transition",
]
