"""Probes, when to probe, and what to believe of an endpoint.

Knows nothing of what is done with a belief.
"""

from headrace.health.checker import Checker
from headrace.health.paths import ProbePaths, ProbeWay

__all__ = ["Checker", "ProbePaths", "ProbeWay"]
