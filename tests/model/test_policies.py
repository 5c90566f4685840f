"""Policies of services and pools: read as meant, and refused where they contradict."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from headrace.model import (
    Affinity,
    Document,
    Encapsulation,
    FlowTable,
    OuterSources,
    ServiceEntry,
    ServiceKey,
    Tuning,
    Unserved,
    dump_document,
    parse_document,
)
from tests.model.strategies import problems_of

ONE = "endpoints: [{address: 56.56.56.1}]"
BOTH = "endpoints: [{address: 56.56.56.1}, {address: '2001:db8::56'}]"


def service(more: str, *, vip: str = "20.20.20.1", protocol: str = "udp", port: str = "80") -> str:
    return f"{{vip: '{vip}', protocol: {protocol}, port: {port}, {more}}}"


def test_every_policy_reaches_the_data_planes_entry() -> None:
    document = parse_document(
        "services: ["
        + service(
            f"{ONE}, affinity: source-ip, flow_table: always, sources: [10.0.0.0/8, 192.0.2.1],"
            " quic: true, unserved: pass"
        )
        + "]"
    )

    assert document.services[0].entry == ServiceEntry(
        pool="20.20.20.1:80/udp",
        affinity=Affinity.SOURCE_IP,
        flow_table=FlowTable.ALWAYS,
        unserved=Unserved.PASS,
        sources=frozenset([ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32")]),
        quic=True,
    )


def test_a_services_own_pool_has_its_encapsulation_and_dscp() -> None:
    text = f"services: [{service(f'{BOTH}, encapsulation: gue, dscp: 46')}]"

    pool = parse_document(text).all_pools()["20.20.20.1:80/udp"]

    assert (pool.encapsulation, pool.fixed_dscp) == (Encapsulation.GUE, 46)


def test_what_holds_for_the_node_is_read() -> None:
    document = parse_document(
        "node: {source: 10.9.0.0/16, source6: 'fd09::/112', gue_port: 6081, answers_per_s: 7}\n"
        "cluster: {udp_idle_s: 60, transition_idle_s: 600}"
    )

    assert document.tuning == Tuning(answers_per_s=7, udp_idle_s=60, gue_port=6081)
    assert document.node.sources == OuterSources(
        IPv4Network("10.9.0.0/16"), IPv6Network("fd09::/112")
    )
    assert Document().tuning == Tuning()


@pytest.mark.parametrize(
    ("port", "ports", "label"),
    [
        ("80", [80], "[2001:db8::/64]:80/udp"),
        ("any", [0], "[2001:db8::/64]:any/udp"),
        ("80-82", [80, 81, 82], "[2001:db8::/64]:80-82/udp"),
        ("80-80", [80], "[2001:db8::/64]:80/udp"),
    ],
)
def test_a_service_has_a_key_for_each_port_and_one_label(
    port: str, ports: list[int], label: str
) -> None:
    text = f"services: [{service(ONE, vip='2001:db8::/64', port=port)}]"

    (found,) = parse_document(text).services

    assert [key.port for key in found.keys] == ports
    assert {key.vip for key in found.keys} == {ip_network("2001:db8::/64")}
    assert found.label == found.pool_name == label


@pytest.mark.parametrize(
    ("written", "vip"),
    [("20.20.20.1/32", "20.20.20.1"), ("2001:db8::1/128", "2001:db8::1")],
)
def test_a_prefix_of_one_address_is_that_address(written: str, vip: str) -> None:
    document = parse_document(f"services: [{service(ONE, vip=written)}]")

    assert document.services[0].vip == ip_address(vip)
    assert f'"{vip}"' in dump_document(document)


def test_vips_may_lie_in_each_other_and_any_port_beside_others() -> None:
    text = ", ".join(
        service(ONE, vip=vip, port=port)
        for vip, port in [
            ("20.20.20.0/24", "any"),
            ("20.20.20.0/24", "80-90"),
            ("20.20.20.0/25", "80-90"),
            ("20.20.20.1", "80"),
        ]
    )

    keys = [key for each in parse_document(f"services: [{text}]").services for key in each.keys]

    assert len(set(keys)) == 24
    assert ServiceKey(ip_network("20.20.20.0/24"), keys[0].protocol, 0) in keys


@pytest.mark.parametrize(
    ("services", "problems"),
    [
        pytest.param(
            [service(ONE, port="80-90"), service(ONE, port="85")],
            [
                (
                    "services[1]: 20.20.20.1:85/udp has ports of services[0], "
                    "20.20.20.1:80-90/udp; leave them to one of the two"
                )
            ],
            id="a port in a range",
        ),
        pytest.param(
            [service(ONE, port="90"), service(ONE, port="1-99"), service(ONE, port="95-96")],
            [
                (
                    "services[1]: 20.20.20.1:1-99/udp has ports of services[0], 20.20.20.1:90/udp; "
                    "leave them to one of the two"
                ),
                (
                    "services[2]: 20.20.20.1:95-96/udp has ports of services[1], "
                    "20.20.20.1:1-99/udp; leave them to one of the two"
                ),
            ],
            id="a wide range over two",
        ),
        pytest.param(
            [service(f"{ONE}, quic: true, flow_table: always", protocol="tcp")],
            [
                "services[0].quic: QUIC is over udp, not tcp; leave it out",
                (
                    "services[0].flow_table: always is for udp, not tcp; "
                    "use unstable, which keeps its flows"
                ),
            ],
            id="what is for UDP only",
        ),
        pytest.param(
            [service(f"{ONE}, sources: ['2001:db8::/32', 10.0.0.0/8, 10.0.0.0/8, 10.0.0.1/8]")],
            [
                (
                    "services[0].sources[3]: 10.0.0.1/8 has bits set behind the prefix; "
                    "write 10.0.0.0/8"
                ),
            ],
            id="a source with host bits",
        ),
        pytest.param(
            [service(f"{ONE}, sources: ['2001:db8::/32', 10.0.0.0/8, 10.0.0.0/8]")],
            [
                (
                    "services[0].sources[0]: 2001:db8::/32 is no client of VIP 20.20.20.1; "
                    "give IPv4 ones"
                ),
                (
                    "services[0].sources[2]: 10.0.0.0/8 is already services[0].sources[1]; "
                    "keep one of them"
                ),
            ],
            id="sources of the other family, and twice",
        ),
        pytest.param(
            [service(f"{ONE}, sources: [10.0.0.0/8], denied_sources: [10.0.0.0/8, '::/0']")],
            [
                (
                    "services[0].denied_sources[0]: 10.0.0.0/8 is already services[0].sources[0]; "
                    "keep one of them"
                ),
                (
                    "services[0].denied_sources[1]: ::/0 is no client of VIP 20.20.20.1; "
                    "give IPv4 ones"
                ),
            ],
            id="sources that are allowed and denied",
        ),
        pytest.param(
            [service(f"{ONE}, sources: []")],
            ["services[0].sources: is empty; give at least one entry or leave it out"],
            id="sources that are none",
        ),
        pytest.param(
            [service(f"{BOTH}, encapsulation: l2, dscp: 0")],
            [
                (
                    "services[0].endpoints[1].address: 2001:db8::56 is not of the family of "
                    "VIP 20.20.20.1, as l2 needs it; use ipip or gue"
                ),
                "services[0].dscp: l2 has no outer header to put it in; leave it out",
            ],
            id="l2 to the other family, and with a DSCP",
        ),
        pytest.param(
            [service(ONE), service(f"{ONE}, unserved: pass", port="81")],
            [
                (
                    "services[1].unserved: pass for VIP 20.20.20.1, but services[0] says drop; "
                    "say the same in all its services"
                )
            ],
            id="two minds about what nobody serves",
        ),
        pytest.param(
            [service("endpoints: [{address: 1.1.1.1, server_id: 7}]")],
            [
                (
                    "services[0].endpoints[0].server_id: none of its services routes by it; "
                    "set quic: true there, or leave it out"
                )
            ],
            id="a server id for nobody",
        ),
        pytest.param(
            [
                service(
                    "quic: true, endpoints: [{address: 1.1.1.1, server_id: 7},"
                    " {address: 1.1.1.2, server_id: 7}, {address: 1.1.1.3, server_id: 0}]"
                )
            ],
            [
                "services[0].endpoints[2].server_id: 0 is not a whole number in 1..4294967295",
                (
                    "services[0].endpoints[1].server_id: 7 is already that of "
                    "services[0].endpoints[0]; use another"
                ),
            ],
            id="server ids that are no ids",
        ),
        pytest.param(
            [service(f"{ONE}, encapsulation: sit, dscp: 64, affinity: rr, unserved: maybe")],
            [
                "services[0].encapsulation: 'sit' is not served; use 'ipip', 'gue' or 'l2'",
                'services[0].dscp: 64 is not a DSCP: use 0..63, or "copy" for the packet\'s own',
                (
                    "services[0].affinity: 'rr' is not served; "
                    "use 'flow', 'source-ip' or 'destination-port'"
                ),
                "services[0].unserved: 'maybe' is not served; use 'drop' or 'pass'",
            ],
            id="words that are none",
        ),
    ],
)
def test_policies_that_contradict_are_told(services: list[str], problems: list[str]) -> None:
    assert problems_of(f"services: [{', '.join(services)}]") == problems


@pytest.mark.parametrize(
    ("pool", "more", "problems"),
    [
        pytest.param(
            f"{BOTH}, encapsulation: l2",
            "",
            [
                (
                    "services[0].pool: 2001:db8::56 is not of the family of VIP 20.20.20.1, "
                    "as l2 needs it; use ipip or gue"
                )
            ],
            id="l2 to the other family",
        ),
        pytest.param(
            ONE,
            ", encapsulation: ipip, dscp: copy",
            [
                (
                    "services[0].encapsulation: the pool says it for all its services; "
                    "set pools.p.encapsulation"
                ),
                "services[0].dscp: the pool says it for all its services; set pools.p.dscp",
            ],
            id="what the pool says",
        ),
        pytest.param(
            f"{ONE}, encapsulation: l2, dscp: 10",
            ", flow_table: sometimes",
            [
                (
                    "services[0].flow_table: 'sometimes' is not served; "
                    "use 'always', 'unstable' or 'never'"
                ),
                "pools.p.dscp: l2 has no outer header to put it in; leave it out",
            ],
            id="a DSCP with l2, beside a service that cannot be read as a whole",
        ),
    ],
)
def test_a_pool_that_contradicts_its_service_is_told(
    pool: str, more: str, problems: list[str]
) -> None:
    text = f"services: [{service(f'pool: p{more}')}]\npools: {{p: {{{pool}}}}}"

    assert problems_of(text) == problems


def test_a_server_id_counts_where_one_of_the_services_routes_by_it() -> None:
    services = [service("pool: p"), service("pool: p, quic: true", port="443")]
    pools = "pools: {p: {endpoints: [{address: 1.1.1.1, server_id: 7}]}}"

    document = parse_document(f"services: [{', '.join(services)}]\n{pools}")

    assert document.pools["p"].endpoints[0].server_id == 7


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("source: 10.0.0.0/24", "source: 10.0.0.0/24 is not a /16, which leaves 16 bits to the"),
        ("source: 10.9.9.0/16", "source: 10.9.9.0/16 has bits set behind the prefix; write 10.9"),
        ("source: 'fd00::1'", "source: fd00::1 is not IPv4; write it under source6"),
        ("source6: 'fd00::/64'", "source6: fd00::/64 is not a /112, which leaves 16 bits to the"),
        ("source6: 10.0.0.0/16", "source6: 10.0.0.0/16 is not IPv6; write it under source"),
        ("answers_per_s: -1", "answers_per_s: -1 is not a whole number in 0..1000000; 0 answers"),
        ("gue_port: 0", "gue_port: 0 is not a whole number in 1..65535"),
    ],
)
def test_a_node_that_cannot_be_is_told(node: str, problem: str) -> None:
    (found,) = problems_of(f"node: {{{node}}}")

    assert found.startswith(f"node.{problem}")


def test_an_idle_time_of_nothing_is_refused() -> None:
    assert problems_of("cluster: {transition_idle_s: 0, udp_idle_s: 604801}") == [
        "cluster.transition_idle_s: 0 is not a whole number in 1..604800",
        "cluster.udp_idle_s: 604801 is not a whole number in 1..604800",
    ]
