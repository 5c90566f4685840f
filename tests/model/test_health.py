"""How pools are checked and routes announced, as documents say it."""

import pytest

from headrace.model import (
    HealthCheck,
    OperatorState,
    Probe,
    ProbeKind,
    ProbePath,
    WhenUnknown,
    parse_document,
)

from .strategies import problems_of

ENDPOINTS = "endpoints: [{address: 56.0.0.1}, {address: 57.0.0.1}]"
SERVICE = f"vip: 20.20.20.1, protocol: tcp, port: 80, {ENDPOINTS}"


def test_a_check_becomes_a_probe() -> None:
    document = parse_document(
        "health: {web: {kind: https, path: direct, interval_s: 0.25, timeout_s: 0.1, rise: 1,"
        " fall: 4, port: 8443, host: example.org, resource: /alive, status: [204, '300-302'],"
        " body: ok, ca_file: /etc/ca.pem, full_size: true}}\n"
        f"pools: {{p: {{{ENDPOINTS}, health: web}}}}"
    )

    check = document.check_of(document.pools["p"])

    assert check is not None
    assert check.probe == Probe(
        kind=ProbeKind.HTTPS,
        path=ProbePath.DIRECT,
        interval_s=0.25,
        timeout_s=0.1,
        rise=1,
        fall=4,
        port=8443,
        host="example.org",
        resource="/alive",
        statuses=frozenset({204, 300, 301, 302}),
        body="ok",
        ca_file="/etc/ca.pem",
        full_size=True,
    )


def test_a_check_without_a_word_is_the_default_probe() -> None:
    assert HealthCheck().probe == Probe()


def test_udp_probes_send_text_or_bytes_in_hex() -> None:
    check = HealthCheck(kind=ProbeKind.UDP, request="hex:00ff", response="pong")

    assert (check.probe.request, check.probe.response) == (b"\x00\xff", b"pong")


@pytest.mark.parametrize(
    "health", ["", "health: none, ", "health: {kind: none}, ", "health: nobody, "]
)
def test_a_pool_may_be_unchecked(health: str) -> None:
    document = parse_document(
        f"health: {{nobody: {{kind: none}}}}\nservices: [{{{health}{SERVICE}}}]"
    )
    (service,) = document.services

    assert document.check_of(document.pool_of(service)) is None


def test_a_services_own_pool_has_the_services_policy() -> None:
    document = parse_document(
        f"services: [{{{SERVICE}, health: {{kind: ping}}, fail_open_above: 1, unknown: down}}]"
    )

    pool = document.pool_of(document.services[0])

    assert pool.health == HealthCheck(kind=ProbeKind.PING)
    assert (pool.fail_open_above, pool.unknown) == (1.0, WhenUnknown.DOWN)


def test_drains_and_routes_are_read() -> None:
    document = parse_document(
        "node: {drain: true, drain_wait_s: 3}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, announce: true, min_healthy: 050%,"
        " hold_down_s: 0.5, med: 10, communities: ['65535:00', '64512:1:2'], prepend: 2,"
        " local_pref: 200,"
        " endpoints: [{address: 56.0.0.1, state: draining, drain_timeout_s: 60}]}]"
    )
    (service,) = document.services
    assert service.endpoints

    assert (document.node.drain, document.node.drain_wait_s) == (True, 3.0)
    assert (service.min_healthy, service.hold_down_s) == ("50%", 0.5)
    assert service.communities == ("65535:0", "64512:1:2")
    assert (service.med, service.prepend, service.local_pref) == (10, 2, 200)
    assert service.endpoints[0].state is OperatorState.DRAINING
    assert service.endpoints[0].drain_timeout_s == 60


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ("web", "'web' is not under health; there: a, b"),
        ("3", '3 is neither the name of a check, nor "none", nor a mapping'),
    ],
)
def test_a_pool_names_a_check_that_is_there(health: str, problem: str) -> None:
    text = f"health: {{a: {{}}, b: {{}}}}\npools: {{p: {{{ENDPOINTS}, health: {health}}}}}"

    assert problems_of(text) == [f"pools.p.health: {problem}"]


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (
            "kind: x",
            (
                ".kind: 'x' is not served; use 'tcp', 'http', 'https', 'udp', 'ping', 'sctp' or"
                " 'none'"
            ),
        ),
        ("intervall_s: 1", ".intervall_s: no such key here; remove it or correct its spelling"),
        ("interval_s: 0.01", ".interval_s: 0.01 is not in 0.05..3600; use a number that is"),
        (
            "timeout_s: '1'",
            ".timeout_s: '1' is not a number in 0.05..3600; write it without quotes",
        ),
        ("fall: 0", ".fall: 0 is not a whole number in 1..100"),
        (
            "kind: http, resource: alive",
            (".resource: 'alive' is no path; begin it with / and leave out spaces"),
        ),
        ("kind: http, host: 'a b'", ".host: 'a b' is no host name; write it as example.org"),
        ("kind: https, ca_file: ca.pem", ".ca_file: 'ca.pem' is no file; write its full path"),
        (
            "kind: http, status: [99]",
            ('.status[0]: 99 is no HTTP status: use 100..599, or a range as "200-299"'),
        ),
        (
            "kind: udp, request: 'hex:0'",
            (".request: 'hex:0' is not hex: and pairs of digits, as hex:00ff"),
        ),
        (
            "kind: ping, port: 80",
            ".port: is for tcp, http, https, udp, sctp, not ping; leave it out",
        ),
        ("kind: tcp, request: x", ".request: is for udp, not tcp; leave it out"),
        (
            "kind: udp, full_size: true",
            ".full_size: is for tcp, http, https, ping, not udp; leave it out",
        ),
        (
            "kind: sctp, full_size: true",
            ".full_size: is for tcp, http, https, ping, not sctp; leave it out",
        ),
        ("kind: http, ca_file: /x", ".ca_file: is for https, not http; leave it out"),
    ],
)
def test_a_problem_of_a_check_is_told_where_it_stands(check: str, problem: str) -> None:
    assert problems_of(f"health: {{c: {{{check}}}}}") == [f"health.c{problem}"]
    assert problems_of(f"services: [{{{SERVICE}, health: {{{check}}}}}]") == [
        f"services[0].health{problem}"
    ]


def test_no_check_may_be_called_none() -> None:
    assert problems_of("health: {none: {}}") == [
        "health.none: none means no check at all; rename it"
    ]


def test_probes_need_a_port() -> None:
    pool = "pools: {p: {endpoints: [{address: 56.0.0.1}], health: {%s}}}\n"
    services = "services: [{vip: 20.20.20.1, protocol: tcp, port: any, pool: p}]"

    assert problems_of(pool % "kind: tcp" + services) == [
        (
            "pools.p.health: 20.20.20.1:any/tcp has no port of its own to send probes to; give the "
            "check a port"
        )
    ]
    assert parse_document(pool % "kind: tcp, port: 80" + services)
    assert parse_document(pool % "kind: ping" + services)


def test_only_services_that_speak_the_probes_protocol_need_a_port() -> None:
    pool = "pools: {p: {endpoints: [{address: 56.0.0.1}], health: {kind: udp}}}\n"
    services = (
        "services: [{vip: 20.20.20.1, protocol: tcp, port: any, pool: p},"
        " {vip: 20.20.20.1, protocol: udp, port: 53, pool: p}%s]"
    )

    assert parse_document(pool + services % "")
    assert problems_of(
        pool + services % ", {vip: 20.20.20.2, protocol: tcp, port: any, pool: p}"
    ) == [
        (
            "pools.p.health: 20.20.20.2:any/tcp has no port of its own to send probes to; give the "
            "check a port"
        )
    ]


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ("slow", "pools.p.endpoints[0].health: 'slow' is not under health; there: none"),
        (
            "{kind: ping, port: 80}",
            (
                "pools.p.endpoints[0].health.port: is for tcp, http, https, udp, sctp, not ping; "
                "leave it out"
            ),
        ),
    ],
)
def test_an_endpoints_own_check_must_be_one(health: str, problem: str) -> None:
    text = (
        f"pools: {{p: {{endpoints: [{{address: 56.0.0.1, health: {health}}}]}}}}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: p}]"
    )

    assert problems_of(text) == [problem]


def test_the_places_to_probe_have_a_limit() -> None:
    endpoints = ", ".join(f"{{address: 10.0.{n // 250}.{n % 250 + 1}}}" for n in range(257))
    services = ", ".join(
        f"{{vip: 20.20.20.1, protocol: tcp, port: {port}, pool: p}}" for port in range(1, 257)
    )
    text = (
        f"pools: {{p: {{endpoints: [{endpoints}], health: {{interval_s: 60%s}}}}}}\n"
        f"services: [{services}]"
    )

    assert problems_of(text % "") == [
        (
            "health: 65792 endpoints at VIPs and ports to probe are over the limit of 65536; give "
            "the checks a port, or the pools fewer services"
        )
    ]
    assert parse_document(text % ", port: 80")


def test_probes_a_second_have_a_limit() -> None:
    endpoints = ", ".join(f"{{address: 10.0.{n // 250}.{n % 250 + 1}}}" for n in range(501))
    text = (
        f"services: [{{vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{endpoints}],"
        " health: {interval_s: %s}}]"
    )

    assert problems_of(text % 0.05) == [
        "health: 10020 probes a second are over the limit of 10000; raise interval_s"
    ]
    assert parse_document(text % 0.06)


@pytest.mark.parametrize("key", ["health: none", "fail_open_above: 0.5", "unknown: keep"])
def test_how_endpoints_are_checked_is_said_by_their_pool(key: str) -> None:
    name = key.partition(":")[0]
    text = (
        f"pools: {{p: {{{ENDPOINTS}}}}}\n"
        f"services: [{{vip: 20.20.20.1, protocol: tcp, port: 80, pool: p, {key}}}]"
    )

    assert problems_of(text) == [
        f"services[0].{name}: the pool says it for all its services; set pools.p.{name}"
    ]


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        ("med: 1", "med: 2", "med: 2 for the route of VIP 20.20.20.1, but services[0] says 1"),
        ("med: 1", "", "med: nothing for the route of VIP 20.20.20.1, but services[0] says 1"),
        (
            "communities: ['1:2']",
            "communities: []",
            "communities: nothing for the route of VIP 20.20.20.1, but services[0] says 1:2",
        ),
    ],
)
def test_services_of_one_vip_agree_about_its_route(one: str, other: str, problem: str) -> None:
    text = (
        f"services: [{{announce: true, {one}, {SERVICE}}},"
        f" {{announce: true, {other + ', ' if other else ''}{SERVICE.replace('80', '81')}}}]"
    )

    assert problems_of(text) == [f"services[1].{problem}; say the same in both"]
    assert parse_document(text.replace("announce: true", "announce: false", 1))


def test_a_vip_needs_no_more_endpoints_than_there_are() -> None:
    text = f"services: [{{announce: true, min_healthy: %s, {SERVICE}}}]"

    assert problems_of(text % 3) == [
        "services[0].min_healthy: 3 is more than the 2 endpoints of its pool; use at most 2"
    ]
    assert parse_document(text % 2)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("min_healthy: 0", '0 is no number of endpoints: use 1 or more, or a part as "50%"'),
        (
            "min_healthy: 101%",
            "'101%' is no number of endpoints: use 1 or more, or a part as \"50%\"",
        ),
        ("hold_down_s: -1", "-1 is not in 0..86400; use a number that is"),
        ("prepend: 17", "17 is not a whole number in 0..16"),
        ("fail_open_above: 1.1", "1.1 is not in 0..1; use a number that is"),
    ],
)
def test_rules_of_announcing_have_ranges(key: str, problem: str) -> None:
    name = key.partition(":")[0]

    assert problems_of(f"services: [{{{SERVICE}, {key}}}]") == [f"services[0].{name}: {problem}"]


@pytest.mark.parametrize("community", ["1", "1:65536", "a:b", "1:2:3:4", "1:2:4294967296"])
def test_a_community_has_two_or_three_numbers(community: str) -> None:
    (problem,) = problems_of(f"services: [{{{SERVICE}, communities: ['{community}']}}]")

    assert problem == (
        f"services[0].communities[0]: '{community}' is not a community; "
        'write "65535:0", or a large one as "64512:1:2"'
    )
