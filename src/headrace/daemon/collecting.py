"""Memory: what lives as long as the daemon is not walked again and again, and none lies idle."""

import ctypes
import gc
import time

LONG_S = 0.01
"""A collection that takes longer has walked much that stays: a change must not wait for the next.
"""

_M_ARENA_MAX = -8  # malloc.h


def share_one_arena() -> None:
    """Have all threads take memory from one place (mallopt(3)); call it before there are others.

    Each would keep megabytes of its own that it once needed.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # of glibc
        libc.mallopt(_M_ARENA_MAX, 1)


def freeze_now() -> None:
    """What was imported and made up to now lives long: no collection need walk it."""
    gc.collect()
    gc.freeze()


def freeze_what_stays() -> None:
    """From now on have what survived a long collection be left alone by those that follow.

    A large document, and what follows from it, is walked once so. Whatever nobody refers to is
    freed all the same; only what refers to itself and is garbage later stays.
    """
    gc.callbacks.append(_Watch().note)


class _Watch:
    def __init__(self) -> None:
        self._begin_s = 0.0

    def note(self, phase: str, info: dict[str, int]) -> None:
        """A collection starts or stops."""
        if phase == "start":
            self._begin_s = time.thread_time()
        elif info["generation"] == 2 and time.thread_time() - self._begin_s > LONG_S:
            gc.freeze()
