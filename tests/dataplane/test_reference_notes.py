"""The reference in slots whose owner has changed: notes, anchors, and when they count."""

from collections.abc import Mapping

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from headrace.dataplane.reference import Memory, Note
from headrace.dataplane.tables import BlockAge, EndpointRow, Tables
from headrace.maglev import count_flows
from headrace.model import FlowTable, Protocol, Tuning

from .reference_tables import (
    ENDPOINTS,
    ETHER,
    NOW_S,
    TO4,
    VIP4,
    endpoint,
    flow,
    run,
    service,
    tables,
    unstable,
)

OWNER, ANCHOR, OTHER = 1, 2, 3
SINCE_S, IDLE_S = NOW_S - 100, 30
SYN = TCP(sport=5000, dport=80, flags="S")
ACK = TCP(sport=5000, dport=80, flags="A")
DATAGRAM = UDP(sport=5000, dport=80)
MOVED = [unstable(OWNER, ANCHOR)]


def moved(
    protocol: str = "tcp",
    *,
    words: list[int] = MOVED,
    changed_s: int = SINCE_S,
    endpoints: Mapping[int, EndpointRow] = ENDPOINTS,
    flow_table: FlowTable = FlowTable.UNSTABLE,
) -> Tables:
    """A service whose only slot is unstable."""
    age = BlockAge(unstable_since_s=SINCE_S, changed_s=changed_s)
    return tables(
        service(f"{VIP4}:80/{protocol}", words, age, flow_table=flow_table, pool="web"),
        endpoints=endpoints,
        tuning=Tuning(udp_idle_s=IDLE_S),
    )


def down(*numbers: int) -> dict[int, EndpointRow]:
    return {number: endpoint(number, down=number in numbers) for number in ENDPOINTS}


def noted(seen_s: int, protocol: Protocol = Protocol.TCP, generation: int = 0) -> Memory:
    """A memory of the flow at the endpoint that is neither owner nor anchor."""
    return Memory(notes={flow(protocol): Note(OTHER, generation, seen_s)})


def goes_to(transport: Packet, tables: Tables, memory: Memory) -> int | None:
    return run(ETHER / TO4 / transport, tables, memory).endpoint


class TestTcp:
    def test_a_syn_goes_to_the_owner_and_is_noted(self) -> None:
        memory = noted(NOW_S)

        assert goes_to(SYN, moved(), memory) == OWNER
        assert memory == Memory(notes={flow(): Note(OWNER, 0, NOW_S)})

    @pytest.mark.parametrize(
        ("transport", "expected"),
        [
            pytest.param(TCP(sport=5000, dport=80, flags="SA"), ANCHOR, id="SYN with ACK"),
            pytest.param(bytes(SYN)[:13], ANCHOR, id="a header that ends before its flags"),
            pytest.param(bytes(SYN)[:14], OWNER, id="one that ends behind them"),
            pytest.param(TCP(sport=5000, dport=80, flags="SEC"), OWNER, id="SYN with ECN's bits"),
        ],
    )
    def test_a_syn_is_a_syn_without_ack(self, transport: Packet | bytes, expected: int) -> None:
        packet = TO4.copy()
        packet.proto = 6

        assert run(ETHER / packet / transport, moved()).endpoint == expected

    def test_what_follows_a_syn_goes_there_when_the_owner_has_changed_again(self) -> None:
        memory = Memory()

        goes_to(SYN, moved(), memory)
        again = moved(words=[unstable(OTHER, ANCHOR)])

        assert goes_to(ACK, again, memory) == OWNER

    def test_a_noted_flow_stays_and_is_seen(self) -> None:
        memory = noted(SINCE_S)

        assert goes_to(ACK, moved(), memory) == OTHER
        assert memory.notes == {flow(): Note(OTHER, 0, NOW_S)}
        assert memory.departures == {("web", 0): NOW_S}

    def test_a_flow_without_a_note_goes_to_the_anchor_and_gets_none(self) -> None:
        memory = Memory()

        assert goes_to(ACK, moved(), memory) == ANCHOR
        assert (memory.notes, memory.departures) == ({}, {("web", 0): NOW_S})

    def test_flows_are_counted_at_whom_they_are_sent_to_instead_of_the_owner(self) -> None:
        memory = Memory()
        for port in range(5000, 5020):
            for flags in "SA":
                goes_to(TCP(sport=port, dport=80, flags=flags), moved(), memory)
            goes_to(TCP(sport=port + 100, dport=80, flags="A"), moved(), memory)

        assert list(memory.sketches) == [ANCHOR]
        assert count_flows(bytes(memory.sketches[ANCHOR])) == pytest.approx(20, abs=3)

    def test_without_an_anchor_it_goes_to_the_owner(self) -> None:
        memory = Memory()

        assert goes_to(ACK, moved(words=[unstable(OWNER)]), memory) == OWNER
        assert memory == Memory()

    def test_an_anchor_that_is_down_gets_nothing(self) -> None:
        assert goes_to(ACK, moved(endpoints=down(ANCHOR)), Memory()) == OWNER

    def test_a_flow_noted_at_an_endpoint_that_is_down_goes_to_the_owner(self) -> None:
        memory = noted(NOW_S - 1)

        assert goes_to(ACK, moved(endpoints=down(OTHER)), memory) == OWNER
        assert memory == noted(NOW_S - 1)

    @pytest.mark.parametrize(
        "memory",
        [
            pytest.param(noted(SINCE_S - 1), id="from before the slot was unstable"),
            pytest.param(noted(NOW_S, generation=1), id="of another endpoint with this index"),
        ],
    )
    def test_a_void_note_is_none(self, memory: Memory) -> None:
        assert goes_to(ACK, moved(), memory) == ANCHOR

    def test_a_note_of_an_endpoint_that_is_gone_is_void(self) -> None:
        gone = {OWNER: ENDPOINTS[OWNER], ANCHOR: ENDPOINTS[ANCHOR]}

        assert goes_to(ACK, moved(endpoints=gone), noted(NOW_S)) == ANCHOR

    def test_a_note_carries_the_generation(self) -> None:
        memory = Memory()

        goes_to(SYN, moved(endpoints={OWNER: endpoint(OWNER, generation=7)}), memory)

        assert memory.notes[flow()].generation == 7

    def test_without_a_flow_table_all_go_to_the_owner(self) -> None:
        memory = noted(NOW_S)
        never = moved(flow_table=FlowTable.NEVER)

        assert [goes_to(each, never, memory) for each in (SYN, ACK)] == [OWNER, OWNER]
        assert memory == noted(NOW_S)

    def test_a_settled_slot_has_no_past(self) -> None:
        memory = noted(NOW_S)

        assert goes_to(ACK, moved(words=[OWNER]), memory) == OWNER
        assert memory == noted(NOW_S)

    def test_departures_are_counted_for_the_slots_block(self) -> None:
        words = [OWNER] * 64 + [unstable(OWNER, ANCHOR)] * 8000
        memory = Memory()

        goes_to(ACK, moved(words=words), memory)

        ((pool, block),) = memory.departures
        assert pool == "web"
        assert 1 <= block <= 126


class TestSctp:
    def test_an_init_goes_to_the_owner_and_is_noted(self) -> None:
        memory = Memory()
        init = SCTP(sport=5000, dport=80, tag=0) / SCTPChunkInit()

        assert goes_to(init, moved("sctp"), memory) == OWNER
        assert memory.notes == {flow(Protocol.SCTP): Note(OWNER, 0, NOW_S)}

    def test_other_chunks_without_a_note_go_to_the_anchor(self) -> None:
        assert goes_to(SCTP(sport=5000, dport=80, tag=1), moved("sctp"), Memory()) == ANCHOR

    def test_a_header_without_a_tag_is_no_init(self) -> None:
        packet = TO4.copy()
        packet.proto = 132
        cut = bytes(SCTP(sport=5000, dport=80, tag=0))[:7]

        assert run(ETHER / packet / cut, moved("sctp")).endpoint == ANCHOR


class TestUdp:
    @pytest.mark.parametrize(
        ("age_s", "expected"),
        [
            pytest.param(-1, ANCHOR, id="the control plane is in the next second"),
            pytest.param(IDLE_S, ANCHOR, id="it may be an old flow"),
            pytest.param(IDLE_S + 1, OWNER, id="all old flows are noted by now"),
        ],
    )
    def test_a_flow_without_a_note_is_taken_to_be_old_for_a_time(
        self, age_s: int, expected: int
    ) -> None:
        memory = Memory()

        assert goes_to(DATAGRAM, moved("udp", changed_s=NOW_S - age_s), memory) == expected
        assert memory.notes == {flow(Protocol.UDP): Note(expected, 0, NOW_S)}

    def test_a_noted_flow_stays_and_is_seen(self) -> None:
        memory = noted(SINCE_S, Protocol.UDP)

        assert goes_to(DATAGRAM, moved("udp"), memory) == OTHER
        assert memory.notes == {flow(Protocol.UDP): Note(OTHER, 0, NOW_S)}

    def test_a_flow_noted_at_an_endpoint_that_is_down_begins_again_at_the_owner(self) -> None:
        memory = noted(NOW_S - 1, Protocol.UDP)
        tables = moved("udp", changed_s=NOW_S, endpoints=down(OTHER))

        assert goes_to(DATAGRAM, tables, memory) == OWNER
        assert memory.notes == {flow(Protocol.UDP): Note(OWNER, 0, NOW_S)}

    def test_an_anchor_that_is_down_gets_nothing(self) -> None:
        tables = moved("udp", changed_s=NOW_S, endpoints=down(ANCHOR))

        assert goes_to(DATAGRAM, tables, Memory()) == OWNER


class TestAlways:
    """UDP flows that are remembered in settled slots too."""

    settled = moved("udp", words=[OWNER], flow_table=FlowTable.ALWAYS)

    @pytest.mark.parametrize(
        "seen_s",
        [
            pytest.param(NOW_S - IDLE_S + 1, id="seen just in time"),
            pytest.param(NOW_S + 1, id="seen by a CPU in the next second"),
        ],
    )
    def test_a_flow_stays_where_it_is(self, seen_s: int) -> None:
        memory = noted(seen_s, Protocol.UDP)

        assert goes_to(DATAGRAM, self.settled, memory) == OTHER
        assert memory.notes == {flow(Protocol.UDP): Note(OTHER, 0, NOW_S)}
        assert memory.departures == {("web", 0): NOW_S}

    @pytest.mark.parametrize(
        "memory",
        [
            pytest.param(Memory(), id="new"),
            pytest.param(noted(NOW_S - IDLE_S, Protocol.UDP), id="idle for too long"),
            pytest.param(noted(NOW_S, Protocol.UDP, generation=1), id="void"),
        ],
    )
    def test_else_it_goes_to_the_owner_and_is_noted(self, memory: Memory) -> None:
        assert goes_to(DATAGRAM, self.settled, memory) == OWNER
        assert memory == Memory(notes={flow(Protocol.UDP): Note(OWNER, 0, NOW_S)})

    def test_or_if_its_endpoint_is_down(self) -> None:
        tables = moved("udp", words=[OWNER], flow_table=FlowTable.ALWAYS, endpoints=down(OTHER))

        assert goes_to(DATAGRAM, tables, noted(NOW_S, Protocol.UDP)) == OWNER

    @pytest.mark.parametrize(
        ("memory", "expected"),
        [
            pytest.param(Memory(), ANCHOR, id="without a note"),
            pytest.param(noted(NOW_S - 1, Protocol.UDP), OTHER, id="with a note"),
            pytest.param(noted(NOW_S - IDLE_S, Protocol.UDP), ANCHOR, id="with an old one"),
        ],
    )
    def test_in_an_unstable_slot_its_rules_hold_for_what_has_no_note(
        self, memory: Memory, expected: int
    ) -> None:
        tables = moved("udp", changed_s=NOW_S, flow_table=FlowTable.ALWAYS)

        assert goes_to(DATAGRAM, tables, memory) == expected

    def test_a_note_may_be_older_than_the_change(self) -> None:
        age = BlockAge(unstable_since_s=NOW_S, changed_s=NOW_S)
        just_moved = tables(
            service(f"{VIP4}:80/udp", MOVED, age, flow_table=FlowTable.ALWAYS),
        )

        assert goes_to(DATAGRAM, just_moved, noted(NOW_S - 1, Protocol.UDP)) == OTHER
