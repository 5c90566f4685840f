"""The packet path: the XDP program, its maps and counters, and a reference of it in Python.

Computes neither a table nor a plan: it writes what it is given and reads back what is there.
"""

from headrace.dataplane.dataplane import Dataplane
from headrace.dataplane.decapsulator import Decapsulation, Decapsulator
from headrace.dataplane.holder import LOCK_NAME, holding, lock_holder
from headrace.dataplane.loader import detach_all
from headrace.dataplane.probe_tunnel import ProbeTunnel, overhead_bytes
from headrace.dataplane.rerun import Course, Rerun, Run
from headrace.dataplane.samples import Sample, Samples
from headrace.dataplane.tables import BlockAge, EndpointRow, PoolTable, ServiceRow, Tables
from headrace.dataplane.verdicts import Action, Verdict, all_verdicts

__all__ = [
    "LOCK_NAME",
    "Action",
    "BlockAge",
    "Course",
    "Dataplane",
    "Decapsulation",
    "Decapsulator",
    "EndpointRow",
    "PoolTable",
    "ProbeTunnel",
    "Rerun",
    "Run",
    "Sample",
    "Samples",
    "ServiceRow",
    "Tables",
    "Verdict",
    "all_verdicts",
    "detach_all",
    "holding",
    "lock_holder",
    "overhead_bytes",
]
