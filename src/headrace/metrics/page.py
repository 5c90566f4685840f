"""The reference page of the metrics, from the table."""

from collections.abc import Iterable

from headrace.metrics.legacy import ABSENT, LEGACY
from headrace.metrics.metric import Metric
from headrace.metrics.table import METRICS

_HEAD = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n"

_PAGE = """\
# Metrics

Generated from the tables in `src/headrace/metrics/`; a test compares the two.

Prometheus reads them at `/metrics`, in its text format 0.0.4. The
[dashboard and the alerts](../monitoring/README.md) use these names.

- Counters of packets and bytes are the kernel's own, and exact. They outlive the daemon. They begin
  again with the machine, after `headrace detach`, when a service or an endpoint was removed, and
  when an endpoint gets other outer addresses.
- Bytes are those of the IP packet as the client sent it: no Ethernet header, no outer header.
- A gauge without a unit says yes or no, as 1 or 0, or a plain number. What is not known has no
  sample; it is never 0.
- While a service is being changed its counters have no sample, and go on where they were.
- An endpoint's packets are counted once for all pools that reach it by the same `encapsulation` and
  `dscp`. So these counters have no label `pool`, and their sum has no packet twice.

| label | values |
|---|---|
| `service` | the service's key, as `192.0.2.1:80/tcp`; for LoxiLB's names, the service's name |
| `pool` | the pool's name; of a service with endpoints of its own, the service's key |
| `endpoint`, `peer` | its address |
| `verdict` | how the data plane ended a packet's way |
| `action` | what that did with the packet: `send`, `answer`, `drop`, `pass` |

"""

_LEGACY = """
## LoxiLB's names

Added on request, for dashboards that were made for LoxiLB. The bare names are gauges, as they are
there; use those with a prefix, or better the table above.

"""

_ABSENT = """
These have no counterpart, and do not appear:

| LoxiLB's | because |
|---|---|
"""


def build_page() -> str:
    """The page in Markdown."""
    absent = "".join(
        f"| {', '.join(f'`{name}`' for name in names)} | {why} |\n" for why, names in ABSENT.items()
    )
    return f"{_PAGE}{_table(METRICS)}{_LEGACY}{_table(LEGACY)}{_ABSENT}{absent}"


def _table(metrics: Iterable[Metric]) -> str:
    return _HEAD + "".join(_row(metric) for metric in metrics)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = (f"`{metric.name}`", metric.kind, labels, metric.unit, metric.help)
    return f"| {' | '.join(cells)} |\n"
