"""What peers hear once their export policies have decided."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model import Announcement, Bgp, Peer, Role
from headrace.model.exporting import Exporting
from headrace.model.exports import Matching, RouteResult, SetMatch, Statement
from headrace.model.preference import GRACEFUL_SHUTDOWN, LIMIT_MED, leaving, worse
from tests.model.strategies import (
    bgps,
    bgps_with_policies,
    communities,
    metrics,
    prefixes,
    unicast,
)

announcements = st.builds(
    Announcement,
    prefixes | unicast.map(ip_network),
    st.none() | metrics,
    communities | st.just(("64512:7", "64512:1:2")),
    st.integers(0, 16),
    st.none() | metrics,
    st.none() | unicast,
)
VIP = Announcement(ip_network("20.20.20.1/32"), med=7, communities=("64512:7", "64512:1:2"))
R1 = {"address": "10.9.1.254", "as": 65001}


def section(*statements: dict[str, Any], **keys: Any) -> Bgp:
    """A section with one peer, which hears by these statements."""
    raw = {"as": 64512, "router_id": "10.9.1.1", "policies": {"p": list(statements)}}
    return Bgp.model_validate(raw | {"peers": [R1 | {"export": ["p"]}]} | keys)


def heard(bgp: Bgp, announcement: Announcement = VIP) -> Announcement | None:
    exporting = Exporting(bgp)
    return exporting.heard(announcement, exporting.way(bgp.peers[0]))


@given(bgps, announcements)
def test_a_peer_without_policies_hears_everything_as_it_is(
    bgp: Bgp, announcement: Announcement
) -> None:
    exporting = Exporting(bgp)

    assert exporting.ways() == {}
    assert all(exporting.way(peer) is None for peer in bgp.peers)
    assert exporting.heard(announcement, None) is announcement


@given(bgps_with_policies(), announcements)
def test_policies_decide_as_their_statements_read(bgp: Bgp, announcement: Announcement) -> None:
    exporting = Exporting(bgp)

    for peer in bgp.peers:
        assert exporting.heard(announcement, exporting.way(peer)) == read(bgp, peer, announcement)


@given(
    bgp=bgps_with_policies(),
    announcement=announcements,
    is_standby=st.booleans(),
    is_draining=st.booleans(),
)
def test_no_policy_undoes_a_role_or_a_drain(
    bgp: Bgp, announcement: Announcement, *, is_standby: bool, is_draining: bool
) -> None:
    """A peer hears of a node that is worse what it hears of one that is not, made worse."""
    policies = {
        name: tuple(without_communities(statement) for statement in policy)
        for name, policy in bgp.policies.items()
    }
    active = bgp.model_copy(update={"policies": policies, "role": Role.ACTIVE})
    node = active.model_copy(update={"role": Role.STANDBY if is_standby else Role.ACTIVE})
    # A MED at its limit cannot be told from one that was made worse up to there.
    usual = replace(
        announcement,
        med=None if announcement.med is None else min(announcement.med, LIMIT_MED - 200),
        communities=("64512:7",),
    )
    told = worse(usual) if is_standby else usual
    told = leaving(told) if is_draining else told

    expected, found = heard(active, usual), heard(node, told)

    if expected is None or found is None:
        assert expected is found
        return
    for is_worse in (is_standby, is_draining):
        expected = worse(expected) if is_worse else expected
    draining = {GRACEFUL_SHUTDOWN} if is_draining else set()
    assert replace(found, communities=()) == replace(expected, communities=())
    assert set(found.communities) == {*expected.communities} | draining


@pytest.mark.parametrize(
    ("meds", "active", "standby", "draining"),
    [
        pytest.param(["-500"], 0, 100, 200, id="lower than it is"),
        pytest.param(["-50"], 0, 100, 200, id="lower than it is, by less than a role"),
        pytest.param(["-5"], 2, 102, 202, id="lower"),
        pytest.param(["+50"], 57, 157, 257, id="higher"),
        pytest.param([30, "-50", "+1"], 1, 101, 201, id="one after the other"),
        pytest.param(
            ["+4294967295", "-500"], LIMIT_MED - 500, LIMIT_MED - 400, LIMIT_MED - 300, id="limits"
        ),
    ],
)
def test_a_med_is_changed_as_if_nothing_were_wrong_and_then_made_worse(
    meds: list[int | str], active: int, standby: int, draining: int
) -> None:
    statements = [{"actions": {"med": med}} for med in meds]
    nodes = [
        (section(*statements), VIP),
        (section(*statements, role="standby"), worse(VIP)),
        (section(*statements, role="standby"), leaving(worse(VIP))),
    ]

    found = [heard(bgp, announcement) for bgp, announcement in nodes]

    assert [each and each.med for each in found] == [active, standby, draining]


def without_communities(statement: Statement) -> Statement:
    """One that does not ask for communities: who asks may tell a drained node's routes."""
    conditions = statement.conditions.model_copy(update={"communities": ()})
    return statement.model_copy(update={"conditions": conditions})


def read(bgp: Bgp, peer: Peer, announcement: Announcement) -> Announcement | None:
    """The policies once more, read word by word."""
    times = (bgp.role == "standby") + (GRACEFUL_SHUTDOWN in announcement.communities)
    med = announcement.med
    if med is not None:
        announcement = replace(announcement, med=max(med - 100 * times, 0))
    result = peer.export_default
    for statement in (each for name in peer.export for each in bgp.policies[name]):
        if not asks_for(bgp, statement, peer, announcement):
            continue
        announcement = acted(statement, announcement, times)
        if statement.actions.med is not None:
            med = min((announcement.med or 0) + 100 * times, LIMIT_MED)
        if statement.actions.result is not None:
            result = statement.actions.result
            break
    return replace(announcement, med=med) if result is RouteResult.ACCEPT else None


def asks_for(bgp: Bgp, statement: Statement, peer: Peer, announcement: Announcement) -> bool:
    asked, prefix = statement.conditions, announcement.prefix
    inside = [
        prefix.prefixlen in entry.lengths and lies_in(prefix, entry.prefix)
        for entry in bgp.prefix_sets["s"]
    ]
    hearers = [lies_in(ip_network(peer.address), entry) for entry in bgp.peer_sets["s"]]
    carried = [
        any(alike(entry, each) for each in announcement.communities)
        for entry in bgp.community_sets["s"]
    ]
    families = {f"ipv{prefix.version}"} if asked.families else set()
    return (
        families <= {str(family) for family in asked.families}
        and matches(asked.prefixes, inside)
        and matches(asked.peers, hearers)
        and all(matches(each, carried) for each in asked.communities)
    )


def lies_in(prefix: Any, other: Any) -> bool:
    return prefix.version == other.version and bool(prefix.subnet_of(other))


def alike(pattern: str, community: str) -> bool:
    mine, theirs = pattern.split(":"), community.split(":")
    return len(mine) == len(theirs) and all(
        a in {"*", b} for a, b in zip(mine, theirs, strict=True)
    )


def matches(asked: SetMatch | None, found: list[bool]) -> bool:
    if asked is None:
        return True
    return {Matching.ANY: any(found), Matching.ALL: all(found), Matching.INVERT: not any(found)}[
        asked.match
    ]


def acted(statement: Statement, announcement: Announcement, times: int) -> Announcement:
    do = statement.actions
    med = announcement.med
    if isinstance(do.med, str):
        med = min(max((med or 0) + int(do.med), 0), LIMIT_MED)
    elif do.med is not None:
        med = do.med
    kept = [
        each
        for each in announcement.communities
        if each == GRACEFUL_SHUTDOWN or not any(alike(p, each) for p in do.communities.remove)
    ]
    for each in do.communities.add:
        if each not in kept:
            kept.append(each)
    hop = announcement.next_hop if do.next_hop is None else do.next_hop
    pref = announcement.local_pref if do.local_pref is None else do.local_pref - 50 * times
    return replace(
        announcement,
        med=med,
        communities=tuple(kept),
        prepend=announcement.prepend + do.prepend,
        local_pref=pref if pref is None else max(pref, 0),
        next_hop=None if hop == "self" else hop,  # type: ignore[arg-type]  # else an address
    )


@pytest.mark.parametrize(
    ("actions", "changed"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"med": 50}, {"med": 50}, id="a MED"),
        pytest.param({"med": "+50"}, {"med": 57}, id="a higher one"),
        pytest.param({"med": "-50"}, {"med": 0}, id="a lower one, at least 0"),
        pytest.param({"local_pref": 300}, {"local_pref": 300}, id="a local preference"),
        pytest.param({"prepend": 2}, {"prepend": 2}, id="a longer path"),
        pytest.param(
            {"next_hop": "10.9.1.7"}, {"next_hop": ip_address("10.9.1.7")}, id="a next hop"
        ),
        pytest.param(
            {"communities": {"add": ["64512:7", "65000:1"]}},
            {"communities": ("64512:7", "64512:1:2", "65000:1")},
            id="one more community",
        ),
        pytest.param(
            {"communities": {"remove": ["*:*"], "add": ["65000:1"]}},
            {"communities": ("64512:1:2", "65000:1")},
            id="another in place of all standard ones",
        ),
        pytest.param(
            {"communities": {"remove": ["64512:*:2"]}},
            {"communities": ("64512:7",)},
            id="large ones gone by a pattern",
        ),
    ],
)
def test_an_action_changes_what_it_names(actions: dict[str, Any], changed: dict[str, Any]) -> None:
    assert heard(section({"actions": actions})) == replace(VIP, **changed)


def test_the_first_result_ends_the_questions_and_the_default_answers_the_rest() -> None:
    sets = {"prefix_sets": {"s": [{"prefix": "20.20.20.0/24", "le": 32}]}}
    taken = {"conditions": {"prefixes": {"set": "s"}}, "actions": {"result": "accept"}}
    rest = {"actions": {"med": 1}}
    peers = [R1 | {"export": ["p"], "export_default": "reject"}]
    bgp = section(taken, rest, peers=peers, **sets)

    assert heard(bgp) == VIP
    assert heard(bgp, replace(VIP, prefix=ip_network("20.20.21.1/32"))) is None


def test_what_one_statement_sets_stays_when_a_later_one_sets_something_else() -> None:
    statements = [{"actions": {"med": 50}}, {"actions": {"prepend": 1}}]

    assert heard(section(*statements)) == replace(VIP, med=50, prepend=1)


@pytest.mark.parametrize(
    ("entries", "prefix", "is_held"),
    [
        pytest.param([{"prefix": "::/0", "ge": 0}], "20.20.20.1/32", False, id="all of IPv6"),
        pytest.param([{"prefix": "0.0.0.0/0", "ge": 0}], "2001:db8::/32", False, id="of IPv4"),
        pytest.param([{"prefix": "0.0.0.0/0", "ge": 0}], "20.20.20.1/32", True, id="its own"),
        pytest.param(
            [{"prefix": "20.20.20.0/24", "ge": 32}, {"prefix": "20.20.20.0/24"}],
            "20.20.20.1/32",
            True,
            id="the first of two for one prefix",
        ),
        pytest.param(
            [{"prefix": "20.20.20.0/24", "ge": 32}, {"prefix": "20.20.20.0/24"}],
            "20.20.20.0/24",
            True,
            id="the second of them",
        ),
        pytest.param(
            [{"prefix": "20.20.20.0/24", "ge": 32}, {"prefix": "20.20.20.0/24"}],
            "20.20.20.0/25",
            False,
            id="neither",
        ),
    ],
)
def test_a_set_holds_what_one_of_its_entries_does(
    entries: list[dict[str, Any]], prefix: str, *, is_held: bool
) -> None:
    statement = {"conditions": {"prefixes": {"set": "s"}}, "actions": {"result": "reject"}}
    bgp = section(statement, prefix_sets={"s": entries})

    assert (heard(bgp, replace(VIP, prefix=ip_network(prefix))) is None) == is_held


def test_a_role_is_kept_on_top_of_what_a_policy_sets() -> None:
    statement = {"actions": {"med": 50, "local_pref": 200, "communities": {"remove": ["*:*"]}}}
    standby = section(statement, role="standby")

    active = heard(section(statement))
    worst = heard(standby, leaving(worse(VIP)))

    assert active == replace(VIP, med=50, local_pref=200, communities=("64512:1:2",))
    assert worst == replace(
        VIP,
        med=250,
        local_pref=100,
        prepend=4,
        communities=(GRACEFUL_SHUTDOWN, "64512:1:2"),
    )


def test_peers_that_a_policy_tells_apart_hear_in_ways_of_their_own() -> None:
    statement = {"conditions": {"peers": {"set": "near"}}, "actions": {"result": "reject"}}
    addresses = ["10.9.1.254", "10.9.2.254", "10.8.1.254"]
    bgp = section(
        statement,
        peer_sets={"near": ["10.9.0.0/16"]},
        peers=[{"address": each, "as": 65001, "export": ["p"]} for each in addresses],
    )
    exporting = Exporting(bgp)

    ways = exporting.ways()

    assert [[str(peer) for peer in peers] for peers in ways.values()] == [
        addresses[:2],
        addresses[2:],
    ]
    assert [exporting.heard(VIP, way) for way in ways] == [None, VIP]
