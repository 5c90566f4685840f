"""Announcements as ExaBGP's commands, in each peer's terms."""

from typing import Any

import pytest

from headrace.bgp.relay.exabgp import ExabgpRelay
from headrace.bgp.relay.messages import Side
from headrace.bgp.relay.wanted import Wanted
from tests.bgp.relay_lines import R1, VIP, announce_line, state_line


@pytest.mark.parametrize(
    ("route", "terms", "attributes"),
    [
        pytest.param({}, {}, "next-hop 10.9.1.1", id="nothing in particular"),
        pytest.param(
            {"prepend": 2},
            {},
            "next-hop 10.9.1.1 as-path [ 64512 64512 64512 ]",
            id="prepended for an external peer",
        ),
        pytest.param({"local_pref": 9}, {}, "next-hop 10.9.1.1", id="no preference for it"),
        pytest.param(
            {"prepend": 2, "local_pref": 9},
            {R1: [64512, [4], False]},
            "next-hop 10.9.1.1 local-preference 9",
            id="the reverse for an internal one",
        ),
        pytest.param({"next_hop": "10.9.1.7"}, {}, "next-hop 10.9.1.7", id="a given next hop"),
        pytest.param({"next_hop": "fd09::7"}, {}, "next-hop 10.9.1.1", id="one of no use"),
        pytest.param(
            {"next_hop": "fd09::7"},
            {R1: [65001, [4], True]},
            "next-hop fd09::7",
            id="one of use by RFC 8950",
        ),
        pytest.param({}, {R1: [65001, [4], True]}, "next-hop fd09:1::1", id="the own one by it"),
        pytest.param(
            {"prefix": "2001:db8::1/128"},
            {R1: [65001, [4, 6], False]},
            "next-hop fd09:1::1",
            id="the own one for the other family",
        ),
    ],
)
def test_a_route_is_told_in_the_peers_terms(
    route: dict[str, Any], terms: dict[str, Any], attributes: str
) -> None:
    relay = ExabgpRelay(exabgp_pid=42, wanted=Wanted(), beside={"10.9.1.1": "fd09:1::1"}.get)
    relay.receive(Side.SPEAKER, state_line(R1, "up"), 0.0)
    wanted = {"prefix": VIP} | route
    given: dict[str, Any] = {"peers": terms} if terms else {}

    relay.receive(Side.DAEMON, announce_line(1, wanted, **given), 0.0)

    told = f"neighbor {R1} announce attributes {attributes} nlri {wanted['prefix']}"
    assert relay.data_to_send(Side.SPEAKER).decode().splitlines() == [told]
