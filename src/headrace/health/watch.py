"""What is known of one target, and when it is asked next. Pure."""

from dataclasses import dataclass, replace

from headrace.health.dampener import Dampener
from headrace.health.exchange import Exchange
from headrace.health.result import Result
from headrace.health.schedule import next_due_s, stretch
from headrace.model import Belief, Health, ProbeTarget


@dataclass(slots=True, eq=False)
class Watch:
    """One target under watch. Instants are monotonic."""

    target: ProbeTarget
    exchanges: tuple[Exchange, ...]
    dampener: Dampener
    belief: Belief
    due_s: float  # when the last try was due, or the first one is
    wake_s: float  # when it is next looked at: to be tried, or because a try's time is over
    failures: int = 0  # tries in a row that did not pass
    words: str = ""  # of the last result
    is_trying: bool = False

    def begin(self) -> None:
        """A try begins, and ends by its timeout at the latest."""
        self.due_s, self.is_trying = self.wake_s, True

    def observe(self, result: Result, now_s: float) -> tuple[bool, bool]:
        """Take a try's result: whether health changed, whether it is told in other words."""
        self.is_trying = False
        is_retold = result.words != self.words
        self.words = result.words
        self.failures = 0 if result.vote is Health.UP else self.failures + 1
        probe = self.target.probe
        intervals = stretch(probe.interval_s, self.failures, probe.fall)
        self.wake_s = next_due_s(self.due_s, now_s, probe.interval_s * intervals)
        health = self.dampener.observe(result.vote)
        if health is not None:
            self.belief = Belief(health, now_s, result.words)
        return health is not None, is_retold

    def explain(self, cause: str) -> None:
        """Give the belief its reason: the last result, and what is likely behind it."""
        reason = f"{self.words}; likely cause: {cause}" if cause else self.words
        self.belief = replace(self.belief, reason=reason)
