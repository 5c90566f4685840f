"""Signals that end a capture, as something to wait for: none interrupts its tidying up."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals() -> Iterator[int]:
    """A descriptor that becomes readable when one of the signals has come; only the main thread.

    During the block the signals do nothing else.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def note(number: int, _frame: FrameType | None) -> None:
        os.write(writer, bytes([number]))

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
