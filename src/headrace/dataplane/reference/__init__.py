"""The packet pipeline in plain Python, for reading: the specification that the C must agree with.

parse -> lookup -> choose -> encapsulate, or an answer, as in `bpf/headrace.bpf.c`, byte for byte
and verdict for verdict. `process` is told the second of CLOCK_MONOTONIC, it never asks.
"""

from headrace.dataplane.reference.choose import Asked, Choice, Reason, Slot, choose
from headrace.dataplane.reference.lookup import Lookup, Served, Source, Vip
from headrace.dataplane.reference.memory import FragmentKey, Memory, Note, Ports
from headrace.dataplane.reference.packet import Outcome, checksum
from headrace.dataplane.reference.pipeline import process

__all__ = [
    "Asked",
    "Choice",
    "FragmentKey",
    "Lookup",
    "Memory",
    "Note",
    "Outcome",
    "Ports",
    "Reason",
    "Served",
    "Slot",
    "Source",
    "Vip",
    "checksum",
    "choose",
    "process",
]
