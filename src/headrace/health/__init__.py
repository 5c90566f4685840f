"""Probes, when to probe, and what to believe of an endpoint.

Knows nothing of what is done with a belief.
"""

from headrace.health.checker import Checker
from headrace.health.ways import ProbeWay, ProbeWays

__all__ = ["Checker", "ProbeWay", "ProbeWays"]
