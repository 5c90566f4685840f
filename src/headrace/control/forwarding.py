"""Has the kernel forward what is desired, and follow beliefs without a look at anything else."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

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
from headrace.model import Document, Forwarding, IPAddress, IPNetwork, UnavailableError

_ROUNDS = 2
"""The second mends what another program has changed since the kernel was read back last."""


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
        self._lock = asyncio.Lock()  # who changes it may have to wait for room

    @property
    def wanted(self) -> Desired | None:
        """What was wanted last; what of it stays saves work."""
        return self._wanted

    @property
    def in_force(self) -> InForce | None:
        """What the kernel forwards, if it took all of it."""
        return self._in_force

    def actual(self) -> Forwarding:
        """What the kernel forwards, as it was read back last if all was as desired then.

        Another program may have changed it since: who relies on it reads it again afterwards.
        """
        if self._agreed is None:
            return self._dataplane.read()
        return replace(self._agreed.actual, tuning=self._dataplane.tuning())

    def fresh(self, document: Document) -> frozenset[str]:
        """The document's services that packets are forwarded by as was wanted last, by label."""
        if self._wanted is None or not self._dataplane.is_followed:
            return frozenset()
        in_force = self._in_force
        if in_force is not None and in_force.document is document:
            return all_services(document)  # as was read back
        return fresh_services(document, self._wanted, self._dataplane.read())

    async def put(
        self,
        document: Document,
        desired: Desired,
        look: Callable[[], View],
        heard: frozenset[IPNetwork],
        *,
        thorough: bool,
    ) -> int:
        """Have it forwarded, save what these prefixes still stand on; the number of steps.

        A `thorough` one looks for what another program has changed, as well.
        What `look` shows at first is followed; who sees anything else meanwhile calls `follow`.
        Raises LbError where the kernel did not take it; what is in force is not known then.
        """
        async with self._lock:
            view = look()
            down = down_sets(desired.disabled, view.judged, view.over)
            desired, _ = with_down(desired, down)
            actual = self.actual()
            agreed, self._agreed = self._agreed, None
            self._in_force, self._wanted = None, desired
            steps, count = plan_forwarding(desired, actual, agreed), 0
            for _ in range(_ROUNDS):
                free = hold_back(steps, actual, heard).free
                for step in free:
                    await apply_step(step, self._dataplane)
                count += len(free)
                actual = self._dataplane.read(whole=thorough)
                steps = plan_forwarding(desired, actual, agreed)
                left = hold_back(steps, actual, heard).free
                if not left:
                    break
            if left:
                raise UnavailableError(
                    f"the kernel did not take {len(left)} steps, first {left[0]}"
                )
            self._agreed = None if steps else Agreed(desired, actual)
            self._dataplane.commit()
            self._in_force = InForce(document, desired, held_down(desired, actual))
            return count

    async def follow(self, look: Callable[[], View]) -> list[str]:
        """Take the flows from whom the view says is down; the pools whose table changed.

        Only those tables are written. Raises LbError as `put` does.
        """
        async with self._lock:
            if self._in_force is None:
                return []
            before, view = self._in_force, look()
            down = down_sets(before.desired.disabled, view.judged, view.over)
            desired, names = with_down(before.desired, down)
            if not names:
                return []
            self._in_force, self._wanted, self._agreed = None, desired, None
            for step in _steps(before, desired, names):
                await apply_step(step, self._dataplane)
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
