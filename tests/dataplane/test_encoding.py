"""Values survive the way to a map entry and back."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.dataplane import encoding, layout
from headrace.model import (
    ConfigError,
    Encapsulation,
    IPAddress,
    IPNetwork,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceKey,
)

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6).filter(lambda address: int(address) >> 48)
ADDRESSES = V4 | V6
MACS = st.binary(min_size=6, max_size=6)


@st.composite
def networks(draw: st.DrawFn, host_bits: int = 0) -> IPNetwork:
    """A prefix that leaves at least so many bits to its addresses."""
    address = draw(ADDRESSES)
    length = draw(st.integers(0, address.max_prefixlen - host_bits))
    return ip_network((address, length), strict=False)


@st.composite
def reaches(draw: st.DrawFn) -> Reach:
    source = destination = None
    encapsulation = draw(st.sampled_from(Encapsulation))
    if encapsulation is not Encapsulation.L2 and draw(st.booleans()):
        source, destination = draw(st.tuples(V4, V4) | st.tuples(V6, V6))
    dscp = draw(st.none() | st.integers(0, 63))
    return Reach(draw(ADDRESSES), source, destination, encapsulation, draw(st.booleans()), dscp)


KEYS = st.builds(
    ServiceKey, ADDRESSES | networks(host_bits=1), st.sampled_from(Protocol), st.integers(0, 65_535)
)
HOPS = st.builds(
    NextHop, st.integers(1, 2**32 - 1), MACS, MACS, st.integers(0, 4095), st.booleans()
)


@given(KEYS)
def test_service_key_comes_back(key: ServiceKey) -> None:
    assert encoding.key_of(encoding.service_key(key)) == key


@given(KEYS)
def test_mark_and_portless_entry_are_no_service(key: ServiceKey) -> None:
    mark, portless = encoding.vip_mark(key.vip), encoding.portless_key(key.vip, key.protocol)

    assert [encoding.is_service(each) for each in (mark, portless)] == [False, False]
    assert [encoding.is_mark(each) for each in (mark, portless)] == [True, False]
    assert encoding.vip_of(mark) == encoding.vip_of(portless) == key.vip


PREFIXES = st.builds(
    lambda address, length: ip_network((address, min(length, address.max_prefixlen)), strict=False),
    st.ip_addresses() | st.integers(0, 2**48 - 1).map(IPv6Address),
    st.integers(0, 128),
)


@given(PREFIXES, st.integers(0, 2**31 - 1))
@example(ip_network("0.0.0.0/0"), 0)
@example(ip_network("::ffff:0.0.0.0/96"), 0)
@example(ip_network("::/0"), 0)
def test_prefixes_come_back(prefix: IPNetwork, number: int) -> None:
    key = encoding.source_key(number, prefix)

    assert encoding.source_of(key) == (number, prefix)
    assert encoding.vip_prefix_of(encoding.prefix_key(prefix)) == prefix


@given(reaches().filter(lambda reach: int(reach.endpoint)))
def test_reach_comes_back(reach: Reach) -> None:
    assert encoding.reach_of(encoding.endpoint(reach)) == reach


@given(reaches().filter(lambda reach: int(reach.endpoint)), HOPS, st.integers(68, 65_535))
def test_path_comes_back(reach: Reach, hop: NextHop, mtu_bytes: int) -> None:
    entries = encoding.endpoint(reach), encoding.next_hop(hop, mtu_bytes)

    assert encoding.path_of(*entries) == Path(
        reach.outer_source,
        reach.outer_destination,
        hop,
        mtu_bytes,
        reach.encapsulation,
        reach.source_hashed,
    )


@pytest.mark.parametrize(
    ("address", "bit"),
    [
        pytest.param("0.0.0.1", 0x01000000 * layout.LOOKUP_MULTIPLIER, id="IPv4"),
        pytest.param("::1", (1 << 24) * layout.LOOKUP_MULTIPLIER, id="IPv6, last half turned"),
        pytest.param("100::", layout.LOOKUP_MULTIPLIER, id="IPv6, first half"),
    ],
)
def test_filter_bit_is_of_the_number_that_the_processor_reads(address: str, bit: int) -> None:
    assert encoding.filter_bit(ip_address(address)) == bit % 2**64 >> 48


@given(ADDRESSES)
def test_filter_bit_lies_in_the_filter(address: IPAddress) -> None:
    assert 0 <= encoding.filter_bit(address) < 64 * layout.VIP_FILTER_WORDS


def test_outer_sum_makes_a_right_checksum_with_what_differs_by_packet() -> None:
    reach = Reach(ip_address("10.0.0.1"), IPv4Address("10.1.2.3"), IPv4Address("10.9.8.7"))
    header = b"\x45\xb8\x01\x02\x00\x00\x40\x00\x40\x04\x00\x00\x0a\x01\x02\x03\x0a\x09\x08\x07"

    total = encoding.endpoint(reach).outer_sum + sum(memoryview(header[:4]).cast("H"))

    assert total % 0xFFFF == sum(memoryview(header).cast("H")) % 0xFFFF


def test_ports_with_equal_indexes_are_refused() -> None:
    ports = [Port("a", 3, (bytes(6),)), Port("b", 259, (bytes(6),))]

    with pytest.raises(ConfigError, match="a and b have indexes equal modulo 256"):
        encoding.port_entries(ports)


def test_port_says_whether_it_transmits_and_which_macs_are_its_own() -> None:
    entries = encoding.port_entries([Port("a", 259, (b"\1" * 6, b"\2" * 6), transmit=True)])

    assert entries[3].ifindex == 259
    assert entries[3].flags == layout.PORT_TRANSMIT
    assert [bytes(mac) for mac in entries[3].macs] == [b"\1" * 6, *[b"\2" * 6] * 3]


def test_port_with_more_addresses_than_an_entry_has_room_for_is_refused() -> None:
    macs = tuple(bytes([number]) * 6 for number in range(5))

    assert [bytes(mac) for mac in encoding.port_entries([Port("a", 1, macs[:4])])[1].macs] == [
        *macs[:4]
    ]
    with pytest.raises(ConfigError, match="a and what is stacked on it have 5 MAC addresses"):
        encoding.port_entries([Port("a", 1, macs)])


def test_members_of_a_bond_have_entries_of_their_own() -> None:
    entries = encoding.port_entries([Port("bond0", 9, (b"\1" * 6,), members=(4, 261))])

    assert {each.ifindex: bytes(each.macs[0]) for each in entries if each.ifindex} == dict.fromkeys(
        (9, 4, 261), b"\1" * 6
    )
    with pytest.raises(ConfigError, match="a and bond0 have indexes equal modulo 256"):
        encoding.port_entries(
            [Port("a", 5, (bytes(6),)), Port("bond0", 9, (bytes(6),), members=(261,))]
        )
