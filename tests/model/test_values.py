"""Values that travel between rooms."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model import Protocol, ServiceKey

keys = st.builds(
    ServiceKey,
    vip=st.ip_addresses(),
    protocol=st.sampled_from(Protocol),
    port=st.integers(0, 65_535),
)


@given(keys)
def test_a_key_is_read_back_from_its_text(key: ServiceKey) -> None:
    assert ServiceKey.of_text(str(key)) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("20.20.20.1:8080/tcp", ServiceKey(ip_address("20.20.20.1"), Protocol.TCP, 8080)),
        ("[2001:db8::1]:any/udp", ServiceKey(ip_address("2001:db8::1"), Protocol.UDP, 0)),
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
