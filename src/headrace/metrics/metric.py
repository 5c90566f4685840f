"""A row of the table: a metric's name and meaning, and where its samples come from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from headrace.metrics.scene import Scene

Sample = tuple[str, float]
"""The labels as the exposition has them, `pool="web",endpoint="10.0.0.1"`, and the value."""


class Kind(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: all that the exposition, the reference page and the tests know of it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str  # in the plural, as in the name; empty: it counts or says yes (1) or no (0)
    help: str
    samples: Callable[[Scene], Iterable[Sample]]
