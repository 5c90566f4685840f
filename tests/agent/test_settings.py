"""What the options mean on a host with these addresses."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from headrace import dataplane
from headrace.agent.settings import LIMIT_ADDRESSES, AgentSettings, decapsulation_of
from headrace.model import ConfigError, IPAddress, IPNetwork

HOST = [
    ip_address(text)
    for text in ("127.0.0.1", "::1", "56.56.56.1", "31.31.31.1", "2001:db8::1", "20.20.20.1")
]


def addresses(*texts: str) -> frozenset[IPAddress]:
    return frozenset(map(ip_address, texts))


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(map(ip_network, texts))


def settings(
    vips: frozenset[IPNetwork] = networks("20.20.20.1"),
    balancers: frozenset[IPNetwork] = networks("31.31.31.253", "2001:db8:31::/64"),
    own: frozenset[IPAddress] = addresses(),
) -> AgentSettings:
    return AgentSettings("main", vips, balancers, own, 6080, None)


def test_tunnels_end_at_every_address_that_is_neither_vip_nor_loopback() -> None:
    wanted = decapsulation_of(settings(), HOST)

    assert wanted.own == addresses("56.56.56.1", "31.31.31.1", "2001:db8::1")
    assert wanted.balancers == networks("31.31.31.253", "2001:db8:31::/64")
    assert wanted.vips == networks("20.20.20.1")
    assert wanted.gue_port == 6080


def test_tunnels_end_at_the_addresses_named_and_no_others() -> None:
    named = addresses("31.31.31.1", "2001:db8::5")

    assert decapsulation_of(settings(own=named), HOST).own == named


def test_addresses_of_a_vip_prefix_are_vips() -> None:
    wanted = decapsulation_of(settings(vips=networks("20.20.20.0/24", "56.0.0.0/8")), HOST)

    assert wanted.own == addresses("31.31.31.1", "2001:db8::1")


def test_an_address_cannot_be_both_vip_and_end_of_a_tunnel() -> None:
    both = settings(vips=networks("20.20.20.0/24"), own=addresses("20.20.20.1", "31.31.31.1"))

    with pytest.raises(ConfigError) as caught:
        decapsulation_of(both, HOST)

    assert str(caught.value) == (
        "--to: 20.20.20.1 belongs to the VIP 20.20.20.0/24, and tunnels end at an address of the "
        "host's own; take it out of one of the two"
    )


def test_a_host_with_nothing_but_vips_is_refused() -> None:
    with pytest.raises(ConfigError, match="--to: this host has no address but VIPs; name one"):
        decapsulation_of(settings(), addresses("127.0.0.1", "20.20.20.1"))


@pytest.mark.parametrize("excess", [0, 1])
def test_addresses_fit_the_map_up_to_the_limit(excess: int) -> None:
    count = LIMIT_ADDRESSES - 4 + excess  # a VIP and three of the host's own come on top
    many = frozenset(ip_network(0x0A000000 + number) for number in range(count))

    if excess:
        with pytest.raises(ConfigError, match="that makes 4097 addresses and the limit is 4096"):
            decapsulation_of(settings(balancers=many), HOST)
    else:
        assert decapsulation_of(settings(balancers=many), HOST).balancers == many


def test_the_limit_is_the_same_in_c_and_python() -> None:
    header = Path(dataplane.__file__).parent / "bpf/tail_maps.h"

    assert re.findall(r"#define LIMIT_ADDRESSES (\d+)", header.read_text()) == [
        str(LIMIT_ADDRESSES)
    ]
