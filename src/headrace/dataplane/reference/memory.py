"""What packets leave behind for those after them."""

from dataclasses import dataclass, field

from headrace.maglev import SKETCH_BYTES, mark_flow
from headrace.model import Flow, Protocol


@dataclass(frozen=True, slots=True)
class Note:
    """Where a flow is."""

    endpoint: int  # index
    generation: int  # the note counts while the endpoint there has this one
    seen_s: int


@dataclass(frozen=True, slots=True)
class FragmentKey:
    """What the fragments of one packet have in common; addresses are numbers."""

    version: int
    source: int
    destination: int
    identification: int
    protocol: Protocol | None  # None for IPv6, whose later fragments need not show it


@dataclass(frozen=True, slots=True)
class Ports:
    """What only the first fragment has for sure."""

    protocol: Protocol
    source_port: int
    destination_port: int
    seen_s: int


@dataclass(slots=True)
class Memory:
    """Notes, fragments, departures, flows by endpoint and the answers of this second.

    It has no limits: where a full map of the kernel forgets the oldest, this still knows.
    """

    notes: dict[Flow, Note] = field(default_factory=dict)
    fragments: dict[FragmentKey, Ports] = field(default_factory=dict)
    departures: dict[tuple[str, int], int] = field(default_factory=dict)
    """Pool and block of its table -> when a packet went elsewhere than to its slot's owner last."""
    sketches: dict[int, bytearray] = field(default_factory=dict)
    """By index of an endpoint: the flows sent there whose slot has another owner."""
    answers_second: int = 0
    answers_count: int = 0

    def see_flow(self, endpoint: int, hash32: int) -> None:
        """Remember a flow that was sent to an endpoint which is not its slot's owner."""
        mark_flow(self.sketches.setdefault(endpoint, bytearray(SKETCH_BYTES)), hash32)

    def may_answer(self, answers_per_s: int, now_s: int, *, is_ping: bool) -> bool:
        """Whether one more answer fits into this second; it counts as given then.

        A quarter of them is not for pings.
        """
        if self.answers_second != now_s:
            self.answers_second, self.answers_count = now_s, 0
        if self.answers_count >= answers_per_s - is_ping * (answers_per_s // 4):
            return False
        self.answers_count += 1
        return True
