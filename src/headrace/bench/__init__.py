"""Measures the data plane: what a packet costs, with everything compiled in and counters on."""

from headrace.bench.cases import Case, all_cases
from headrace.bench.harness import Figure, measure
from headrace.bench.report import show, write_json

__all__ = ["Case", "Figure", "all_cases", "measure", "show", "write_json"]
