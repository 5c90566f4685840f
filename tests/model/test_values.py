"""Values that travel between rooms."""

from ipaddress import ip_address, ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model import Protocol, ServiceKey

keys = st.builds(
    ServiceKey,
    vip=st.ip_addresses()
    | st.ip_addresses(v=4).map(lambda a: ip_network((a, 24), strict=False))
    | st.ip_addresses(v=6).map(lambda a: ip_network((a, 64), strict=False)),
    protocol=st.sampled_from(Protocol),
    port=st.integers(0, 65_535),
)


@given(keys)
def test_a_key_is_read_back_from_its_text(key: ServiceKey) -> None:
    assert ServiceKey.of_text(str(key)) == key


@given(keys)
def test_a_key_tells_the_parts_that_it_was_made_of(key: ServiceKey) -> None:
    assert ServiceKey(key.vip, key.protocol, key.port) == key
    assert key.prefix == ip_network(key.vip)


def test_a_network_of_one_address_is_that_address() -> None:
    network = ServiceKey(ip_network("20.20.20.1/32"), Protocol.TCP, 80)

    assert network == ServiceKey(ip_address("20.20.20.1"), Protocol.TCP, 80)
    assert network.vip == ip_address("20.20.20.1")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("20.20.20.1:8080/tcp", ServiceKey(ip_address("20.20.20.1"), Protocol.TCP, 8080)),
        ("[2001:db8::1]:any/udp", ServiceKey(ip_address("2001:db8::1"), Protocol.UDP, 0)),
        ("20.20.20.0/24:5/sctp", ServiceKey(ip_network("20.20.20.0/24"), Protocol.SCTP, 5)),
        ("[2001:db8::/64]:5/tcp", ServiceKey(ip_network("2001:db8::/64"), Protocol.TCP, 5)),
    ],
)
def test_a_key_reads_as_people_write_it(text: str, key: ServiceKey) -> None:
    assert str(key) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "20.20.20.1",
        "20.20.20.1:80",
        "20.20.20.1/tcp",
        "20.20.20.1:80/TCP",
        "20.20.20.1:080/tcp",
        "20.20.20.1:0/tcp",
        "20.20.20.1:65536/tcp",
        "20.20.20.1:-1/tcp",
        "2001:db8::1:80/tcp",
        "[20.20.20.1]:80/tcp",
        "20.20.20.1:80/tcp/",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ServiceKey.of_text(text)


@given(st.lists(keys, unique=True), st.randoms())
def test_keys_of_both_families_have_one_order(found: list[ServiceKey], random: Random) -> None:
    in_order = sorted(found)
    random.shuffle(found)

    assert sorted(found) == in_order
    assert [key.vip.version for key in in_order] == sorted(key.vip.version for key in found)


def test_an_address_comes_after_the_prefix_that_it_begins() -> None:
    last, *others = "20.20.20.0:80/tcp", "20.20.20.0/25:80/tcp", "20.20.20.0/24:80/tcp"

    in_order = sorted(ServiceKey.of_text(text) for text in [last, *others])

    assert [str(key) for key in in_order] == [*others[::-1], last]
