"""Captures of what the data plane does with packets: a sample of them, each with its verdict.

Reads an instance's pins beside its daemon, and changes nothing there but how much is sampled, for
as long as a capture lasts.
"""

from headrace.capture.seen import Seen
from headrace.capture.session import LIMIT_ONE_IN, Session, Taken, Wanted, open_session
from headrace.capture.sinks import Lines, PcapngFile, Sink
from headrace.capture.stopping import stop_signals

__all__ = [
    "LIMIT_ONE_IN",
    "Lines",
    "PcapngFile",
    "Seen",
    "Session",
    "Sink",
    "Taken",
    "Wanted",
    "open_session",
    "stop_signals",
]
