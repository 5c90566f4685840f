"""Every message that a wrong document can get: the thing, the rule, the remedy."""

import pytest

from tests.model.strategies import SERVICE, problems_of


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("[]", ["[] is not a document; it is a mapping of sections"], id="a list"),
        pytest.param(
            "a: b: c",
            [
                (
                    "neither YAML nor JSON: line 1, column 5: "
                    "mapping values are not allowed in this context"
                )
            ],
            id="not YAML",
        ),
        pytest.param(
            "node: {}\nnode: {}",
            [
                (
                    "neither YAML nor JSON: line 2, column 1: "
                    "the key 'node' is given twice; keep one of them"
                )
            ],
            id="a key twice in YAML",
        ),
        pytest.param(
            '{"node": {}, "node": {}}',
            ["the key 'node' is given twice; keep one of them"],
            id="a key twice in JSON",
        ),
        pytest.param(
            "? [1]\n: 2",
            ["neither YAML nor JSON: line 1, column 3: [1] cannot be a key; use text"],
            id="a list as key",
        ),
        pytest.param(
            '{"cluster": {"hash_seed": NaN}}',
            ["NaN is not a number that a document may hold; use another"],
            id="NaN",
        ),
        pytest.param(
            "node: 2001-99-99",
            ["has a value that YAML cannot read: month must be in 1..12"],
            id="an impossible date",
        ),
        pytest.param(
            "[" * 100_000,
            ["neither YAML nor JSON: line 1, column 1001: exceeded maximum nesting depth"],
            id="nested without end",
        ),
        pytest.param(
            "services: &again [*again]",
            ["services[0]: [[[...]]] is not a mapping of keys to values; write it as one"],
            id="a list that contains itself",
        ),
        pytest.param(
            "servcies: []",
            ["servcies: no such key here; remove it or correct its spelling"],
            id="a misspelt section",
        ),
        pytest.param(
            "services: [{}]",
            [
                "services[0].vip: is required; add it",
                "services[0].protocol: is required; add it",
                "services[0].port: is required; add it",
                "services[0]: give either pool (a name) or endpoints (a list), not both or neither",
            ],
            id="an empty service",
        ),
        pytest.param(
            "services: {vip: 20.20.20.1}",
            ["services: {'vip': '20.20.20.1'} is not a list; write its entries one by one"],
            id="a mapping where a list belongs",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '20.20.20.1x')}]",
            ["services[0].vip: '20.20.20.1x' is not an IP address; write one as 192.0.2.1"],
            id="a VIP that is no address",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '335544321')}]",
            ["services[0].vip: 335544321 is not an IP address; write one as 192.0.2.1"],
            id="a VIP as a number",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '224.0.0.1')}]",
            ["services[0].vip: 224.0.0.1 is not a unicast address that routers forward; use one"],
            id="a multicast VIP",
        ),
        pytest.param(
            "services: [" + SERVICE.replace("20.20.20.1", "'::ffff:20.20.20.1'") + "]",
            ["services[0].vip: ::ffff:20.20.20.1 is an IPv4 address; write 20.20.20.1"],
            id="an IPv4 VIP in IPv6 form",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '20.20.20.1/24')}]",
            ["services[0].vip: 20.20.20.1/24 has bits set behind the prefix; write 20.20.20.0/24"],
            id="a VIP prefix with host bits",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '20.20.20.0/33')}]",
            ["services[0].vip: '20.20.20.0/33' is not a prefix; write one as 192.0.2.0/24"],
            id="a VIP prefix that is none",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('20.20.20.1', '224.0.0.0/3')}]",
            [
                (
                    "services[0].vip: 224.0.0.0/3 holds 224.0.0.0/4, which routers do not forward; "
                    "use another"
                )
            ],
            id="a VIP prefix with multicast in it",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('tcp', 'icmp')}]",
            ["services[0].protocol: 'icmp' is not served; use 'tcp', 'udp' or 'sctp'"],
            id="a protocol that is not served",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('8080', '65536')}]",
            [
                (
                    "services[0].port: 65536 is not a port: use 1..65535, "
                    'a range as 8000-8010, or "any" for all'
                )
            ],
            id="a port too high",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('8080', 'true')}]",
            [
                (
                    "services[0].port: True is not a port: use 1..65535, "
                    'a range as 8000-8010, or "any" for all'
                )
            ],
            id="a port that is a truth value",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('8080', '90-80')}]",
            [("services[0].port: 90-80 is not a range of ports in 1..65535, the lower one first")],
            id="a range backward",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('{vip', '{announce: sure, vip')}]",
            ["services[0].announce: 'sure' is neither true nor false; write one of them"],
            id="a flag that is neither",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('{vip', '{name: 7, vip')}]",
            ["services[0].name: 7 is not text; put it in quotes"],
            id="a name that YAML takes for a number",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('{vip', '{name: a b, vip')}]",
            [
                (
                    "services[0].name: 'a b' has characters that names must not have; "
                    "use letters, digits and _ . : / [ ] -"
                )
            ],
            id="a name with a space",
        ),
        pytest.param(
            "pools: {'': {endpoints: [{address: 1.1.1.1}]}}",
            ["pools['']: is empty; give at least one character"],
            id="a pool without a name",
        ),
        pytest.param(
            f"pools: {{{'p' * 64}: {{endpoints: [{{address: 1.1.1.1}}]}}}}",
            [
                (
                    f"pools.{'p' * 64}: 'ppppppppppppppppppppp...pppppppppppppppppppppp' "
                    "is over the limit of 63 characters; shorten it"
                )
            ],
            id="a pool's name too long",
        ),
        pytest.param(
            f"services: [{SERVICE.replace('{vip', '{pool: p, vip')}]",
            ["services[0]: give either pool (a name) or endpoints (a list), not both or neither"],
            id="a pool and endpoints",
        ),
        pytest.param(
            "services: [{vip: 20.20.20.1, protocol: tcp, port: any, pool: q}]\n"
            "pools: {p: {endpoints: [{address: 1.1.1.1}]}}",
            ["services[0].pool: 'q' is not under pools; there: p"],
            id="a pool that is not there",
        ),
        pytest.param(
            f"services: [{SERVICE}]\n"
            "pools: {'20.20.20.1:8080/tcp': {endpoints: [{address: 1.1.1.1}]}}",
            [
                (
                    "services[0]: its own pool would be called 20.20.20.1:8080/tcp, "
                    "as one under pools; rename that"
                )
            ],
            id="a pool called as a service",
        ),
        pytest.param(
            f"services: [{SERVICE}, {SERVICE}]",
            ["services[1]: 20.20.20.1:8080/tcp is already services[0]; keep one of them"],
            id="a service twice",
        ),
        pytest.param(
            "pools: {p: {endpoints: []}}",
            ["pools.p.endpoints: is empty; give at least one entry or leave it out"],
            id="a pool without endpoints",
        ),
        pytest.param(
            "pools: {p: {endpoints: [{address: 1.1.1.1}, {address: 1.1.1.1, weight: 2}]}}",
            [
                (
                    "pools.p.endpoints[1].address: 1.1.1.1 is already pools.p.endpoints[0]; "
                    "keep one of them"
                )
            ],
            id="an endpoint twice",
        ),
        pytest.param(
            "pools: {p: {endpoints: [{address: '::1'}, {address: 'fe80::1'}]}}",
            [
                (
                    "pools.p.endpoints[0].address: ::1 is not the address of a server; "
                    "use the endpoint's own"
                ),
                (
                    "pools.p.endpoints[1].address: fe80::1 is link-local, "
                    "of no interface in particular; use another"
                ),
            ],
            id="endpoints that cannot be",
        ),
        pytest.param(
            "pools: {p: {endpoints: [{address: 1.1.1.1, weight: 257, state: up}]}}",
            [
                "pools.p.endpoints[0].weight: 257 is not a whole number in 0..256; 0 drains",
                (
                    "pools.p.endpoints[0].state: 'up' is not served; "
                    "use 'active', 'draining' or 'disabled'"
                ),
            ],
            id="a weight and a state that are not",
        ),
        pytest.param(
            "pools: {p: {slots: 65536, endpoints: [{address: 1.1.1.1}]}}",
            ["pools.p.slots: 65536 is not a prime; use 65537"],
            id="slots that are no prime",
        ),
        pytest.param(
            "pools: {p: {slots: 250, endpoints: [{address: 1.1.1.1}]}}",
            ["pools.p.slots: 250 is not a whole number in 251..1048573"],
            id="too few slots",
        ),
        pytest.param(
            "bgp: {as: '64512', router_id: '::1', peers: [{address: 10.0.0.1, as: 0}]}",
            [
                "bgp.as: '64512' is not a whole number in 1..4294967295; write it without quotes",
                "bgp.router_id: ::1 is not an IPv4 address; a router id always is, as 192.0.2.1",
                "bgp.peers[0].as: 0 is not a whole number in 1..4294967295",
            ],
            id="a speaker that cannot be",
        ),
        pytest.param(
            "bgp: {as: 1, router_id: 1.1.1.1, peers: [{address: 10.0.0.1, as: 1, password: 1234}]}",
            ["bgp.peers[0].password: this is not text; put it in quotes"],
            id="a password is never shown",
        ),
        pytest.param(
            "node: {tunnels: [{endpoint: 56.56.56.1, local: 31.31.31.253, remote: '2001:db8::1'},"
            " {endpoint: 56.56.56.1, local: 31.31.31.253, remote: 31.31.31.1}]}",
            [
                "node.tunnels[0]: local and remote are of different families; use one family",
                "node.tunnels[1]: 56.56.56.1 already has node.tunnels[0]; keep one of them",
            ],
            id="tunnels that contradict",
        ),
        pytest.param(
            f"cluster: {{hash_seed: 0x{'f' * 10_000}}}",
            ["cluster.hash_seed: a huge number is not a whole number in 0..18446744073709551615"],
            id="a seed of thousands of digits",
        ),
    ],
)
def test_each_mistake_is_told_with_its_path_the_rule_and_the_remedy(
    text: str, problems: list[str]
) -> None:
    found = problems_of(text)

    assert found == problems
