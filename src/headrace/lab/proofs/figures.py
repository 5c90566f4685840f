"""What was measured, and what it may be at most."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from headrace.lab.claims import ClaimView


@dataclass(frozen=True, slots=True)
class Bound:
    """A promise about one time."""

    text: str
    limit_s: float
    least_s: float = 0.0


@dataclass(slots=True)
class Figures:
    """Everything measured against bounds since the last `tell`."""

    view: ClaimView
    _values: dict[tuple[str, Bound], list[float]] = field(default_factory=dict)

    def add(self, bound: Bound, subject: str, values_s: Iterable[float]) -> None:
        """Note what was measured of a subject, such as one router."""
        self._values.setdefault((subject, bound), []).extend(values_s)

    def tell(self) -> None:
        """Claim each bound of each subject for the worst that was measured, and begin anew."""
        for (subject, bound), values_s in self._values.items():
            lowest, highest = min(values_s), max(values_s)
            least = f"{shown(bound.least_s)} to " if bound.least_s else "<= "
            middle = shown(quantile(values_s, 0.5))
            seen = f"{shown(highest)}, the worst of {len(values_s)}; median {middle}"
            if bound.least_s:
                seen += f"; least {shown(lowest)}"
            self.view.check(
                f"{bound.text} ({subject}): {least}{shown(bound.limit_s)}",
                held=bound.least_s <= lowest and highest <= bound.limit_s,
                seen=seen,
            )
        self._values.clear()


def shown(value_s: float) -> str:
    """A time as people read it."""
    return f"{value_s * 1000:.0f} ms" if abs(value_s) < 2 else f"{value_s:.2f} s"


def quantile(values: Iterable[float], share: float) -> float:
    """The least value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
