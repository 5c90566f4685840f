"""The flow hash: as published, even over everyday traffic, hard to aim."""

import json
import math
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from headrace.maglev import FlowHash, slot_of
from headrace.maglev.flow_hash import key_of
from headrace.model.values import Affinity, Flow, Protocol
from tests.maglev.vectors import FLOW_VECTORS

FLOWS_PER_SAMPLE = 20_000
LARGEST_DEVIATION = 4.5
"""Standard deviations of chi-square; the samples are fixed, so what passes keeps passing."""

IPV4_VIP = IPv4Address("198.51.100.1")
IPV6_VIP = IPv6Address("2001:db8:f::1")


def published() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads(FLOW_VECTORS.read_text())
    return vectors


def from_port(i: int) -> Flow:
    return Flow(Protocol.TCP, IPv4Address("192.0.2.1"), 1024 + i, IPV4_VIP, 443)


def from_address(i: int) -> Flow:
    return Flow(Protocol.TCP, IPv4Address(0x0A000000 + i), 40_000, IPV4_VIP, 443)


def from_address_and_port(i: int) -> Flow:
    source = IPv4Address(0x0A000000 + i % 250)
    return Flow(Protocol.TCP, source, 32_768 + i // 250 * 2, IPV4_VIP, 443)


def from_address_that_follows_the_port(i: int) -> Flow:
    return Flow(Protocol.UDP, IPv4Address(0x0A000000 + i), 1024 + i, IPV4_VIP, 53)


def from_prefix(i: int) -> Flow:
    source = IPv6Address((0x2001_0DB8_0000_0000 + i) << 64 | 1)
    return Flow(Protocol.TCP, source, 40_000, IPV6_VIP, 443)


def from_interface_and_port(i: int) -> Flow:
    source = IPv6Address((0x2001_0DB8 << 96) + i % 250)
    return Flow(Protocol.TCP, source, 40_000 + i // 250, IPV6_VIP, 443)


def forged_in_top_bits(i: int) -> Flow:
    source = IPv6Address((i >> 7) << 120 | (i & 0x7F) << 57)
    return Flow(Protocol.TCP, source, 40_000, IPV6_VIP, 443)


PATTERNS = [
    from_port,
    from_address,
    from_address_and_port,
    from_address_that_follows_the_port,
    from_prefix,
    from_interface_and_port,
    forged_in_top_bits,
]


def deviation(hashes: list[int], slot_count: int) -> float:
    """Chi-square of the slots' loads, in standard deviations from what chance would give."""
    loads = Counter(slot_of(hash32, slot_count) for hash32 in hashes)
    mean = len(hashes) / slot_count
    chi_square = sum(load * load for load in loads.values()) / mean - len(hashes)
    return (chi_square - (slot_count - 1)) / math.sqrt(2 * (slot_count - 1))


def test_keys_are_the_outputs_of_splitmix64() -> None:
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]

    assert [key_of(1234567, index) for index in range(4)] == known


@pytest.mark.parametrize("vector", published()["keys"], ids=lambda vector: vector["seed"])
def test_keys_are_as_published(vector: dict[str, Any]) -> None:
    seed = int(vector["seed"], 16)

    assert [f"0x{key_of(seed, index):016x}" for index in range(9)] == vector["keys"]


def test_flows_hash_as_published() -> None:
    vectors = published()["flows"]

    for vector in vectors:
        flow = Flow(
            protocol=Protocol.of_number(vector["protocol"]),
            source=ip_address(vector["source"]),
            source_port=vector["source_port"],
            destination=ip_address(vector["destination"]),
            destination_port=vector["destination_port"],
        )
        affinity = Affinity(vector["affinity"])
        hash32 = FlowHash.of_seed(int(vector["seed"], 16)).hash32(flow, affinity)

        assert hash32 == vector["hash32"], vector
        assert {n: slot_of(hash32, int(n)) for n in vector["slots"]} == vector["slots"]
    assert len(vectors) == 108


@pytest.mark.parametrize("seed", [0, 1, 0xA5A5_5A5A_DEAD_BEEF])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_flows_spread_as_evenly_as_chance(pattern: Callable[[int], Flow], seed: int) -> None:
    flow_hash = FlowHash.of_seed(seed)

    hashes = [flow_hash.hash32(pattern(i)) for i in range(FLOWS_PER_SAMPLE)]

    assert abs(deviation(hashes, 251)) < LARGEST_DEVIATION
    assert abs(deviation(hashes, 65_537)) < LARGEST_DEVIATION
    assert len(hashes) - len(set(hashes)) <= 3  # chance gives 0.05


def test_affinity_to_the_source_leaves_out_ports_and_protocol() -> None:
    flow_hash = FlowHash.of_seed(7)
    one = Flow(Protocol.TCP, IPv4Address("192.0.2.1"), 40_000, IPV4_VIP, 80)
    other = Flow(Protocol.UDP, IPv4Address("192.0.2.1"), 50_000, IPV4_VIP, 53)
    stranger = Flow(Protocol.TCP, IPv4Address("192.0.2.2"), 40_000, IPV4_VIP, 80)

    hashes = [flow_hash.hash32(flow, Affinity.SOURCE_IP) for flow in (one, other, stranger)]

    assert hashes[0] == hashes[1] != hashes[2]


def test_affinity_to_the_destination_port_leaves_out_all_else() -> None:
    flow_hash = FlowHash.of_seed(7)
    one = Flow(Protocol.TCP, IPv4Address("192.0.2.1"), 40_000, IPV4_VIP, 80)
    other = Flow(Protocol.UDP, IPv4Address("192.0.2.2"), 50_000, IPv4Address("203.0.113.9"), 80)
    stranger = Flow(Protocol.TCP, IPv4Address("192.0.2.1"), 40_000, IPV4_VIP, 443)

    hashes = [flow_hash.hash32(flow, Affinity.DESTINATION_PORT) for flow in (one, other, stranger)]

    assert hashes[0] == hashes[1] != hashes[2]


def test_every_hash_has_a_slot() -> None:
    assert [slot_of(hash32, 251) for hash32 in (0, 2**31, 2**32 - 1)] == [0, 125, 250]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed: int) -> None:
    with pytest.raises(ValueError, match="hash seed"):
        FlowHash.of_seed(seed)


def test_a_flow_is_of_one_family() -> None:
    flow = Flow(Protocol.TCP, IPv4Address("192.0.2.1"), 1, IPV6_VIP, 2)

    with pytest.raises(ValueError, match="two families"):
        FlowHash.of_seed(0).hash32(flow)
