"""`tailrace run`: what it makes of its options, and how it says what is wrong with them."""

import sys
from ipaddress import ip_address, ip_network

import pytest

from headrace import agent
from headrace.agent import AgentSettings
from headrace.cli.tailrace import main


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("TAILRACE_INSTANCE", raising=False)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the program in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["tailrace", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def settings_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> AgentSettings:
    """What the agent is told."""
    told: list[AgentSettings] = []
    monkeypatch.setattr(agent, "run", told.append)
    assert call(monkeypatch, "run", *arguments) == 0
    (settings,) = told
    return settings


def test_what_is_not_said_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, "--vip", "20.20.20.1", "--from", "31.31.31.253")

    assert settings == AgentSettings(
        instance="main",
        vips=frozenset({ip_network("20.20.20.1")}),
        balancers=frozenset({ip_network("31.31.31.253")}),
        own=frozenset(),
        gue_port=6080,
        interfaces=None,
    )


def test_every_option_reaches_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(
        monkeypatch,
        *("--vip", "20.20.20.1", "--vip", "2001:db8:20::/64"),
        *("--from", "31.31.31.253", "--from", "31.99.0.0/16", "--from", "2001:db8:31::/112"),
        *("--to", "31.31.31.1", "--to", "2001:db8:1::1"),
        *("--gue-port", "9886", "--interface", "eth0", "--interface", "eth1"),
        *("--instance", "second"),
    )

    assert settings == AgentSettings(
        instance="second",
        vips=frozenset(map(ip_network, ("20.20.20.1", "2001:db8:20::/64"))),
        balancers=frozenset(map(ip_network, ("31.31.31.253", "31.99.0.0/16", "2001:db8:31::/112"))),
        own=frozenset(map(ip_address, ("31.31.31.1", "2001:db8:1::1"))),
        gue_port=9886,
        interfaces=("eth0", "eth1"),
    )


VIP, FROM = ("--vip", "20.20.20.1"), ("--from", "31.31.31.253")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (VIP, "Missing option '--from'"),
        (FROM, "Missing option '--vip'"),
        (
            (*VIP, "--from", "balancer"),
            "--from: 'balancer' is no IP address: give one as 192.0.2.1 or 2001:db8::1",
        ),
        (
            (*VIP, "--from", "10.0.0.0/33"),
            "--from: '10.0.0.0/33' is no prefix: give one as 192.0.2.0/24 or 2001:db8::/64",
        ),
        (
            (*VIP, "--from", "10.0.0.1/8"),
            "--from: '10.0.0.1/8' has bits behind its prefix length: give 10.0.0.0/8, or",
        ),
        (
            (*VIP, "--from", "10.0.0.1/8", "--from", "10.0.0.1", "--from", "x"),
            "or the address alone; 'x' is no IP address",
        ),
        (
            (*VIP, *FROM, "--to", "31.31.31.0/24"),
            "--to: '31.31.31.0/24' is a prefix, and tunnels end at single addresses: name each",
        ),
        (
            (*VIP, *FROM, "--to", "fe80::1%eth0"),
            "--to: 'fe80::1%eth0' names an interface: leave out the part from the %",
        ),
        ((*VIP, "--from", "fe80::1%eth0/64"), "--from: 'fe80::1%eth0/64' names an interface"),
        (("--vip", "", *FROM), "--vip: '' is no IP address"),
        ((*VIP, *FROM, "--gue-port", "0"), "0 is not a UDP port: use 1..65535"),
        ((*VIP, *FROM, "--gue-port", "65536"), "65536 is not a UDP port: use 1..65535"),
        ((*VIP, *FROM, "--instance", "a/b"), "'a/b' is not a name: use up to 32 letters"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    code = call(monkeypatch, "run", *arguments)

    assert code == 2
    assert message in capsys.readouterr().err
