"""Has the kernel forward what is desired, and follow beliefs without a look at anything else."""

from dataclasses import dataclass

from headrace.control.apply import apply_step
from headrace.control.beliefs import down_sets
from headrace.control.desired import Desired, with_down
from headrace.control.ground import View, all_services, fresh_services
from headrace.control.holding import hold_back
from headrace.control.plan import (
    Agreed,
    PutPool,
    SetDown,
    SetServerIds,
    Step,
    held_down,
    plan_forwarding,
)
from headrace.control.ports import Dataplane
from headrace.model import Document, IPAddress, IPNetwork, UnavailableError


@dataclass(frozen=True, slots=True)
class InForce:
    """What the kernel was read back to forward."""

    document: Document
    desired: Desired
    held: frozenset[IPAddress]  # down, of endpoints that are to go and cannot yet


class Forwarder:
    """The one that changes what the kernel forwards."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._in_force: InForce | None = None
        self._wanted: Desired | None = None
        self._agreed: Agreed | None = None

    @property
    def wanted(self) -> Desired | None:
        """What was wanted last; what of it stays saves work."""
        return self._wanted

    def fresh(self, document: Document) -> frozenset[str]:
        """The document's services that the kernel forwards as was wanted last, by label."""
        if self._wanted is None:
            return frozenset()
        in_force = self._in_force
        if in_force is not None and in_force.document is document:
            return all_services(document)  # as was read back
        return fresh_services(document, self._wanted, self._dataplane.read())

    @property
    def in_force(self) -> InForce | None:
        """What the kernel forwards, if it took all of it."""
        return self._in_force

    def put(
        self, document: Document, desired: Desired, view: View, heard: frozenset[IPNetwork]
    ) -> int:
        """Have it forwarded, save what these prefixes still stand on; the number of steps.

        Raises LbError where the kernel did not take it; what is in force is not known then.
        """
        # Between this and the read-back nothing else runs, so that beliefs cannot be undone.
        down = down_sets(desired.disabled, view.judged, view.over)
        desired, _ = with_down(desired, down)
        self._in_force, self._wanted = None, desired
        actual = self._dataplane.read()
        split = hold_back(plan_forwarding(desired, actual, self._agreed), actual, heard)
        for step in split.free:
            apply_step(step, self._dataplane)
        actual = self._dataplane.read()
        steps = plan_forwarding(desired, actual, self._agreed)
        self._agreed = None if steps else Agreed(desired, actual)
        left = hold_back(steps, actual, heard).free
        if left:
            raise UnavailableError(f"the kernel did not take {len(left)} steps, first {left[0]}")
        self._dataplane.commit()
        self._in_force = InForce(document, desired, held_down(desired, actual))
        return len(split.free)

    def follow(self, view: View) -> list[str]:
        """Take the flows from whom this view says is down; the pools whose table changed.

        Only those tables are written. Raises LbError as `put` does.
        """
        if self._in_force is None:
            return []
        before = self._in_force
        down = down_sets(before.desired.disabled, view.judged, view.over)
        desired, names = with_down(before.desired, down)
        if not names:
            return []
        self._in_force, self._wanted = None, desired
        for step in _steps(before, desired, names):
            apply_step(step, self._dataplane)
        self._in_force = InForce(before.document, desired, before.held)
        return names


def _steps(before: InForce, desired: Desired, names: list[str]) -> list[Step]:
    """Who is down first: the tables keep no flow at one that is."""
    steps: list[Step] = []
    if desired.down != before.desired.down:
        steps.append(SetDown(desired.down | before.held))
    for name in names:
        pool = desired.pools[name]
        steps.append(PutPool(name, pool))
        if pool.server_ids:
            steps.append(SetServerIds(name, pool.server_ids))
    return steps
