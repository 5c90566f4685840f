"""What Prometheus reads: one table of names, and the page that documents it.

Asks nobody but /proc: it turns a `Status` and its document into text, and changes no number.
"""

from headrace.metrics.exposition import CONTENT_TYPE, render
from headrace.metrics.legacy import LEGACY
from headrace.metrics.metric import Kind, Metric
from headrace.metrics.page import build_page
from headrace.metrics.process import read_process
from headrace.metrics.table import METRICS

__all__ = [
    "CONTENT_TYPE",
    "LEGACY",
    "METRICS",
    "Kind",
    "Metric",
    "build_page",
    "read_process",
    "render",
]
