"""The document's bgp section: what it takes, and what it refuses by path, rule and remedy."""

from typing import Any

import pytest

from headrace.model import Bgp, ConfigError, Family, Role, SpeakerKind, build_document

R1 = {"address": "10.9.1.254", "as": 65001}
R6 = {"address": "fd09:1::254", "as": 65001}


def section(*peers: dict[str, Any], **keys: Any) -> Bgp:
    raw = {"as": 64512, "router_id": "10.9.1.1", "peers": list(peers) or [R1]} | keys
    bgp = build_document({"bgp": raw}).bgp
    assert bgp is not None
    return bgp


def refusals(*peers: dict[str, Any], **keys: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        section(*peers, **keys)
    return [str(problem) for problem in caught.value.problems]


def test_what_is_not_said_has_a_default() -> None:
    bgp = section()
    peer = bgp.peers[0]

    assert (bgp.speaker, bgp.role) == (SpeakerKind.EXABGP, Role.ACTIVE)
    assert (bgp.keep_announced_s, bgp.graceful_restart_s) == (60, None)
    assert bgp.withdraw_drain_s == 0
    assert bgp.given_next_hop is None
    assert (peer.hold_time_s, peer.gtsm, peer.carried) == (9, False, frozenset({Family.IPV4}))


@pytest.mark.parametrize(
    ("peer", "carried"),
    [
        pytest.param(R1, {Family.IPV4}, id="an IPv4 session's own"),
        pytest.param(R6, {Family.IPV6}, id="an IPv6 session's own"),
        pytest.param(R1 | {"families": ["ipv6"]}, {Family.IPV6}, id="the other alone"),
        pytest.param(R6 | {"families": ["ipv4", "ipv6"]}, set(Family), id="both"),
    ],
)
def test_a_session_carries_the_families_asked_for(
    peer: dict[str, Any], carried: set[Family]
) -> None:
    assert section(peer).peers[0].carried == carried


@pytest.mark.parametrize(
    ("bfd", "peer", "watched"),
    [
        pytest.param(None, {}, False, id="without bgp.bfd nobody"),
        pytest.param({}, {}, True, id="with it everybody"),
        pytest.param({}, {"bfd": False}, False, id="but for those that say no"),
    ],
)
def test_bfd_watches_the_peers_asked_for(
    bfd: dict[str, Any] | None, peer: dict[str, Any], *, watched: bool
) -> None:
    bgp = section(R1 | peer, **({} if bfd is None else {"bfd": bfd}))

    assert bgp.is_watched(bgp.peers[0]) is watched


@pytest.mark.parametrize(
    ("peer", "path", "rule"),
    [
        pytest.param({"address": "fe80::1"}, ".address", "is link-local", id="link-local"),
        pytest.param({"address": "224.0.0.1"}, ".address", "not the address of a", id="multicast"),
        pytest.param({"local_address": "fd09::1"}, ".local_address", "not of the family", id="own"),
        pytest.param({"password": ""}, ".password", "is not of 1 to 80 bytes", id="no password"),
        pytest.param({"password": "ä" * 41}, ".password", "is not of 1 to 80 bytes", id="too long"),
        pytest.param({"password": "a\nb"}, ".password", "has control characters", id="two lines"),
        pytest.param({"families": []}, ".families", "is empty", id="no family"),
        pytest.param(
            {"families": ["ipv4", "ipv4"]}, ".families", "names a family twice", id="twice"
        ),
        pytest.param(
            {"extended_next_hop": True}, ".extended_next_hop", "is not IPv6", id="extended on IPv4"
        ),
        pytest.param(
            {"address": "fd09::254", "extended_next_hop": True},
            ".extended_next_hop",
            "carries no IPv4",
            id="extended for no prefix",
        ),
        pytest.param(
            {"bfd": True, "multihop": 2}, ".bfd", "add local_address", id="BFD over several hops"
        ),
    ],
)
def test_a_peer_that_cannot_be_spoken_to_is_refused(
    peer: dict[str, Any], path: str, rule: str
) -> None:
    [problem] = refusals(R1 | peer, bfd={})

    assert problem.startswith(f"bgp.peers[0]{path}: ")
    assert rule in problem


@pytest.mark.parametrize(
    ("peers", "keys", "path", "rule"),
    [
        pytest.param([R1, R1], {}, "bgp.peers[1]: ", "keep one of them", id="a peer twice"),
        pytest.param(
            [R1 | {"bfd": True}],
            {},
            "bgp.peers[0].bfd: ",
            "bgp.bfd is absent",
            id="BFD without bgp.bfd",
        ),
        pytest.param(
            [R1 | {"password": 'a"b'}],
            {"speaker": "bird"},
            "bgp.peers[0].password: ",
            "which BIRD cannot read",
            id="a quote for BIRD",
        ),
        pytest.param([], {"speaker": "frr"}, "bgp.speaker: ", "'exabgp' or 'bird'", id="a speaker"),
        pytest.param([], {"next_hop": "::1"}, "bgp.next_hop: ", '"self"', id="a next hop"),
        pytest.param(
            [], {"next_hop": "fe80::1"}, "bgp.next_hop: ", "is link-local", id="a local next hop"
        ),
        pytest.param(
            [],
            {"aggregate": ["20.0.0.0/8", "20.0.0.0/8"]},
            "bgp.aggregate: ",
            "keep one of them",
            id="an aggregate twice",
        ),
        pytest.param(
            [], {"aggregate": ["0.0.0.0/0"]}, "bgp.aggregate: ", "whole internet", id="a default"
        ),
        pytest.param(
            [], {"aggregate_only": True}, "bgp.aggregate_only: ", "add some", id="no aggregate"
        ),
        pytest.param([], {"bfd": {"interval_ms": 1}}, "bgp.bfd.interval_ms: ", "10..60000", id="f"),
        pytest.param([], {"graceful_restart_s": 4096}, "bgp.graceful_", "1..4095", id="restart"),
        pytest.param([], {"communities": ["1"]}, "bgp.communities[0]: ", "is not a", id="c"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(
    peers: list[dict[str, Any]], keys: dict[str, Any], path: str, rule: str
) -> None:
    [problem] = refusals(*peers, **keys)

    assert problem.startswith(path)
    assert rule in problem


def test_a_quote_in_a_password_is_for_exabgp_alone() -> None:
    peer = R1 | {"password": 'a"b'}

    assert section(peer).peers[0].password == peer["password"]


def test_a_password_is_never_shown() -> None:
    [problem] = refusals(R1 | {"password": "secret\n"})

    assert "secret" not in problem


NAMED: dict[str, Any] = {"policies": {"p": [{}]}}


@pytest.mark.parametrize(
    ("keys", "peer", "refusal"),
    [
        pytest.param(
            {},
            {"export": ["q"]},
            "bgp.peers[0].export[0]: no policy is called q; add it to bgp.policies, "
            "or name another",
            id="a policy that is not there",
        ),
        pytest.param(
            NAMED,
            {"export": ["p", "p"]},
            "bgp.peers[0].export[1]: p is there twice; keep one of them",
            id="one twice",
        ),
        pytest.param(
            {"policies": {"p": [{}, {"conditions": {"prefixes": {"set": "web"}}}]}},
            {},
            "bgp.policies.p[1].conditions.prefixes: no set is called web; "
            "add it to bgp.prefix_sets, or name another",
            id="a set that is not there",
        ),
        pytest.param(
            {"prefix_sets": {"web": [{"prefix": "192.0.2.0/24", "ge": 33}]}},
            {},
            "bgp.prefix_sets.web[0]: 33..32 are no lengths inside 192.0.2.0/24; use some of 24..32",
            id="lengths that no prefix has",
        ),
        pytest.param(
            {"prefix_sets": {"web": [{"prefix": "192.0.2.0/24", "ge": 30, "le": 28}]}},
            {},
            "bgp.prefix_sets.web[0]: 30..28 are no lengths inside 192.0.2.0/24; use some of 24..32",
            id="lengths that end before they begin",
        ),
        pytest.param(
            {"prefix_sets": {"web": [{"prefix": "192.0.2.0/24", "ge": 23}]}},
            {},
            "bgp.prefix_sets.web[0]: 23..32 are no lengths inside 192.0.2.0/24; use some of 24..32",
            id="lengths of what is around",
        ),
        pytest.param(
            {"prefix_sets": {"web": [{"prefix": "192.0.2.0/24", "le": 33}]}},
            {},
            "bgp.prefix_sets.web[0]: 24..33 are no lengths inside 192.0.2.0/24; use some of 24..32",
            id="lengths beyond an address",
        ),
        pytest.param(
            {
                "prefix_sets": {"web": []},
                "policies": {"p": [{"conditions": {"prefixes": {"set": "web"}}}]},
            },
            {},
            "bgp.prefix_sets.web: is empty; give at least one entry or leave it out",
            id="a set that is not sound is there all the same",
        ),
        pytest.param(
            {"policies": {"p": [{"actions": {"med": "50"}}]}},
            {},
            "bgp.policies.p[0].actions.med: '50' is not a MED: use 0..4294967295, "
            'or a change as "+50" or "-50"',
            id="a MED as text",
        ),
        pytest.param(
            {"community_sets": {"c": ["64512:70000"]}},
            {},
            "bgp.community_sets.c[0]: '64512:70000' is not a community; "
            'write "65535:0", or a large one as "64512:1:2"',
            id="what is no community",
        ),
        pytest.param(
            {"policies": {"p": [{"actions": {"prepend": 9}}, {"actions": {"prepend": 9}}]}},
            {"export": ["p"]},
            "bgp.peers[0].export: prepend 18 is over the limit of 16; use less",
            id="too long a path",
        ),
        pytest.param(
            {
                "prefix_sets": {"s": [{"prefix": "192.0.2.0/24"}]},
                "policies": {"p": [{"conditions": {"prefixes": {"set": "s", "match": "all"}}}]},
            },
            {},
            "bgp.policies.p[0].conditions.prefixes: a route has one prefix, and one peer hears it; "
            "match any or invert",
            id="all of the prefixes",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    keys: dict[str, Any], peer: dict[str, Any], refusal: str
) -> None:
    assert refusals(R1 | peer, **keys) == [refusal]


def test_what_policies_add_together_is_limited() -> None:
    def adding(communities: int, prepend: int) -> dict[str, Any]:
        added = [f"64512:{number}" for number in range(communities)]
        actions = [
            {"prepend": prepend - 1, "communities": {"add": added[1:]}},
            {"prepend": 1, "communities": {"add": added[:1]}},
        ]
        return {"p": [{"actions": each} for each in actions]}

    peer = R1 | {"export": ["p"]}
    section(peer, policies=adding(32, 16))

    assert refusals(peer, policies=adding(33, 17)) == [
        "bgp.peers[0].export: 33 communities added are over the limit of 32; add fewer",
        "bgp.peers[0].export: prepend 17 is over the limit of 16; use less",
    ]


def test_a_policy_has_a_limited_number_of_statements() -> None:
    section(policies={"p": [{}] * 64})

    [problem] = refusals(policies={"p": [{}] * 65})
    assert problem.startswith("bgp.policies.p: ")


def test_every_name_that_is_not_there_is_told_by_its_own_path() -> None:
    conditions = {"peers": {"set": "a"}, "communities": [{"set": "b"}, {"set": "c"}]}
    missing = [
        ("peers", "a", "peer_sets"),
        ("communities[0]", "b", "community_sets"),
        ("communities[1]", "c", "community_sets"),
    ]

    assert refusals(R1, policies={"p": [{}, {"conditions": conditions}]}) == [
        f"bgp.policies.p[1].conditions.{key}: no set is called {name}; add it to bgp.{kind}, "
        f"or name another"
        for key, name, kind in missing
    ]


def test_everything_wrong_with_peers_is_told_at_once() -> None:
    both = R1 | {"export": ["p", "q", "p"], "bfd": True}

    assert refusals(both, R1, policies={"p": [{"actions": {"prepend": 16}}] * 2}) == [
        "bgp.peers[0].export[1]: no policy is called q; add it to bgp.policies, or name another",
        "bgp.peers[0].export[2]: p is there twice; keep one of them",
        "bgp.peers[0].export: prepend 32 is over the limit of 16; use less",
        "bgp.peers[0].bfd: is true, but bgp.bfd is absent; add it, as {}",
        "bgp.peers[1]: 10.9.1.254 is already bgp.peers[0]; keep one of them",
    ]


def test_peers_hear_in_a_limited_number_of_ways() -> None:
    policies: dict[str, Any] = {f"p{index}": [{}] for index in range(17)}
    peers = [
        {"address": f"10.9.{index}.254", "as": 65001, "export": [f"p{index}"]}
        for index in range(17)
    ]

    section(*peers[:16], policies=policies)

    assert refusals(*peers, policies=policies) == [
        "bgp.peers: 17 different exports are over the limit of 16; have some peers hear the same"
    ]
