"""Labs: whole networks in namespaces of their own, for demonstration, tests and play.

Topologies are data; a `Laboratory` is one that exists. Nothing touches the root namespace, and
everything is removed afterwards, by the next lab of the same name if this process is killed.
"""

from headrace.lab.check import run_checks
from headrace.lab.demo import down, exec_in, run_demo, up
from headrace.lab.proofs import prove_announce
from headrace.lab.topologies import TOPOLOGIES

__all__ = [
    "TOPOLOGIES",
    "down",
    "exec_in",
    "prove_announce",
    "run_checks",
    "run_demo",
    "up",
]
