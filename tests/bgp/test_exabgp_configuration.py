"""What ExaBGP is given to read, read back by ExaBGP's own parser."""

from pathlib import Path
from typing import Any

import pytest
from exabgp.configuration.configuration import Configuration
from exabgp.logger import log

from headrace.bgp.exabgp_configuration import build_environment, render_configuration
from headrace.model import Bgp, UnavailableError

R1 = "10.9.1.254"


SOCKET = Path("/run/a b/bgp/relay.sock")


def section(*, restart_s: int | None = None, **peer: Any) -> Bgp:
    return Bgp.model_validate(
        {
            "as": 64512,
            "router_id": "10.9.1.1",
            "graceful_restart_s": restart_s,
            "peers": [{"address": R1, "as": 65001} | peer],
        }
    )


def read_by_exabgp(bgp: Bgp) -> Any:
    """The first session as ExaBGP understands it."""
    text, _ = render_configuration(bgp, SOCKET)
    log.silence()  # it has none outside its own program
    parser = Configuration([text], text=True)
    assert parser.reload() is True, parser.error
    return next(iter(parser.neighbors.values()))


@pytest.mark.parametrize(
    ("peer", "setting", "value"),
    [
        pytest.param({}, "peer-as", "65001", id="the peer's AS"),
        pytest.param({}, "local-as", "64512", id="our AS"),
        pytest.param({}, "router-id", "10.9.1.1", id="the router id"),
        pytest.param({}, "connect", "179", id="the port, by default"),
        pytest.param({"port": 1790}, "connect", "1790", id="the port"),
        pytest.param({}, "local-address", "None", id="our address, found by connecting"),
        pytest.param({"local_address": "10.9.1.1"}, "local-address", "10.9.1.1", id="our address"),
        pytest.param({"hold_time_s": 3}, "hold-time", "3", id="the hold time"),
        pytest.param({}, "outgoing-ttl", "255", id="a direct session's TTL"),
        pytest.param({"multihop": 4}, "outgoing-ttl", "4", id="a multihop session's TTL"),
        pytest.param({}, "incoming-ttl", "None", id="any TTL is taken"),
        pytest.param({"gtsm": True}, "outgoing-ttl", "255", id="GTSM sends with the most"),
        pytest.param({"gtsm": True}, "incoming-ttl", "255", id="GTSM takes the most"),
        pytest.param({"gtsm": True, "multihop": 4}, "outgoing-ttl", "255", id="over hops too"),
        pytest.param({"gtsm": True, "multihop": 4}, "incoming-ttl", "252", id="less the hops"),
        pytest.param({}, "manual-eor", "False", id="no end of a set is told"),
        pytest.param({"restart_s": 9}, "manual-eor", "True", id="the relay tells the end"),
        pytest.param({}, "md5-password", "None", id="no password"),
        pytest.param({"password": "a\"b'\\ #"}, "md5-password", "YSJiJ1wgIw==", id="any password"),
        pytest.param({"password": "x"}, "md5-base64", "True", id="a password's encoding"),
        pytest.param({}, "passive", "False", id="we connect"),
        pytest.param({}, "listen", "0", id="nothing listens"),
        pytest.param({}, "adj-rib-out", "False", id="ExaBGP remembers nothing"),
    ],
)
def test_exabgp_reads_what_the_document_says(
    peer: dict[str, Any], setting: str, value: str
) -> None:
    assert str(read_by_exabgp(section(**peer))[setting]) == value


@pytest.mark.parametrize(
    ("peer", "families"),
    [
        pytest.param({}, {"ipv4 unicast"}, id="IPv4's own"),
        pytest.param({"address": "fd09::254"}, {"ipv6 unicast"}, id="IPv6's own"),
        pytest.param({"families": ["ipv6"]}, {"ipv6 unicast"}, id="the other"),
        pytest.param({"families": ["ipv6", "ipv4"]}, {"ipv4 unicast", "ipv6 unicast"}, id="both"),
    ],
)
def test_a_session_carries_the_families_asked_for(peer: dict[str, Any], families: set[str]) -> None:
    neighbor = read_by_exabgp(section(**peer))

    assert {f"{afi} {safi}" for afi, safi in neighbor.families()} == families
    assert neighbor["capability"]["nexthop"] in {None, False}


def test_an_ipv6_next_hop_for_ipv4_is_offered_where_asked() -> None:
    peer: dict[str, Any] = {"address": "fd09::254", "families": ["ipv4"], "extended_next_hop": True}

    neighbor = read_by_exabgp(section(**peer))

    assert [tuple(map(str, each)) for each in neighbor.nexthops()] == [("ipv4", "unicast", "ipv6")]


@pytest.mark.parametrize("restart_s", [None, 9])
def test_routers_are_asked_to_keep_routes_where_the_document_says(restart_s: int | None) -> None:
    neighbor = read_by_exabgp(section(restart_s=restart_s))

    assert neighbor["capability"]["graceful-restart"] == (restart_s or False)


def test_the_digest_changes_with_the_peers_and_is_in_every_session() -> None:
    text, digest = render_configuration(section(), SOCKET)
    _, other = render_configuration(section(hold_time_s=10), SOCKET)

    assert text.count(f'description "{digest}"') == 1
    assert other != digest


def test_a_password_of_the_longest_length_passes() -> None:
    assert len(str(read_by_exabgp(section(password="a" * 80))["md5-password"])) == 108


def test_a_path_that_exabgp_cannot_be_told_is_refused() -> None:
    with pytest.raises(UnavailableError, match="plain characters"):
        render_configuration(section(), Path("/run/o'brien/relay.sock"))


def test_the_operators_own_exabgp_settings_do_not_reach_ours() -> None:
    inherited = {
        "PATH": "/bin",
        "exabgp.api.cli": "true",
        "EXABGP_ETC": "/etc",
        "exabgp_tcp_port": "1",
    }

    environment = build_environment(inherited, Path("/run/bgp/x.pid"), Path("/run/bgp/x.log"))

    assert environment["PATH"] == "/bin"
    assert environment["exabgp_log_destination"] == "/run/bgp/x.log"
    assert {"exabgp.api.cli", "EXABGP_ETC", "exabgp_tcp_port"}.isdisjoint(environment)
