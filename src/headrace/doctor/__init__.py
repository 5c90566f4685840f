"""What on a host keeps a load balancer from working, and the command that mends it.

Facts are gathered by `gather`, judged by `judge`, which is pure. Nothing is changed.
"""

from headrace.doctor.facts import Facts
from headrace.doctor.finding import Finding, Level
from headrace.doctor.gather import gather
from headrace.doctor.judge import judge

__all__ = ["Facts", "Finding", "Level", "gather", "judge"]
