"""The counters through a controller: exact after each change, and after a restart."""

import pytest

from headrace.control import Controller, World, restore
from headrace.metrics import render
from headrace.model import Document, KernelError, parse_document
from tests.control.fakes import (
    FakeChecker,
    FakeDataplane,
    FakeProbePaths,
    FakeSpeaker,
    FakeStore,
    FakeUnderlay,
    Journal,
)
from tests.metrics.node import VIP_KEY, samples_of

PLAIN = "services: [{vip: 192.0.2.1, protocol: tcp, port: 80, endpoints: [{address: 10.0.0.1}]%s}]"
BEFORE = parse_document(PLAIN % "")
AFTER = parse_document(PLAIN % ", affinity: source-ip")


class Site:
    """A kernel, and the daemon that runs on it at the moment."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.dataplane = FakeDataplane(self.journal)
        self.store = FakeStore()
        self.restart()

    def restart(self) -> None:
        """Another daemon on the same kernel and the same revisions."""
        world = World(
            self.store,
            self.dataplane,
            FakeUnderlay(),
            FakeSpeaker(self.journal),
            FakeChecker(),
            FakeProbePaths(),
        )
        self.controller = Controller(world, *restore(self.store, None))

    async def edit(self, document: Document) -> None:
        await self.controller.edit(lambda _: document, author="test")

    def packets(self) -> dict[tuple[str, ...], float]:
        """The services' packets as Prometheus reads them now."""
        text = render(self.controller.status(), self.controller.document, {}).decode()
        return samples_of("headrace_service_packets_total", text)


async def test_a_counter_goes_on_through_changes_and_restarts() -> None:
    site = Site()
    await site.edit(BEFORE)
    site.dataplane.packets = 1_000

    before = site.packets()
    await site.edit(AFTER)
    changed = site.packets()
    site.dataplane.packets = 1_001
    site.restart()

    assert before == changed == {(VIP_KEY,): 1_000}
    assert site.packets() == {(VIP_KEY,): 1_001}


async def test_a_counter_is_silent_while_its_service_is_being_changed() -> None:
    site = Site()
    await site.edit(BEFORE)
    site.dataplane.packets = 1_000
    site.journal.fail_at = len(site.journal.entries)

    with pytest.raises(KernelError):
        await site.edit(AFTER)

    assert site.packets() == {}
