"""Has slots settle that no old flow was seen in for the document's time."""

import asyncio
from collections.abc import Callable

import structlog

from headrace.control.ports import Dataplane
from headrace.model import LbError

SETTLE_S_MAX = 60.0
"""Between two looks for slots that have settled: each reads the age of every line of slots."""

SETTLE_PARTS = 20
"""Looks in one transition_idle_s, so that a slot settles 5 % late at most."""

_log = structlog.get_logger()


async def settle_at_times(dataplane: Dataplane, idle_s: Callable[[], int]) -> None:
    """Look for settled slots until cancelled; one that fails to settle is tried again."""
    while True:
        idle = idle_s()
        await asyncio.sleep(settle_interval_s(idle))
        try:
            count = dataplane.settle(idle)
        except LbError as error:
            _log.warning("settling_failed", error=str(error))
        else:
            if count:
                _log.info("slots_settled", count=count)


def settle_interval_s(idle_s: int) -> float:
    """How often to look for slots that have been idle for so long."""
    return min(max(idle_s / SETTLE_PARTS, 1.0), SETTLE_S_MAX)
