"""The text that Prometheus scrapes, format 0.0.4.

Written here and not by prometheus_client: it takes 6 us a sample, and a large node has 70,000.
"""

from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from headrace.control import Status
from headrace.metrics.legacy import LEGACY
from headrace.metrics.metric import Metric
from headrace.metrics.scene import Scene, build_scene
from headrace.metrics.table import METRICS
from headrace.model import Document

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""What the answer's header says of the text."""


def render(
    status: Status, document: Document, process: Mapping[str, float], *, legacy: bool = False
) -> bytes:
    """The node's metrics as text; `legacy` adds LoxiLB's names for those it has too.

    The status and the document belong together: ask for both without waiting in between.
    """
    scene = build_scene(status, document, process)
    metrics = (*METRICS, *LEGACY) if legacy else METRICS
    return "".join([_family(metric, scene) for metric in metrics]).encode()


def _family(metric: Metric, scene: Scene) -> str:
    name = metric.name
    head = f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n"
    if metric.labels:
        lines = [f"{name}{{{text}}} {value}\n" for text, value in metric.samples(scene)]
    else:
        lines = [f"{name} {value}\n" for _, value in metric.samples(scene)]
    return head + "".join(lines)
