"""LoxiLB's BGP policies, as `kube-loxilb` sends its custom resources."""

import json
from typing import Any

import pytest
from hypothesis import given

from headrace.api.loxilb_definitions import StatementPart, listed_statement, read_statement
from headrace.model import Bgp, Document, build_document, dump_document, parse_document
from headrace.model.exports import Statement
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import assert_success
from tests.model.strategies import bgps_with_policies

POLICY = "/netlox/v1/config/bgp/policy"
PEER = "11.11.11.254"
DOCUMENT: dict[str, Any] = {
    "bgp": {
        "as": 64512,
        "router_id": "10.0.0.1",
        "peers": [{"address": PEER, "as": 65001}, {"address": "11.11.11.253", "as": 65002}],
    }
}

PREFIXES = {
    "name": "PS1",
    "definedType": "Prefix",
    "prefixList": [
        {"ipPrefix": "20.20.20.0/24", "masklengthRange": "24..32"},
        {"ipPrefix": "20.20.30.1/32", "masklengthRange": ""},
    ],
}
# Go writes out whatever is empty in a struct; `largeCommunitySet` is kube-loxilb's own name.
STATEMENT: dict[str, Any] = {
    "name": "statement1",
    "conditions": {
        "matchPrefixSet": {"prefixSet": "PS1", "matchSetOption": "any"},
        "matchNeighborSet": {"neighborSet": "ns1", "matchSetOption": "invert"},
        "bgpConditions": {
            "afiSafiIn": ["ipv4-unicast"],
            "matchAsPathSet": {},
            "asPathLength": {},
            "matchCommunitySet": {"communitySet": "c1", "matchSetOptions": "all"},
            "matchExtCommunitySet": {},
            "largeCommunitySet": {"communitySet": "l1", "matchSetOptions": "any"},
            "routeType": "",
            "nextHopInList": None,
            "rpki": "",
        },
    },
    "actions": {
        "routeDisposition": "accept-route",
        "bgpActions": {
            "setMed": "-200",
            "setCommunity": {"options": "add", "setCommunityMethod": ["65100:20"]},
            "setExtCommunity": {"options": "", "setCommunityMethod": None},
            "setLargeCommunity": {"options": "replace", "setCommunityMethod": ["64512:1:2"]},
            "setNextHop": "self",
            "setLocalPerf": 150,
            "setAsPathPrepend": {"as": "64512", "repeatN": 2},
        },
    },
}
DEFINITION = {"name": "example-policy", "statements": [STATEMENT]}
APPLY = {
    "ipAddress": PEER,
    "policyType": "export",
    "policies": ["example-policy"],
    "routeAction": "reject",
}


@pytest.fixture
def filled(api: Api, operator: FakeOperator) -> Api:
    """A node with each kind of set, a policy, and a peer that hears by it."""
    operator.document = build_document(DOCUMENT)
    for path, body in (
        ("definedsets/prefix", PREFIXES),
        ("definedsets/neighbor", {"name": "ns1", "List": ["10.0.255.1/32"]}),
        ("definedsets/community", {"name": "c1", "List": ["65100:10", "^65100:[0-9]+$"]}),
        ("definedsets/largecommunity", {"name": "l1", "List": ["65100:100:100"]}),
        ("definitions", DEFINITION),
        ("apply", APPLY),
    ):
        assert_success(api.ask("POST", f"{POLICY}/{path}", body))
    return api


@pytest.mark.usefixtures("filled")
def test_policies_become_a_part_of_the_document(operator: FakeOperator) -> None:
    bgp = parse_document(dump_document(operator.document)).bgp
    assert bgp is not None

    assert bgp == operator.document.bgp
    assert bgp.model_dump(mode="json", by_alias=True, exclude_defaults=True) == {
        "as": 64512,
        "router_id": "10.0.0.1",
        "prefix_sets": {
            "PS1": [
                {"prefix": "20.20.20.0/24", "ge": 24, "le": 32},
                {"prefix": "20.20.30.1/32"},
            ]
        },
        "peer_sets": {"ns1": ["10.0.255.1/32"]},
        "community_sets": {"c1": ["65100:10", "65100:*"], "l1": ["65100:100:100"]},
        "policies": {
            "example-policy": [
                {
                    "name": "statement1",
                    "conditions": {
                        "prefixes": {"set": "PS1"},
                        "peers": {"set": "ns1", "match": "invert"},
                        "communities": [{"set": "c1", "match": "all"}, {"set": "l1"}],
                        "families": ["ipv4"],
                    },
                    "actions": {
                        "result": "accept",
                        "med": "-200",
                        "local_pref": 150,
                        "next_hop": "self",
                        "prepend": 2,
                        "communities": {"remove": ["*:*:*"], "add": ["65100:20", "64512:1:2"]},
                    },
                }
            ]
        },
        "peers": [
            {
                "address": PEER,
                "as": 65001,
                "export": ["example-policy"],
                "export_default": "reject",
            },
            {"address": "11.11.11.253", "as": 65002},
        ],
    }


def test_sets_are_listed_by_kind_and_name(filled: Api) -> None:
    def listed(path: str) -> Any:
        return filled.ask("GET", f"{POLICY}/definedsets/{path}").json["definedsetsAttr"]

    assert listed("prefix/all") == [
        {
            "name": "PS1",
            "prefixList": [
                {"ipPrefix": "20.20.20.0/24", "masklengthRange": "24..32"},
                {"ipPrefix": "20.20.30.1/32", "masklengthRange": "32..32"},
            ],
        }
    ]
    assert listed("neighbor/ns1") == [{"name": "ns1", "list": ["10.0.255.1/32"]}]
    assert listed("community/all") == [{"name": "c1", "list": ["65100:10", "65100:*"]}]
    assert listed("largecommunity/all") == [{"name": "l1", "list": ["65100:100:100"]}]
    assert listed("aspath/all") == listed("prefix/none") == []


def test_a_listed_definition_can_be_posted_again(filled: Api, operator: FakeOperator) -> None:
    before = operator.document

    (listed,) = filled.ask("GET", f"{POLICY}/definitions/all").json["bgpPolicyAttr"]
    assert_success(filled.ask("POST", f"{POLICY}/definitions", listed))

    assert listed["name"] == "example-policy"
    assert listed["statements"][0]["actions"]["bgpActions"]["setLocalPerf"] == 150
    assert operator.document == before


def native(*statements: dict[str, Any]) -> Document:
    """A document whose one policy is these statements."""
    sets = {
        "prefix_sets": {"ps": [{"prefix": "20.20.20.0/24", "le": 32}]},
        "peer_sets": {"ns": ["10.0.0.0/8"]},
        "community_sets": {"c1": ["1:*"], "c2": ["1:2", "1:2:3"], "l1": ["1:2:*"]},
        "policies": {"p": list(statements)},
    }
    return build_document({"bgp": DOCUMENT["bgp"] | sets})


def with_communities(**actions: list[str]) -> dict[str, Any]:
    return {"actions": {"communities": actions}}


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"name": "n", "actions": {"result": "reject"}}, id="a name and a result"),
        pytest.param({"actions": {"med": 0, "local_pref": 0}}, id="values of 0"),
        pytest.param({"actions": {"med": "+5", "next_hop": "self", "prepend": 3}}, id="changes"),
        pytest.param(with_communities(remove=["*:*"]), id="all standard ones gone"),
        pytest.param(with_communities(remove=["*:*:*"]), id="all large ones gone"),
        pytest.param(with_communities(remove=["*:*"], add=["1:2"]), id="replaced"),
        pytest.param(with_communities(remove=["1:*"]), id="some gone"),
        pytest.param(with_communities(add=["1:2", "1:2:3"]), id="of both kinds more"),
        pytest.param(with_communities(remove=["1:*"], add=["1:2"]), id="some gone, one more"),
        pytest.param(with_communities(remove=["1:2", "*:*"]), id="gone twice"),
        pytest.param(with_communities(remove=["1:2:*", "1:*"]), id="large ones first"),
        pytest.param(
            {
                "conditions": {
                    "prefixes": {"set": "ps", "match": "invert"},
                    "peers": {"set": "ns"},
                    "communities": [{"set": "c2", "match": "all"}, {"set": "l1"}],
                    "families": ["ipv6", "ipv4"],
                }
            },
            id="conditions",
        ),
        pytest.param(
            {"conditions": {"communities": [{"set": "c1"}, {"set": "c2", "match": "invert"}]}},
            id="two sets of one kind",
        ),
    ],
)
def test_any_policy_is_the_same_when_its_listing_is_posted(
    api: Api, operator: FakeOperator, statement: dict[str, Any]
) -> None:
    operator.document = before = native(statement, {"actions": {"result": "accept"}})
    (listed,) = api.ask("GET", f"{POLICY}/definitions/all").json["bgpPolicyAttr"]
    operator.document = native()

    assert_success(api.ask("POST", f"{POLICY}/definitions", listed))

    assert operator.document == before


@given(bgps_with_policies())
def test_every_statement_is_read_as_it_is_listed(bgp: Bgp) -> None:
    for statement in (each for policy in bgp.policies.values() for each in policy):
        listed = json.loads(json.dumps(listed_statement(bgp, statement)))

        raw = read_statement(bgp, StatementPart.model_validate(listed))

        assert Statement.model_validate(raw) == statement


def test_a_listing_says_in_our_words_only_what_loxilb_has_none_for(
    api: Api, operator: FakeOperator
) -> None:
    operator.document = native(
        with_communities(remove=["*:*"]), with_communities(remove=["1:*"], add=["1:2"])
    )

    (listed,) = api.ask("GET", f"{POLICY}/definitions/all").json["bgpPolicyAttr"]

    first, second = listed["statements"]
    assert first["actions"]["bgpActions"] == {
        "setCommunity": {"options": "replace", "setCommunityMethod": []}
    }
    assert "headrace" not in first
    assert second["headrace"] == with_communities(remove=["1:*"], add=["1:2"])


def test_a_listing_of_which_one_half_was_changed_is_refused(
    api: Api, operator: FakeOperator
) -> None:
    operator.document = before = native(with_communities(remove=["1:*"], add=["1:2"]))
    (listed,) = api.ask("GET", f"{POLICY}/definitions/all").json["bgpPolicyAttr"]
    listed["statements"][0]["actions"]["routeDisposition"] = "reject-route"

    answer = api.ask("POST", f"{POLICY}/definitions", listed)

    assert answer.status == 400
    assert "leave headrace out" in answer.json["result"]
    assert operator.document == before


def test_to_replace_by_nothing_is_to_remove_all_of_a_kind(api: Api, operator: FakeOperator) -> None:
    operator.document = native()
    nothing: dict[str, Any] = {"options": "replace", "setCommunityMethod": []}

    assert_success(api.ask("POST", f"{POLICY}/definitions", with_actions(setCommunity=nothing)))

    assert operator.document == native(with_communities(remove=["*:*"]))


@pytest.mark.parametrize("kind", ["aspath", "extcommunity", "prefix", "community"])
def test_a_set_that_is_not_there_cannot_go_whatever_its_kind(filled: Api, kind: str) -> None:
    answer = filled.ask("DELETE", f"{POLICY}/definedsets/{kind}/x", {})

    assert answer.status == 404
    assert f"no such defined set x of type {kind}" in answer.json["result"]


def test_a_set_that_is_posted_again_is_replaced(filled: Api) -> None:
    shorter = PREFIXES | {"prefixList": [{"ipPrefix": "2001:db8::/64"}]}

    assert_success(filled.ask("POST", f"{POLICY}/definedsets/Prefix", shorter))

    (found,) = filled.ask("GET", f"{POLICY}/definedsets/prefix/PS1").json["definedsetsAttr"]
    assert found["prefixList"] == [{"ipPrefix": "2001:db8::/64", "masklengthRange": "64..64"}]


def test_what_is_referred_to_stays_until_it_is_not(filled: Api, operator: FakeOperator) -> None:
    used_set = filled.ask("DELETE", f"{POLICY}/definedsets/prefix/ps1", {})
    used_policy = filled.ask("DELETE", f"{POLICY}/definitions/example-policy", {})
    # `kube-loxilb` leaves the default out here, and asks in lower case.
    released = {key: value for key, value in APPLY.items() if key != "routeAction"}
    assert_success(filled.ask("DELETE", f"{POLICY}/apply", released))
    assert_success(filled.ask("DELETE", f"{POLICY}/apply", released))
    assert_success(filled.ask("DELETE", f"{POLICY}/definitions/example-policy", {}))
    for path in ("prefix/ps1", "neighbor/ns1", "community/c1", "largecommunity/l1"):
        assert_success(filled.ask("DELETE", f"{POLICY}/definedsets/{path}", {}))
    gone = filled.ask("DELETE", f"{POLICY}/definedsets/prefix/ps1", {})

    assert (used_set.status, used_policy.status, gone.status) == (409, 409, 404)
    assert "policy example-policy" in used_set.json["result"]
    assert PEER in used_policy.json["result"]
    assert operator.document == build_document(DOCUMENT)


def test_policies_are_added_to_those_of_a_peer(filled: Api, operator: FakeOperator) -> None:
    assert_success(filled.ask("POST", f"{POLICY}/definitions", DEFINITION | {"name": "second"}))
    wish = APPLY | {"policies": ["example-policy", "second"], "routeAction": "accept"}

    assert_success(filled.ask("POST", f"{POLICY}/apply", wish))
    assert operator.document.bgp is not None
    both = operator.document.bgp.peers[0]
    assert_success(filled.ask("DELETE", f"{POLICY}/apply", APPLY))
    one = operator.document.bgp.peers[0]

    assert (both.export, both.export_default) == (("example-policy", "second"), "accept")
    assert (one.export, one.export_default) == (("second",), "accept")


def with_conditions(**conditions: Any) -> dict[str, Any]:
    return {"name": "p", "statements": [{"conditions": {"bgpConditions": conditions}}]}


def with_actions(**actions: Any) -> dict[str, Any]:
    return {"name": "p", "statements": [{"actions": {"bgpActions": actions}}]}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "definedsets/aspath",
            {"name": "a", "List": ["^65100"]},
            "; use sets of prefixes, neighbors",
        ),
        ("definedsets/extcommunity", {"name": "e", "List": ["RT:1:2"]}, "use standard or large"),
        ("definedsets/colour", {"name": "e"}, "'colour' is no type of sets; use one of prefix"),
        ("definedsets/community", {"name": "c", "List": ["6[0-9]+:1"]}, "is no community"),
        ("definedsets/community", {"name": "l1", "List": ["1:2"]}, "is a set of largecommunity"),
        ("definedsets/community", {"name": "c", "List": []}, "is empty; give at least one"),
        (
            "definedsets/prefix",
            {"name": "x", "prefixList": [{"ipPrefix": "10.0.0.0/8", "masklengthRange": "8"}]},
            "masklengthRange '8' is no range; write it as 24..32",
        ),
        (
            "definedsets/prefix",
            {"name": "x", "prefixList": [{"ipPrefix": "10.0.0.0/8", "masklengthRange": "4..9"}]},
            "4..9 are no lengths inside 10.0.0.0/8; use some of 8..32",
        ),
        ("definitions", with_conditions(rpki="valid"), "rpki valid is not served"),
        ("definitions", with_conditions(routeType="external"), "routeType external is not served"),
        ("definitions", with_conditions(matchAsPathSet={"asPathSet": "a"}), "leave it out"),
        ("definitions", with_conditions(asPathLength={"operator": "eq"}), "asPathLength eq is not"),
        ("definitions", with_conditions(nextHopInList=["1.1.1.1"]), "nextHopInList 1.1.1.1"),
        ("definitions", with_conditions(afiSafiIn=["l2vpn-evpn"]), "use ipv4-unicast or ipv6"),
        (
            "definitions",
            with_conditions(matchCommunitySet={"communitySet": "none"}),
            "no set is called none; add it to bgp.community_sets",
        ),
        ("definitions", with_actions(setAsPathPrepend={"as": "65005"}), "another AS than 64512"),
        ("definitions", with_actions(setMed="much"), "'much' is not a MED"),
        (
            "definitions",
            with_actions(setExtCommunity={"setCommunityMethod": ["RT:1:2"]}),
            "extended communities are not served",
        ),
        ("apply", APPLY | {"policyType": "import"}, "policyType import is not served"),
        ("apply", APPLY | {"policies": ["none"]}, "no policy is called none; add it to"),
        ("apply", APPLY | {"ipAddress": "global"}, "apply the policies to each neighbor"),
        ("apply", APPLY | {"routeAction": "drop"}, "use accept or reject"),
    ],
)
def test_what_an_announcer_cannot_do_is_refused_by_its_name(
    filled: Api, operator: FakeOperator, path: str, body: dict[str, Any], said: str
) -> None:
    before = operator.document

    answer = filled.ask("POST", f"{POLICY}/{path}", body)

    assert answer.status == 400
    assert said in answer.json["result"]
    assert operator.document == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("apply", APPLY | {"ipAddress": "11.11.11.1"}, 404),
        ("apply", {"ipAddress": PEER}, 422),
        ("definedsets/prefix", {"prefixList": []}, 422),
    ],
)
def test_what_is_missing_is_told_as_loxilb_does(
    filled: Api, path: str, body: dict[str, Any], status: int
) -> None:
    assert filled.ask("POST", f"{POLICY}/{path}", body).status == status


def test_an_import_that_changes_nothing_is_taken(filled: Api, operator: FakeOperator) -> None:
    before = operator.document
    body = APPLY | {"policyType": "import", "policies": None, "routeAction": "accept"}

    assert_success(filled.ask("POST", f"{POLICY}/apply", body))

    assert operator.document == before


def test_policies_need_bgp_first(api: Api) -> None:
    answer = api.ask("POST", f"{POLICY}/definedsets/prefix", PREFIXES)

    assert answer.status == 403
    assert "post config/bgp/global first" in answer.json["result"]
