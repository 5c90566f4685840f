"""Scenarios over time: endpoints fall and return, weights, restarts, limits, forgetting.

Each has a data plane of its own, which runs Maglev's tables.
"""

import ctypes
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from headrace.dataplane import Dataplane, detach_all, layout, libbpf, reference
from headrace.dataplane.maps import HashMap, SharedArray
from headrace.maglev import Candidate, FlowHash, Table, build_table, change_down
from headrace.model import (
    FlowTable,
    IPAddress,
    Port,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
)
from headrace.model import (
    Path as ToEndpoint,
)
from headrace.model.limits import LIMIT_PORTS

from .arena import run_program
from .cases_fragments import fragment
from .decapsulator import decapsulate
from .packets import filled, frame, ip, ping, tcp, transport, udp
from .world import FAMILIES, HOP, INGRESS, MTU, OWN_MAC, SEED, SMALL_MTU, TUNING, Clock, mac_bytes

pytestmark = pytest.mark.bpf

SLOTS = 1021
VIP, OTHER_VIP = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SOURCE = ip_address("10.241.0.9")
GOLDEN = Path(__file__).parents[1] / "maglev/golden"
SPORTS = range(10_000, 10_200)
SECONDS_MAX = 5

both_families = pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])


class Node:
    """A data plane that a test changes as it likes, and daemons come and go."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.clock = Clock(time.monotonic)
        self.plane = Dataplane(directory, self.clock.now)
        self.plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
        self.plane.set_tuning(TUNING)
        self.plane.set_ports([Port("lo", INGRESS, (mac_bytes(OWN_MAC),))])

    def restart(self) -> None:
        """Another daemon opens what the last one left."""
        self.plane.close()
        self.plane = Dataplane(self._directory, self.clock.now)

    def put(self, pool: str, table: Table, mtu_bytes: int = MTU) -> list[Reach]:
        reaches = [reach_of(each.address) for each in table.candidates]
        for reach in reaches:
            to = ToEndpoint(reach.outer_source, reach.outer_destination, HOP, mtu_bytes)
            self.plane.put_endpoint(reach, to)
        self.plane.put_pool(pool, reaches, table.owners, table.digest & (2**63 - 1))
        return reaches

    def serve(self, vip: IPAddress, pool: str, *protocols: Protocol, **fields: Any) -> None:
        for protocol in protocols or Protocol:
            entry = ServiceEntry(pool, **fields)
            self.plane.put_service(ServiceKey(vip, protocol, 80), entry)

    def fell(self, *addresses: IPAddress) -> None:
        self.plane.set_down(frozenset(addresses))

    def _answers(self) -> layout.Answers:
        pin = libbpf.open_pin(self._directory / "maps/answers")
        return SharedArray(pin, layout.Answers).values[0]

    def place_of(self, endpoint: IPAddress) -> int:
        """The index that the kernel knows an endpoint by."""
        rows = self.plane.tables().endpoints
        return next(index for index, row in rows.items() if row.address == endpoint)

    def forget_answers(self) -> None:
        """As if nothing had been answered yet."""
        self._answers().word = 0

    def answers_counted(self) -> int:
        """How many the kernel has counted in the second of the last one."""
        return int(self._answers().word) & 0xFFFFFFFF

    def see_later(
        self, name: str, key: type[ctypes.Structure], value: type[ctypes.Structure]
    ) -> None:
        """Let what packets left in a map be of a second later."""
        kept = HashMap(libbpf.open_pin(self._directory / "maps" / name), key, value)
        for at, entry in list(kept.items()):
            entry.seen_s += 1
            kept.put(at, entry)

    def endpoint(self, packet: bytes) -> IPAddress:
        """Where a packet goes."""
        seen = run_program(self.plane, packet)
        assert seen.verdict == "sent"
        arrived = decapsulate(seen.packet, TUNING.gue_port)
        destination = arrived.outer_destination or b""
        return IPv4Address(destination) if len(destination) == 4 else IPv6Address(destination)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    directory = tmp_path / "bpf"
    try:
        node = Node(directory)
        yield node
        node.plane.close()
    finally:
        detach_all(directory)


def reach_of(address: IPAddress) -> Reach:
    source = SOURCE if address.version == 4 else ip_address("2001:db8:f1::9")
    return Reach(address, source, address)


def endpoints(group: int, count: int) -> list[IPAddress]:
    return [ip_address(f"10.{group}.0.{number}") for number in range(1, count + 1)]


def table_of(addresses: Sequence[IPAddress], weights: Sequence[int] = ()) -> Table:
    weights = weights or [1] * len(addresses)
    candidates = [Candidate(a, w) for a, w in zip(addresses, weights, strict=True)]
    return build_table(SEED, candidates, SLOTS)


def syn(vip: IPAddress, sport: int) -> bytes:
    return frame(ip(vip) / tcp(80, sport, "S"))


def data(vip: IPAddress, sport: int) -> bytes:
    return frame(ip(vip) / tcp(80, sport))


@pytest.mark.parametrize("address", ["203.0.113.77", "2001:db8:3:77:c0de:f00d:abcd:77"])
def test_a_vip_prefix_of_any_length_ends_where_it_should(node: Node, address: str) -> None:
    """Alone on its node: no prefix of the other family is there to have them looked up."""
    inside = ip_address(address)
    node.put("web", table_of(endpoints(9, 2)))

    for length in range(1, inside.max_prefixlen):
        prefix = ip_network((inside, length), strict=False)
        key = ServiceKey(prefix, Protocol.TCP, 80)
        node.plane.put_service(key, ServiceEntry("web"))
        beside = ip_address(
            int(inside) ^ 1 << inside.max_prefixlen - length
        )  # in the network next to it
        verdicts = [
            run_program(node.plane, data(vip, 5000)).verdict
            for vip in (prefix[0], inside, prefix[-1], beside)
        ]
        node.plane.remove_service(key)

        assert verdicts == ["sent", "sent", "sent", "pass_not_vip"], prefix


def test_a_port_is_known_by_its_whole_number(node: Node) -> None:
    """The map has a place for the low bits of an interface's number."""
    node.put("web", table_of(endpoints(9, 2)))
    node.serve(VIP, "web")

    node.plane.set_ports([Port("far", INGRESS + LIMIT_PORTS, (mac_bytes(OWN_MAC),))])

    assert run_program(node.plane, data(VIP, 5000)).verdict == "pass_other_host"


@both_families
@pytest.mark.parametrize(("transmit", "action"), [(True, "transmit"), (False, "redirect")])
def test_an_answer_leaves_as_its_port_can_send(
    node: Node,
    family: int,
    transmit: bool,  # noqa: FBT001 - pytest's
    action: str,
) -> None:
    vip = ip_address({4: "192.0.2.1", 6: "2001:db8:2::1"}[family])
    node.put("web", table_of(endpoints(9, 2)), SMALL_MTU)
    node.serve(vip, "web")

    node.plane.set_ports([Port("lo", INGRESS, (mac_bytes(OWN_MAC),), transmit=transmit)])

    asking = (frame(ping(vip)), frame(filled(ip(vip) / tcp(80), SMALL_MTU)))
    assert [run_program(node.plane, packet).action for packet in asking] == [action] * 2


def test_a_fall_moves_the_flows_of_the_fallen_and_its_return_brings_new_ones_back(
    node: Node,
) -> None:
    whole = table_of(endpoints(1, 5))
    fallen = endpoints(1, 5)[2]
    node.put("web", whole)
    node.serve(VIP, "web")
    before = {sport: node.endpoint(syn(VIP, sport)) for sport in SPORTS}

    node.fell(fallen)
    node.put("web", change_down(whole, [fallen]))
    during = {sport: node.endpoint(data(VIP, sport)) for sport in SPORTS}
    opened = {sport: node.endpoint(syn(VIP, sport + 1000)) for sport in SPORTS}

    assert fallen in before.values()
    assert fallen not in {*during.values(), *opened.values()}
    assert [s for s in SPORTS if during[s] != before[s]] == [
        s for s in SPORTS if before[s] == fallen
    ]

    node.fell()
    node.put("web", whole)

    assert {s: node.endpoint(syn(VIP, s)) for s in SPORTS} == before
    assert {s: node.endpoint(data(VIP, s + 1000)) for s in SPORTS} == opened


def test_shares_are_as_the_weights_to_a_slot(node: Node) -> None:
    weights = [1, 1, 100, 1]
    addresses = endpoints(2, 4)
    node.put("web", table_of(addresses, weights))
    node.serve(VIP, "web")

    tables = node.plane.tables()
    row = tables.services[ServiceKey(VIP, Protocol.TCP, 80)]
    slots = Counter(tables.endpoints[word & 0x3FFF].address for word in row.pool.words)
    seen = Counter(node.endpoint(syn(VIP, sport)) for sport in SPORTS)

    for address, weight in zip(addresses, weights, strict=True):
        assert SLOTS * weight // sum(weights) <= slots[address] <= SLOTS * weight // 103 + 1
    assert sum(slots.values()) == SLOTS
    assert seen[addresses[2]] > 0.9 * len(SPORTS)


def test_no_change_in_mid_flow_sends_a_packet_to_another_vips_pool(node: Node) -> None:
    pools = {VIP: endpoints(3, 6), OTHER_VIP: endpoints(4, 6)}
    for vip, addresses in pools.items():
        node.put(str(vip), table_of(addresses[:3]))
        node.serve(vip, str(vip))
    homes: dict[tuple[IPAddress, int], IPAddress] = {}
    spare = ServiceKey(ip_address("192.0.2.3"), Protocol.TCP, 80)

    def check(sports: Sequence[int]) -> None:
        for vip, addresses in pools.items():
            for sport in sports:
                at = (vip, sport)
                packet = data(vip, sport) if at in homes else syn(vip, sport)
                endpoint = node.endpoint(packet)
                assert endpoint in addresses
                assert homes.setdefault(at, endpoint) == endpoint

    for step, size in enumerate((4, 2, 5, 1, 6, 3)):
        check(SPORTS[: 20 * (step + 1)])
        node.put(str(VIP), table_of(pools[VIP][:size]))
        check(SPORTS[: 20 * (step + 1)])
        node.plane.put_service(spare, ServiceEntry(str(VIP)))
        node.restart()
        check(SPORTS[: 20 * (step + 1)])
        node.plane.remove_service(spare)
        node.put(str(OTHER_VIP), table_of(pools[OTHER_VIP][6 - size :]))


@pytest.mark.parametrize("name", ["weights", "down-and-drained", "all-down"])
def test_a_kept_table_is_what_the_kernel_holds_whatever_the_order(node: Node, name: str) -> None:
    kept = json.loads((GOLDEN / f"{name}.json").read_text())
    candidates = [
        Candidate(ip_address(e["address"]), e["weight"], drained=e["drained"], down=e["down"])
        for e in kept["endpoints"]
    ]
    seed, slot_count = int(kept["seed"], 16), kept["slot_count"]
    held = []
    for number, order in enumerate((candidates, candidates[::-1], candidates[1:] + candidates[:1])):
        pool = f"pool{number}"
        node.put(pool, build_table(seed, order, slot_count))
        vip = ip_address(f"192.0.2.{10 + number}")
        node.serve(vip, pool)
        tables = node.plane.tables()
        words = tables.services[ServiceKey(vip, Protocol.TCP, 80)].pool.words
        held.append([tables.endpoints[word & 0x3FFF].address for word in words])

    assert held[0] == held[1] == held[2]
    assert held[0] == [candidates[index].address for index in kept["owners"]]


def verdicts_of_one_second(node: Node, packets: Sequence[bytes]) -> list[str]:
    """What becomes of packets in one second of the kernel's clock, in which nothing was answered.

    The kernel counts anew in another second, then they are sent again.
    """
    for _ in range(SECONDS_MAX):
        node.forget_answers()
        verdicts = [run_program(node.plane, packet).verdict for packet in packets]
        if node.answers_counted() == sum(each.startswith("answered") for each in verdicts):
            return verdicts
    raise AssertionError(f"{len(packets)} packets took more than a second, {SECONDS_MAX} times")


def too_big_for(mtu_bytes: int) -> bytes:
    return frame(filled(ip(VIP) / tcp(80), mtu_bytes))


@pytest.mark.parametrize(("limit", "to_pings"), [(0, 0), (1, 1), (3, 3), (4, 3), (5, 4), (8, 6)])
def test_a_flood_of_pings_leaves_a_quarter_of_the_answers_to_what_is_too_big(
    node: Node, limit: int, to_pings: int
) -> None:
    node.put("web", table_of(endpoints(5, 2)), SMALL_MTU)
    node.serve(VIP, "web")
    node.plane.set_tuning(replace(TUNING, answers_per_s=limit))
    request, big = frame(ping(VIP)), too_big_for(SMALL_MTU)

    verdicts = verdicts_of_one_second(node, [request] * 12 + [big] * 12 + [request])

    pings, others = ["answered_echo"] * to_pings, ["answered_too_big"] * (limit - to_pings)
    assert verdicts[:12] == pings + ["drop_answers"] * (12 - len(pings))
    assert verdicts[12:] == others + ["drop_answers"] * (13 - len(others))


def test_what_is_too_big_may_have_every_answer_of_a_second(node: Node) -> None:
    node.put("web", table_of(endpoints(5, 2)), SMALL_MTU)
    node.serve(VIP, "web")
    node.plane.set_tuning(replace(TUNING, answers_per_s=8))
    request, big = frame(ping(VIP)), too_big_for(SMALL_MTU)
    nobodys = frame(ping(VIP, client="224.0.0.1"))

    mixed = verdicts_of_one_second(node, [request, nobodys, nobodys, *[big] * 9, request])

    dropped = ["drop_sender"] * 2
    told = ["answered_too_big"] * 7
    assert mixed == ["answered_echo", *dropped, *told, *["drop_answers"] * 3]


def test_what_another_cpu_saw_in_the_next_second_is_not_old(node: Node) -> None:
    old, new = endpoints(8, 2)
    node.put("web", table_of([old]))
    node.serve(VIP, "web", Protocol.UDP, flow_table=FlowTable.ALWAYS)
    packet = frame(ip(VIP) / udp(80, 5000))
    first = fragment(VIP, 17, transport(Protocol.UDP), more=True, ident=8)
    assert [node.endpoint(each) for each in (packet, first)] == [old, old]
    node.put("web", table_of([new]))
    node.clock.offset_s = 10.0  # so that the slots' line has been idle
    node.plane.settle(0)

    node.see_later("notes", layout.FlowKey, layout.Note)
    node.see_later("fragments", layout.FragmentKey, layout.Fragment)

    later = fragment(VIP, 17, b"x" * 8, offset=2, ident=8)
    assert [node.endpoint(each) for each in (packet, later)] == [old, old]
    assert node.endpoint(frame(ip(VIP) / udp(80, 5001))) == new


def test_a_note_of_an_endpoint_whose_place_is_anothers_is_void(node: Node) -> None:
    old, new, third = endpoints(6, 3)
    node.put("web", table_of([old]))
    node.serve(VIP, "web", Protocol.UDP, flow_table=FlowTable.ALWAYS)
    packet = frame(ip(VIP) / udp(80, 5000))
    assert node.endpoint(packet) == old
    place = node.place_of(old)
    node.put("web", table_of([new]))
    assert node.endpoint(packet) == old  # noted, and not down

    node.plane.remove_endpoint(reach_of(old))
    node.clock.offset_s = 10.0  # so that the slots' line has been idle
    node.plane.settle(0)
    node.restart()
    node.put("other", table_of([third]))

    assert node.place_of(third) == place
    assert node.endpoint(packet) == new


def test_the_reference_forgets_fragments_and_flows_when_their_time_is_over(node: Node) -> None:
    """The kernel's clock is nobody's to set; the reference is told the time."""
    node.put("web", table_of(endpoints(7, 2)))
    node.serve(VIP, "web")
    tables, memory, now_s = node.plane.tables(), reference.Memory(), 1000
    first = fragment(VIP, 17, transport(Protocol.UDP), more=True, ident=7)
    later = fragment(VIP, 17, b"x" * 8, offset=2, ident=7)

    reference.process(first, INGRESS, tables, memory, now_s)
    in_time = reference.process(later, INGRESS, tables, memory, now_s + 30)
    too_late = reference.process(later, INGRESS, tables, memory, now_s + 31)

    assert (in_time.verdict, too_late.verdict) == ("sent", "drop_fragment")
