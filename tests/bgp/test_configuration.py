"""What ExaBGP is given to read, read back by ExaBGP's own parser."""

from pathlib import Path
from typing import Any

import pytest
from exabgp.configuration.configuration import Configuration
from exabgp.logger import log

from headrace.bgp.configuration import Files, build_environment, render_configuration
from headrace.model import Bgp, ConfigError, UnavailableError

R1 = "10.9.1.254"


def section(**peer: Any) -> Bgp:
    peers = [{"address": R1, "as": 65001} | peer]
    return Bgp.model_validate({"as": 64512, "router_id": "10.9.1.1", "peers": peers})


def read_by_exabgp(bgp: Bgp) -> Any:
    """The first session as ExaBGP understands it."""
    text, _ = render_configuration(bgp, Files(Path("/run/a b/bgp")), 60.0)
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
    ("address", "family"), [(R1, "ipv4 unicast"), ("fd09::254", "ipv6 unicast")]
)
def test_a_session_carries_its_own_family(address: str, family: str) -> None:
    neighbor = read_by_exabgp(section(address=address))

    assert [f"{afi} {safi}" for afi, safi in neighbor.families()] == [family]


def test_the_digest_changes_with_the_peers_and_is_in_every_session() -> None:
    files = Files(Path("/run/bgp"))

    text, digest = render_configuration(section(), files, 60.0)
    _, other = render_configuration(section(hold_time_s=10), files, 60.0)

    assert text.count(f'description "{digest}"') == 1
    assert other != digest


def test_every_problem_of_the_peers_is_reported() -> None:
    bgp = section(address="fe80::1", local_address="10.0.0.1", password="ä" * 41)

    with pytest.raises(ConfigError) as caught:
        render_configuration(bgp, Files(Path("/run/bgp")), 60.0)

    assert [problem.path for problem in caught.value.problems] == [
        "bgp.peers[0].address",
        "bgp.peers[0].local_address",
        "bgp.peers[0].password",
    ]


def test_two_sessions_with_one_peer_are_refused() -> None:
    bgp = section().model_copy(update={"peers": section().peers * 2})

    with pytest.raises(ConfigError, match=r"bgp.peers\[1\].address: .* is already bgp.peers\[0\]"):
        render_configuration(bgp, Files(Path("/run/bgp")), 60.0)


def test_a_password_of_the_longest_length_passes() -> None:
    assert len(str(read_by_exabgp(section(password="a" * 80))["md5-password"])) == 108


def test_a_path_that_exabgp_cannot_be_told_is_refused() -> None:
    with pytest.raises(UnavailableError, match="plain characters"):
        render_configuration(section(), Files(Path("/run/o'brien")), 60.0)


def test_the_operators_own_exabgp_settings_do_not_reach_ours() -> None:
    inherited = {
        "PATH": "/bin",
        "exabgp.api.cli": "true",
        "EXABGP_ETC": "/etc",
        "exabgp_tcp_port": "1",
    }

    environment = build_environment(inherited, Files(Path("/run/bgp")))

    assert environment["PATH"] == "/bin"
    assert environment["exabgp_log_destination"] == "/run/bgp/exabgp.log"
    assert {"exabgp.api.cli", "EXABGP_ETC", "exabgp_tcp_port"}.isdisjoint(environment)
