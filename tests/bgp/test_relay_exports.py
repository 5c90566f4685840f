"""What relays make of export policies: each peer's own set, and nothing for who is no peer."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.bgp.bird_configuration import render_bird
from headrace.bgp.link import encode_announcements, encode_exports, encode_terms
from headrace.bgp.relay.bird_text import render_routes
from headrace.bgp.relay.exabgp import ExabgpRelay
from headrace.bgp.relay.messages import Announce, Export, Route, Side, parse_order
from headrace.bgp.relay.wanted import Wanted
from headrace.model import Announcement, Bgp
from headrace.model.fields import read_prefix
from tests.bgp.relay_lines import OTHER, PEERS, R1, R2, VIP, announce_line, state_line
from tests.bgp.support import whole
from tests.bgp.test_bird_configuration import read_by_bird

HIDDEN_FROM_R2: dict[str, Any] = {
    "peers": [R2],
    "announcements": [whole({"prefix": VIP, "med": 5})],
    "leaving": [],
}


def relay_with(*peers: str) -> ExabgpRelay:
    relay = ExabgpRelay(exabgp_pid=42, wanted=Wanted(), beside=lambda _: None)
    for peer in peers:
        relay.receive(Side.SPEAKER, state_line(peer, "up"), 0.0)
    return relay


def told(relay: ExabgpRelay, line: bytes) -> list[str]:
    """What ExaBGP is told once the daemon has said this, all of it accepted."""
    relay.receive(Side.DAEMON, line, 0.0)
    commands = relay.data_to_send(Side.SPEAKER).decode().splitlines()
    relay.receive(Side.SPEAKER, b"done\n" * len(commands), 0.0)
    return commands


def test_each_session_of_exabgp_hears_its_own_set() -> None:
    relay = relay_with(R1, R2)

    first = told(relay, announce_line(1, VIP, OTHER, exports=[HIDDEN_FROM_R2]))
    again = told(relay, announce_line(2, VIP, OTHER, exports=[HIDDEN_FROM_R2]))
    without = told(relay, announce_line(3, VIP, OTHER))

    assert first == [
        f"neighbor {R1} announce attributes next-hop 10.9.1.1 nlri {VIP} {OTHER}",
        f"neighbor {R2} announce attributes next-hop 10.9.2.1 med 5 nlri {VIP}",
    ]
    assert again == []
    assert without == [f"neighbor {R2} announce attributes next-hop 10.9.2.1 nlri {VIP} {OTHER}"]


def test_a_session_that_the_daemon_has_not_told_of_hears_nothing() -> None:
    relay = relay_with(R1, R2)
    known = {R1: PEERS[R1]}

    before = told(relay, announce_line(1, VIP, peers=known, end_of_rib=True))
    after = told(relay, announce_line(2, VIP, end_of_rib=True))
    removed = told(relay, announce_line(3, VIP, peers=known, end_of_rib=True))

    assert [command.split()[1] for command in before] == [R1, R1]
    assert [command.split()[1] for command in after] == [R2, R2]
    assert removed == [f"neighbor {R2} withdraw attributes next-hop 10.9.2.1 nlri {VIP}"]


def exporting_order() -> Announce:
    section = Bgp.model_validate(
        {
            "as": 64512,
            "router_id": "10.9.1.1",
            "withdraw_drain_s": 30,
            "prefix_sets": {"s": [{"prefix": OTHER}]},
            "policies": {
                "p": [
                    {"conditions": {"prefixes": {"set": "s"}}, "actions": {"result": "reject"}},
                    {"actions": {"med": 5}},
                ]
            },
            "peers": [{"address": R1, "as": 65001}, {"address": R2, "as": 1, "export": ["p"]}],
        }
    )
    some = [Announcement(read_prefix(prefix), communities=("64512:7",)) for prefix in (OTHER, VIP)]
    message = {
        "type": "announce",
        "id": 1,
        "announcements": encode_announcements(some),
        "leaving": [],
        "exports": encode_exports(some, section),
    }
    order = parse_order(json.dumps(message | encode_terms(section)))
    assert isinstance(order, Announce)
    return order


def test_a_daemon_tells_what_peers_hear_by_their_policies() -> None:
    wanted = Wanted()

    wanted.take(exporting_order())

    assert wanted.routes_for(R1) == wanted.routes
    assert wanted.routes_for(R2) == {VIP: Route(5, ("64512:7",))}
    assert wanted.exports[0].leaving == {VIP: Route(105, ("65535:0", "64512:7"), 2, 50)}
    assert wanted.routes_for("10.9.9.254") == {}


def test_what_peers_hear_by_their_policies_is_handed_over_and_leaves_as_the_rest() -> None:
    former, heir = Wanted(), Wanted()
    former.take(exporting_order()._replace(leaving={VIP: Route(), OTHER: Route()}))

    assert heir.inherit(former.hand_over(until=10.0), 0.0)
    handed = heir.routes_for(R2)
    for limit_s in (60.0, 90.0):
        assert heir.expire(limit_s)
        if limit_s == 60.0:
            assert heir.routes_for(R2) == {VIP: Route(105, ("65535:0", "64512:7"), 2, 50)}

    assert handed == {VIP: Route(5, ("64512:7",))}
    assert heir.routes_for(R1) == heir.routes_for(R2) == {}


def test_what_a_relay_without_policies_handed_over_is_still_announced() -> None:
    order = json.loads(announce_line(0, VIP))
    text = json.dumps({"until": 10.0, "order": json.dumps(order)})
    heir = Wanted()

    assert "exports" not in order
    assert heir.inherit(text, 0.0)
    assert heir.routes_for(R1) == {VIP: Route()}


EXPORTS = (
    Export((R2,), {VIP: Route(5, ("65000:1", "64512:1:2"), 2, 200, "10.9.2.7")}, {}),
    Export(("fd09::254", "fd09::253"), {}, {}),
)


@pytest.mark.parametrize("exports", [(), EXPORTS])
@pytest.mark.parametrize("routes", [{}, {VIP: Route(7), OTHER: Route(), "2001:db8::/64": Route()}])
def test_bird_reads_what_peers_hear_by_their_policies(
    routes: dict[str, Route], exports: tuple[Export, ...], tmp_path: Path
) -> None:
    asked = {"as": 65001, "export_default": "reject"}
    peers = [{"address": each} | asked for each in (R1, R2, "fd09::254")]
    peers.append(peers[2] | {"address": "fd09::252", "as": 64512, "families": ["ipv4", "ipv6"]})
    peers.append(peers[3] | {"address": "fd09::253", "extended_next_hop": True})
    section = {"as": 64512, "router_id": "10.9.1.1", "speaker": "bird", "peers": peers}
    vips = tmp_path / "vips"

    vips.write_text(render_routes(routes, 64512, exports))

    bgp = Bgp.model_validate(section)
    read_by_bird(render_bird(bgp, log=tmp_path / "log", routes=vips), tmp_path)


def test_a_prefix_like_others_changes_nothing_that_bird_would_tell_again() -> None:
    def rendered(*prefixes: str) -> tuple[str, list[str]]:
        heard = {prefix: Route(5) for prefix in prefixes}
        text = render_routes(
            {prefix: Route() for prefix in prefixes}, 64512, (Export((R2,), heard, {}),)
        )
        function, _, protocols = text.partition("protocol")
        return function, [line for line in protocols.splitlines() if "route " in line]

    one, [only] = rendered(VIP)
    two, lines = rendered(OTHER, VIP)

    assert one == two
    assert only in lines


def test_without_policies_bird_is_told_of_no_class() -> None:
    assert "given_class" not in render_routes({VIP: Route(7)}, 64512)
