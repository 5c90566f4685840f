"""A scrape does not hold the daemon up."""

import sys

from tests.metrics.speed import ENDPOINTS, LIMIT_MS, SERVICES, measured

SLACK = 3
"""Other work on the machine fails no test; a way of writing that costs three times as much does."""


def test_a_large_node_is_rendered_in_a_blink() -> None:
    figures = measured()

    sys.stdout.write(f"{figures.cpu_ms[0]:.0f} ms, to be at most {LIMIT_MS:g} ms\n")
    assert figures.text.count(b"\nheadrace_endpoint_packets_total{") == SERVICES * ENDPOINTS
    assert figures.cpu_ms[0] <= SLACK * LIMIT_MS
