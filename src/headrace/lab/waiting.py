"""Wait for something that tells nobody when it happens, or for several things at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, TypeVar

POLL_S = 0.02

_T = TypeVar("_T")


async def poll(
    probe: Callable[[], Awaitable[_T | None]], *, timeout_s: float, every_s: float = POLL_S
) -> _T | None:
    """What the probe finds, as soon as it finds anything; None when the time is over."""
    deadline = monotonic() + timeout_s
    while (found := await probe()) is None and monotonic() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(every_s)
    return found


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results of all, in order; the first failure cancels the others and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
