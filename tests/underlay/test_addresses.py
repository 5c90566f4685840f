"""The addresses of a network namespace."""

from ipaddress import ip_address

import pytest

from headrace.underlay.addresses import read_addresses
from tests.underlay.network import namespaces

pytestmark = pytest.mark.netns


def test_each_address_is_there_once_and_of_two_ends_our_own() -> None:
    with namespaces("host") as (host,):
        host.ip("link set lo up")
        host.ip("link add d0 type veth peer name d1")
        host.ip("addr add 10.0.0.1/24 dev d0")
        host.ip("addr add 10.0.0.1/32 dev lo")
        host.ip("addr add 10.9.0.1 peer 10.9.0.2 dev d0")
        host.ip("addr add fd00::1 peer fd00::2 dev d0")

        found = host.inside(read_addresses)

    own = ["10.0.0.1", "10.9.0.1", "127.0.0.1", "::1", "fd00::1"]
    assert found == sorted(map(ip_address, own), key=str)
