"""The reconciler against a world in memory: order, read-back, failure at every step."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.control import Controller, World, restore
from headrace.control.beliefs import disabled_sets
from headrace.control.desired import build_desired, targets_of
from headrace.control.plan import plan_forwarding
from headrace.model import (
    Announcement,
    ConfigError,
    Document,
    KernelError,
    ServiceEntry,
    ServiceKey,
    parse_document,
)
from headrace.model.values import Protocol

from .fakes import (
    FakeChecker,
    FakeDataplane,
    FakeProbePaths,
    FakeSpeaker,
    FakeStore,
    FakeUnderlay,
    Journal,
)

VIP = ip_address("20.20.20.1")
KEY = ServiceKey(VIP, Protocol.TCP, 8080)
ENTRY = ServiceEntry(str(KEY))
SEED = """
services:
- {vip: 20.20.20.1, protocol: tcp, port: 8080, announce: true, hold_down_s: 0, endpoints: [%s]}
bgp: {as: 64512, router_id: 11.11.11.1, peers: [{address: 11.11.11.254, as: 65001}]}
"""
THREE = parse_document(SEED % ", ".join(f"{{address: 5{n}.0.0.1}}" for n in (6, 7, 8)))
TWO = parse_document(SEED % ", ".join(f"{{address: 5{n}.0.0.1}}" for n in (6, 8)))
NOTHING = parse_document("{}")


class Node:
    """A controller and the world that it runs."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.dataplane = FakeDataplane(self.journal)
        self.underlay = FakeUnderlay()
        self.speaker = FakeSpeaker(self.journal)
        self.store = FakeStore()
        self.probe_paths = FakeProbePaths()
        self.start()

    def start(self) -> None:
        """A daemon's start, in the world as it is."""
        self.checker = FakeChecker()
        world = World(
            self.store,
            self.dataplane,
            self.underlay,
            self.speaker,
            self.checker,
            self.probe_paths,
        )
        self.controller = Controller(world, *restore(self.store, None))

    async def edit(self, document: Document) -> int:
        return await self.controller.edit(lambda _: document, author="test")

    def take_entries(self) -> list[str]:
        entries = self.journal.entries[:]
        self.journal.entries.clear()
        return entries


@pytest.fixture(autouse=True)
def quick_withdrawals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.announcing.WITHDRAW_WAIT_S", 0.0)


async def test_adding_runs_endpoints_pool_service_announcement() -> None:
    node = Node()

    revision = await node.edit(THREE)

    assert revision == 1
    assert node.take_entries() == [
        "hash keys",
        "+endpoint 56.0.0.1",
        "+endpoint 57.0.0.1",
        "+endpoint 58.0.0.1",
        "down nobody",
        "+pool 20.20.20.1:8080/tcp",
        "+service 20.20.20.1:8080/tcp",
        "announce 20.20.20.1/32",
    ]


async def test_the_speaker_is_told_what_is_new_to_peers_and_every_set_by_new_terms() -> None:
    node = Node()
    await node.controller._reconcile()
    asked = [node.speaker.asked]

    terms = "bgp: {as: 64512, router_id: 11.11.11.1, peers: [{address: 11.11.11.%d, as: 65001}]}\n"
    silent = (
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 56.0.0.1}]}]"
    )
    for text in (terms % 254, terms % 253, terms % 253 + silent):
        await node.edit(parse_document(text))
        asked.append(node.speaker.asked)

    assert asked == [0, 1, 2, 2]


async def test_removing_runs_backward() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()

    await node.edit(NOTHING)

    assert node.take_entries() == [
        "withdraw 20.20.20.1/32",
        "-service 20.20.20.1:8080/tcp",
        "-pool 20.20.20.1:8080/tcp",
        "-endpoint 56.0.0.1",
        "-endpoint 57.0.0.1",
        "-endpoint 58.0.0.1",
    ]


async def test_removed_endpoint_goes_after_the_table_that_names_it() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()

    await node.edit(TWO)

    assert node.take_entries() == ["+pool 20.20.20.1:8080/tcp", "-endpoint 57.0.0.1"]


async def test_a_capture_under_way_goes_on_through_a_change() -> None:
    node = Node()
    await node.edit(THREE)
    node.dataplane.tuned = replace(node.dataplane.tuned, sample_one_in=100)

    await node.edit(TWO)

    assert node.dataplane.tuned.sample_one_in == 100


async def test_same_document_makes_no_revision_and_no_step() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()

    assert await node.edit(THREE) == 1

    assert node.take_entries() == []
    assert len(node.store.texts) == 1


async def test_restarted_daemon_changes_nothing_in_the_kernel() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()

    node.start()
    await node.controller._reconcile()

    assert node.controller.document == THREE
    assert node.take_entries() == []
    assert node.speaker.announced == {Announcement(ip_network("20.20.20.1/32"))}


async def test_vip_is_withdrawn_when_no_endpoint_can_be_reached_and_comes_back() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()
    node.underlay.unreachable = {ip_address(f"5{n}.0.0.1") for n in (6, 7, 8)}

    await node.controller._reconcile()
    gone = node.take_entries()
    node.underlay.unreachable = {ip_address("56.0.0.1")}
    await node.controller._reconcile()

    assert gone[0] == "withdraw 20.20.20.1/32"
    assert node.take_entries()[-1] == "announce 20.20.20.1/32"
    (service,) = node.controller.status().services
    assert service.announced
    assert [e.reachable for e in service.endpoints] == [False, True, True]


async def test_unreachable_endpoint_keeps_its_place_in_the_table() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()
    node.underlay.unreachable = {ip_address("57.0.0.1")}

    await node.controller._reconcile()

    assert node.take_entries() == ["+endpoint 57.0.0.1"]


async def test_endpoint_behind_another_tunnel_is_added_before_the_old_one_goes() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()
    node.underlay.outer = {ip_address("57.0.0.1"): ip_address("32.32.32.9")}

    await node.controller._reconcile()

    assert node.take_entries() == [
        "+endpoint 57.0.0.1",
        "down nobody",
        "+pool 20.20.20.1:8080/tcp",
        "-endpoint 57.0.0.1",
    ]


async def test_refused_document_leaves_everything_as_it_was() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()
    crowded = THREE.model_copy(
        update={
            "pools": {
                "tiny": parse_document(
                    "pools: {tiny: {slots: 251, endpoints: ["
                    + ", ".join(f"{{address: 10.0.{n}.1}}" for n in range(252))
                    + "]}}"
                ).pools["tiny"]
            },
            "services": (
                *THREE.services,
                parse_document(
                    "{services: [{vip: 20.20.20.2, protocol: tcp, port: 80, pool: p}],"
                    " pools: {p: {endpoints: [{address: 1.2.3.4}]}}}"
                )
                .services[0]
                .model_copy(update={"pool": "tiny"}),
            ),
        }
    )

    with pytest.raises(ConfigError, match=r"pools\.tiny\.slots: 251 slots"):
        await node.edit(crowded)

    assert node.controller.document == THREE
    assert (node.controller.revision, len(node.store.texts)) == (1, 1)
    assert node.take_entries() == []


async def test_silent_speaker_stops_no_forwarding_and_is_shown() -> None:
    node = Node()
    node.speaker.broken = True

    await node.edit(THREE)

    assert node.dataplane.services == {KEY: ENTRY}
    assert "ExaBGP does not answer" in node.controller.status().problems
    (service,) = node.controller.status().services
    assert (service.forwarding, service.announced) == (True, False)


@pytest.mark.parametrize("step", range(7))
async def test_change_that_fails_at_any_step_is_completed_by_the_next_try(step: int) -> None:
    node = Node()
    node.journal.fail_at = step

    with pytest.raises(KernelError):
        await node.edit(THREE)
    await node.controller._reconcile()

    assert node.dataplane.services == {KEY: ENTRY}
    assert node.speaker.announced == {Announcement(ip_network("20.20.20.1/32"))}
    assert node.controller.document == THREE


async def test_announcement_that_fails_is_shown_and_made_by_the_next_try() -> None:
    node = Node()
    node.journal.fail_at = 7

    await node.edit(THREE)
    problems = node.controller.status().problems
    await node.controller._reconcile()

    assert problems[0].startswith("announce 20.20.20.1/32: ")
    assert node.speaker.announced == {Announcement(ip_network("20.20.20.1/32"))}


async def test_stop_withdraws_and_leaves_the_data_plane() -> None:
    node = Node()
    await node.edit(THREE)
    node.take_entries()

    await node.controller.withdraw_all()

    assert node.take_entries() == ["withdraw 20.20.20.1/32"]
    assert node.dataplane.services == {KEY: ENTRY}


async def test_run_reconciles_when_it_is_woken() -> None:
    node = Node()
    await node.edit(THREE)
    node.underlay.unreachable = {ip_address(f"5{n}.0.0.1") for n in (6, 7, 8)}

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(node.controller.run())
        while node.speaker.announced:
            await asyncio.sleep(0)
        task.cancel()

    assert node.dataplane.services == {KEY: ENTRY}


endpoints = st.fixed_dictionaries(
    {"address": st.integers(1, 12).map(lambda n: f"56.0.0.{n}" if n % 3 else f"fd56::{n}")},
    optional={"state": st.sampled_from(["draining", "disabled"])},
)
pools = st.fixed_dictionaries(
    {"endpoints": st.lists(endpoints, min_size=1, max_size=5, unique_by=lambda e: e["address"])},
    optional={"encapsulation": st.just("gue"), "dscp": st.integers(0, 63)},
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "affinity": st.sampled_from(["source-ip", "destination-port"]),
        "flow_table": st.just("never"),
        "sources": st.just(["10.0.0.0/8"]),
    },
)
quic_pools = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True).map(
    lambda numbers: [{"address": f"57.0.0.{n}", "server_id": n % 5 or 9} for n in set(numbers)]
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    shared = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), pools, max_size=3))
    ports = draw(st.lists(st.integers(1, 6), max_size=4, unique=True))
    services: list[dict[str, object]] = []
    for port in ports:
        service: dict[str, object] = {
            "vip": "20.20.0.0/16" if port % 3 == 0 else f"20.20.20.{port % 2}",
            "protocol": "tcp",
            "port": draw(st.sampled_from([port, f"{10 * port}-{10 * port + 2}"])),
            "announce": True,
            "hold_down_s": 0,
            **draw(policies),
        }
        sharing = draw(st.booleans())
        if shared and sharing:
            services.append(service | {"pool": draw(st.sampled_from(sorted(shared)))})
        else:
            services.append(service | draw(pools))
    if draw(st.booleans()):
        services.append(QUIC | {"endpoints": _distinct_ids(draw(quic_pools))})
    return Document.model_validate(
        {
            "services": services,
            "pools": {name: {"slots": 251, **pool} for name, pool in shared.items()},
            "cluster": {
                "hash_seed": draw(st.integers(0, 2)),
                "udp_idle_s": draw(st.integers(1, 2)),
            },
            "bgp": THREE.bgp.model_dump(by_alias=True) if THREE.bgp else None,
        }
    )


QUIC = {"vip": "20.20.20.9", "protocol": "udp", "port": 443, "quic": True}


def _distinct_ids(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return list({each["server_id"]: each for each in found}.values())


@given(st.lists(documents(), min_size=1, max_size=4), st.integers(0, 40))
@settings(max_examples=60)
def test_any_documents_in_a_row_end_as_the_last_one_says(row: list[Document], fail_at: int) -> None:
    """The fakes assert on the way that nothing in use is ever taken away."""

    async def apply_all() -> None:
        node = Node()
        node.journal.fail_at = fail_at
        for document in row:
            try:
                await node.edit(document)
            except KernelError:
                await node.controller._reconcile()
        await node.controller._reconcile()
        paths = await node.underlay.resolve(targets_of(row[-1]), {}, row[-1].node.sources)
        actual = node.dataplane.read()
        desired = build_desired(row[-1], paths, actual, None, disabled_sets(row[-1]))
        assert plan_forwarding(desired, actual) == []
        assert node.speaker.announced == {
            Announcement(service.prefix)
            for service in row[-1].services
            if service.announce
            and not all(each.disabled for each in row[-1].pool_of(service).endpoints)
        }

    asyncio.run(apply_all())
