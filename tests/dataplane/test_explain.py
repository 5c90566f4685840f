"""What `explain` says of a flow, sentence by sentence."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from headrace.dataplane.explain import explain_flow
from headrace.dataplane.tables import EndpointRow, Tables
from headrace.model import Affinity, Explanation, FlowTable, Protocol, Unserved

from .reference_tables import (
    CLIENT6,
    ENDPOINTS,
    GUE6,
    HASH,
    HOP,
    IPIP4,
    L2,
    VIP4,
    VIP6,
    endpoint,
    flow,
    run,
    service,
    syn,
    tables,
    unstable,
)

UDP = flow(Protocol.UDP)
TO_HOP = "the neighbour 02:00:00:00:00:aa on interface 77"
SENT = f"sent as 31.31.31.253 > 31.31.31.1 (ipip) to {TO_HOP}"


def explained(tables: Tables) -> Explanation:
    return explain_flow(flow(), tables)


def test_a_served_flow() -> None:
    explanation = explained(tables(service(pool="web")))

    hash32 = HASH.hash32(flow())
    assert explanation == Explanation(
        flow=flow(),
        verdict="sent",
        service=service()[0],
        hash32=hash32,
        slot=0,
        endpoint=ip_address("56.56.56.1"),
        path=IPIP4,
        steps=(
            "service 20.20.20.1:80/tcp, served by pool web",
            f"hash {hash32:#010x} of the addresses, ports and protocol falls into slot 0 of 1",
            "the slot belongs to endpoint 56.56.56.1",
            SENT,
        ),
    )


def test_it_agrees_with_the_way_of_the_flows_first_packet() -> None:
    many = tables(service(words=[n % 3 + 1 for n in range(1021)]))

    for port in range(5000, 5030):
        outcome = run(syn(sport=port), many)
        assert outcome.endpoint is not None
        expected = ENDPOINTS[outcome.endpoint].address
        assert explain_flow(flow(source_port=port), many).endpoint == expected


@pytest.mark.parametrize(
    ("given", "verdict", "step"),
    [
        pytest.param(
            tables(),
            "pass_not_vip",
            "20.20.20.1 is no VIP of this node: its packets are left to the kernel",
            id="no VIP",
        ),
        pytest.param(
            tables(service(f"{VIP4}:81/tcp")),
            "drop_unserved",
            "20.20.20.1 is a VIP, but no service has tcp port 80 or any port: "
            "its packets are dropped and counted",
            id="unserved",
        ),
        pytest.param(
            tables(service(f"{VIP4}:81/tcp", unserved=Unserved.PASS)),
            "pass_unserved",
            "20.20.20.1 is a VIP, but no service has tcp port 80 or any port: "
            "its packets are left to the kernel",
            id="unserved, and passed",
        ),
        pytest.param(
            tables(service(sources=frozenset({ip_network("2.0.0.0/8")}))),
            "drop_source",
            "the service allows 2.0.0.0/8 only, and 1.1.1.1 is in none of them: "
            "its packets are dropped and counted",
            id="not on the list",
        ),
        pytest.param(
            tables(service(sources=frozenset(ip_network(f"{n}.0.0.0/8") for n in range(2, 7)))),
            "drop_source",
            "the service allows 2.0.0.0/8, 3.0.0.0/8, 4.0.0.0/8 and 2 more prefixes only, "
            "and 1.1.1.1 is in none of them: its packets are dropped and counted",
            id="not on a long list",
        ),
        pytest.param(
            tables(service(), endpoints={1: endpoint(1, None)}),
            "drop_no_path",
            "the endpoint has no path at the moment: its packets are dropped and counted",
            id="no path",
        ),
        pytest.param(
            tables(service(), endpoints={}),
            "drop_internal",
            "the tables contradict each other, please report it: its packets are dropped",
            id="no such endpoint",
        ),
        pytest.param(
            tables(service(words=[])),
            "drop_internal",
            "the pool has no lookup table, please report it: its packets are dropped",
            id="no table",
        ),
    ],
)
def test_the_last_step_says_why_a_flow_is_not_sent(given: Tables, verdict: str, step: str) -> None:
    explanation = explained(given)

    assert explanation.verdict == verdict == run(syn(), given).verdict
    assert explanation.steps[-1] == step


def test_a_prefix_is_named() -> None:
    steps = explained(tables(service("20.20.20.0/24:80/tcp", pool="web"))).steps

    assert steps[:2] == (
        "20.20.20.1 is in 20.20.20.0/24, the longest VIP prefix that holds it",
        "service 20.20.20.0/24:80/tcp, served by pool web",
    )


def test_an_allowed_client_is_told_by_which_prefix() -> None:
    allowed = frozenset({ip_network("1.0.0.0/8"), ip_network("1.1.0.0/16")})

    assert (
        "the service allows 1.1.0.0/16, which 1.1.1.1 is in"
        in explained(tables(service(sources=allowed))).steps
    )


def test_a_client_is_told_whether_it_is_denied_and_by_which_prefix() -> None:
    denied = frozenset({ip_network("1.0.0.0/8")})
    refused = explained(tables(service(denied_sources=denied)))
    others = explained(tables(service(denied_sources=frozenset({ip_network("2.0.0.0/8")}))))

    assert refused.verdict == "drop_source"
    assert refused.steps[-1] == (
        "the service denies 1.0.0.0/8, which 1.1.1.1 is in: its packets are dropped and counted"
    )
    assert others.verdict == "sent"
    assert "the service denies 2.0.0.0/8, and 1.1.1.1 is in none of them" in others.steps


@pytest.mark.parametrize(
    ("affinity", "counted"),
    [
        (Affinity.SOURCE_IP, "addresses without ports and protocol"),
        (Affinity.DESTINATION_PORT, "destination port alone"),
    ],
)
def test_affinity_says_what_the_hash_is_of(affinity: Affinity, counted: str) -> None:
    hash32 = HASH.hash32(flow(), affinity)

    assert (
        f"hash {hash32:#010x} of the {counted} falls into slot 0 of 1"
        in explained(tables(service(affinity=affinity))).steps
    )


def test_quic_ids_are_counted_by_pool() -> None:
    quic = tables(
        service(f"{VIP4}:80/udp", pool="web", quic=True),
        server_ids={("web", 1): 1, ("web", 2): 2, ("other", 3): 3},
    )

    assert explain_flow(UDP, quic).steps[1] == (
        "a QUIC packet whose connection id has one of the pool's 2 server ids goes to that "
        "endpoint while it is up; Initial, 0-RTT and all other packets go by hash"
    )


UNSTABLE = "the slot is unstable: it had another owner lately"
NOTED = "a flow with a note stays at the noted endpoint while that is up; a flow without a note"


class TestUnstableSlot:
    @pytest.mark.parametrize(
        ("protocol", "beginning"),
        [pytest.param("tcp", "SYN", id="TCP"), pytest.param("sctp", "INIT", id="SCTP")],
    )
    def test_new_flows_go_to_the_owner_and_old_ones_to_the_anchor(
        self, protocol: str, beginning: str
    ) -> None:
        moved = tables(service(f"{VIP4}:80/{protocol}", [unstable(1, anchor=2)]))

        explanation = explain_flow(flow(Protocol(protocol)), moved)

        assert explanation.endpoint == ENDPOINTS[1].address
        assert explanation.steps[2:-1] == (
            "the slot belongs to endpoint 56.56.56.1",
            UNSTABLE,
            f"its {beginning} goes to the owner and is noted",
            f"{NOTED} began before the change and goes to the anchor 56.56.56.2",
        )

    def test_without_an_anchor(self) -> None:
        steps = explained(tables(service(words=[unstable(1)]))).steps

        assert steps[-2] == f"{NOTED} goes to the owner, as nobody up is known from before"

    def test_with_an_anchor_that_is_down(self) -> None:
        half = {1: ENDPOINTS[1], 2: endpoint(2, down=True)}

        steps = explained(tables(service(words=[unstable(1, anchor=2)]), endpoints=half)).steps

        assert steps[-2] == (
            f"{NOTED} goes to the owner, as the anchor is 56.56.56.2, which is down"
        )

    def test_udp_has_no_beginning(self) -> None:
        moved = tables(service(f"{VIP4}:80/udp", [unstable(1, anchor=2)]))

        *_, changed, rule, _ = explain_flow(UDP, moved).steps
        assert changed == UNSTABLE
        assert rule == (
            f"{NOTED} goes to the anchor 56.56.56.2 until 30 s after the change, then to the "
            "owner, and is noted there"
        )

    def test_a_service_may_remember_nothing(self) -> None:
        never = tables(service(words=[unstable(1, anchor=2)], flow_table=FlowTable.NEVER))

        assert explained(never).steps[3:-1] == (
            f"{UNSTABLE}, but the service remembers no flows: all go to its owner",
        )


def test_a_service_may_remember_every_flow() -> None:
    always = tables(service(f"{VIP4}:80/udp", flow_table=FlowTable.ALWAYS))

    assert explain_flow(UDP, always).steps[-2] == (
        "the service remembers every flow: a noted one stays at its endpoint while that is up, "
        "until it has been idle for 30 s, whatever its slot says"
    )


def test_an_owner_that_is_down_is_said_to_be() -> None:
    alone = tables(service(), endpoints={1: endpoint(1, down=True)})

    assert explained(alone).steps[-2] == "the slot belongs to endpoint 56.56.56.1, which is down"


@pytest.mark.parametrize(
    ("row", "step"),
    [
        pytest.param(
            endpoint(1, GUE6),
            f"sent as 2001:db8:f::fd > 2001:db8:f::1 (gue) to {TO_HOP}",
            id="gue",
        ),
        pytest.param(endpoint(1, L2), f"sent as it is (l2) to {TO_HOP}", id="l2"),
        pytest.param(
            endpoint(1, replace(IPIP4, next_hop=replace(HOP, tag=100))),
            f"{SENT} with VLAN tag 100",
            id="a tag",
        ),
        pytest.param(
            endpoint(1, dscp=46),
            f"sent as 31.31.31.253 > 31.31.31.1 (ipip, DSCP 46) to {TO_HOP}",
            id="DSCP",
        ),
        pytest.param(
            endpoint(1, replace(IPIP4, outer_source=ip_address("10.9.0.0"), source_hashed=True)),
            f"sent as 10.9.0.0, its last 16 bits from the hash, > 31.31.31.1 (ipip) to {TO_HOP}",
            id="a hashed source",
        ),
    ],
)
def test_the_path_is_told(row: EndpointRow, step: str) -> None:
    assert explained(tables(service(), endpoints={1: row})).steps[-1] == step


def test_ipv6() -> None:
    key = f"[{VIP6}]:80/tcp"
    v6 = replace(flow(), source=ip_address(CLIENT6), destination=ip_address(VIP6))

    explanation = explain_flow(v6, tables(service(key, pool="web")))

    assert explanation.verdict == "sent"
    assert explanation.steps[0] == f"service {key}, served by pool web"
