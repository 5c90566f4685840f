"""LoxiLB's BGP peers, roles and BFD sessions, as its clients send them."""

from ipaddress import ip_address
from typing import Any

import pytest

from headrace.model import Bfd, BfdState, Role
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import KUBE, RULE, assert_success, changed

CONFIG = "/netlox/v1/config"

# As `loxicmd` and `kube-loxilb` were seen to send them.
GLOBAL = {"localAs": 64512, "routerId": "10.0.0.1", "setNextHopSelf": True, "listenPort": 179}
NEIGHBOUR = {
    "ipAddress": "11.11.11.254",
    "remoteAs": 65001,
    "remotePort": 0,
    "setMultiHop": False,
}
OTHER = NEIGHBOUR | {"ipAddress": "11.11.11.253", "setMultiHop": True, "remotePort": 1179}
BACKUP = {"instance": "llb-inst0", "state": "BACKUP", "vip": "20.20.20.1"}
BFD = {
    "instance": "default",
    "remoteIp": "11.11.11.254",
    "sourceIp": "",
    "port": 0,
    "interval": 200_000,
    "retryCount": 3,
    "state": "",
}


def post(api: Api, path: str, body: dict[str, Any]) -> None:
    assert_success(api.ask("POST", f"{CONFIG}/{path}", body))


def test_an_agents_greeting_sets_role_global_and_peers(api: Api, operator: FakeOperator) -> None:
    post(api, "cistate", BACKUP)
    before = api.ask("GET", f"{CONFIG}/cistate/all").json["Attr"]
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)
    post(api, "bgp/neigh", OTHER)
    bgp = operator.document.bgp
    assert bgp is not None

    assert before == [{"instance": "llb-inst0", "state": "BACKUP", "vip": "0.0.0.0", "sync": 0}]
    assert (bgp.as_number, str(bgp.router_id), bgp.role) == (64512, "10.0.0.1", Role.STANDBY)
    assert [(str(p.address), p.as_number, p.port, p.multihop) for p in bgp.peers] == [
        ("11.11.11.254", 65001, 179, None),
        ("11.11.11.253", 65001, 1179, 8),
    ]


def test_the_same_again_changes_nothing(api: Api, operator: FakeOperator) -> None:
    for _ in range(2):
        post(api, "bgp/global", GLOBAL)
        post(api, "bgp/neigh", NEIGHBOUR)
        post(api, "cistate", BACKUP | {"state": "MASTER"})

    assert operator.revision == 2


def test_a_peer_keeps_what_a_client_cannot_say(api: Api, operator: FakeOperator) -> None:
    peer = {"address": "11.11.11.254", "as": 65001, "hold_time_s": 30, "password": "secret"}
    section = {"as": 64512, "router_id": "10.0.0.1", "med": 5, "peers": [peer]}
    api.ask("PUT", "/v1/document", {"bgp": section})

    post(api, "bgp/neigh", NEIGHBOUR | {"remoteAs": 65002})
    post(api, "bgp/global", GLOBAL | {"localAs": 64513})

    bgp = operator.document.bgp
    assert bgp is not None
    assert (bgp.med, bgp.as_number, bgp.peers[0].as_number) == (5, 64513, 65002)
    assert (bgp.peers[0].hold_time_s, bgp.peers[0].password) == (30, "secret")


def test_a_peer_is_deleted_the_last_one_too(api: Api, operator: FakeOperator) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)

    wrong = api.ask("DELETE", f"{CONFIG}/bgp/neigh/11.11.11.254?remoteAs=1")
    right = api.ask("DELETE", f"{CONFIG}/bgp/neigh/11.11.11.254?remoteAs=65001")
    again = api.ask("DELETE", f"{CONFIG}/bgp/neigh/11.11.11.254?remoteAs=65001")

    assert (wrong.status, again.status) == (404, 404)
    assert_success(right)
    assert operator.document.bgp is not None
    assert operator.document.bgp.peers == ()


@pytest.mark.parametrize(
    ("state", "role"),
    [
        ("MASTER", Role.ACTIVE),
        ("NOT_DEFINED", Role.ACTIVE),
        ("BACKUP", Role.STANDBY),
        ("FAULT", Role.STANDBY),
        ("STOP", Role.STANDBY),
    ],
)
def test_a_state_is_a_role_and_reads_back_as_it_was_sent(
    api: Api, operator: FakeOperator, state: str, role: Role
) -> None:
    post(api, "bgp/global", GLOBAL)

    post(api, "cistate", BACKUP | {"state": state})

    assert operator.document.bgp is not None
    assert operator.document.bgp.role is role
    assert api.ask("GET", f"{CONFIG}/cistate/all").json["Attr"][0]["state"] == state


@pytest.mark.parametrize(("role", "listed"), [("active", "MASTER"), ("standby", "BACKUP")])
def test_a_role_that_the_document_was_given_since_is_listed_by_its_usual_name(
    api: Api, role: str, listed: str
) -> None:
    post(api, "cistate", BACKUP | {"state": "FAULT" if role == "active" else "NOT_DEFINED"})

    api.ask("PUT", "/v1/document", {"bgp": {"as": 64512, "router_id": "10.0.0.1", "role": role}})

    assert api.ask("GET", f"{CONFIG}/cistate/all").json["Attr"][0]["state"] == listed


def test_a_node_without_bgp_has_no_role(api: Api) -> None:
    assert api.ask("GET", f"{CONFIG}/cistate/all").json["Attr"][0]["state"] == "NOT_DEFINED"
    assert api.ask("POST", f"{CONFIG}/cistate", BACKUP | {"state": "x"}).status == 400


def test_bfd_watches_the_peer_and_no_other(api: Api, operator: FakeOperator) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)
    post(api, "bgp/neigh", OTHER)
    post(api, "bfd", BFD)
    post(api, "bfd", BFD | {"interval": 0, "retryCount": 5})
    bgp = operator.document.bgp
    assert bgp is not None

    assert bgp.bfd == Bfd(interval_ms=200, multiplier=5)
    assert [bgp.is_watched(peer) for peer in bgp.peers] == [True, False]
    assert api.ask("GET", f"{CONFIG}/bfd/all").json["Attr"] == [
        {
            "instance": "default",
            "remoteIp": "11.11.11.254",
            "sourceIP": "",
            "port": 3784,
            "interval": 200_000,
            "retryCount": 5,
            "state": "BFDUp",
        }
    ]


@pytest.mark.parametrize(
    ("state", "listed"),
    [
        (BfdState.ADMIN_DOWN, "BFDAdminDown"),
        (BfdState.DOWN, "BFDDown"),
        (BfdState.INIT, "BFDInit"),
        (BfdState.UP, "BFDUp"),
    ],
)
def test_the_state_of_bfd_is_not_that_of_its_bgp_session(
    api: Api, operator: FakeOperator, state: BfdState, listed: str
) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)
    post(api, "bfd", BFD)

    operator.bfd = state

    assert [each["state"] for each in api.ask("GET", f"{CONFIG}/bfd/all").json["Attr"]] == [listed]
    assert api.ask("GET", "/v1/status").json["peers"][0]["bfd"] == state
    assert api.ask("GET", "/v1/status").json["peers"][0]["state"] == "up"


def test_bfd_may_miss_its_peer_at_the_first_packet_that_is_lost(
    api: Api, operator: FakeOperator
) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)

    post(api, "bfd", BFD | {"retryCount": 1})

    assert operator.document.bgp is not None
    assert operator.document.bgp.bfd == Bfd(interval_ms=200, multiplier=1)


@pytest.mark.parametrize("source", ["", "0.0.0.0"])
def test_bfd_over_several_hops_goes_from_the_address_given(
    api: Api, operator: FakeOperator, source: str
) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", OTHER)
    body = BFD | {"remoteIp": "11.11.11.253"}

    without = api.ask("POST", f"{CONFIG}/bfd", body | {"sourceIp": source})
    post(api, "bfd", body | {"sourceIp": "10.0.0.1"})

    assert without.status == 400
    assert operator.document.bgp is not None
    assert operator.document.bgp.peers[0].local_address == ip_address("10.0.0.1")


@pytest.mark.parametrize("source", ["", "0.0.0.0"])
def test_the_address_that_bfd_goes_from_is_that_of_its_bgp_session(
    api: Api, operator: FakeOperator, source: str
) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)

    post(api, "bfd", BFD | {"sourceIp": "11.11.11.1"})
    post(api, "bfd", BFD | {"sourceIp": source})

    assert operator.document.bgp is not None
    assert operator.document.bgp.peers[0].local_address == ip_address("11.11.11.1")
    assert api.ask("GET", f"{CONFIG}/bfd/all").json["Attr"][0]["sourceIP"] == "11.11.11.1"


def test_bfd_ends_with_its_last_session(api: Api, operator: FakeOperator) -> None:
    post(api, "bgp/global", GLOBAL)
    post(api, "bgp/neigh", NEIGHBOUR)
    post(api, "bfd", BFD)

    assert_success(api.ask("DELETE", f"{CONFIG}/bfd/remoteIP/11.11.11.254?instance=default"))

    assert operator.document.bgp is not None
    assert operator.document.bgp.bfd is None
    assert api.ask("GET", f"{CONFIG}/bfd/all").json == {"Attr": []}
    assert api.ask("DELETE", f"{CONFIG}/bfd/remoteIP/11.11.11.254").status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("bgp/neigh", NEIGHBOUR | {"ipAddress": "x"}, 400, "'x' is not an IP address"),
        ("bgp/neigh", NEIGHBOUR | {"remoteAs": 0}, 400, "peers[0].as: 0 is not a whole number"),
        ("bgp/neigh", {"remoteAs": 1}, 422, "ipAddress in body is required"),
        ("bgp/global", GLOBAL | {"routerId": "::1"}, 400, "router_id: ::1 is not an IPv4"),
        ("bfd", BFD | {"remoteIp": "1.1.1.1"}, 404, "1.1.1.1 is no such BGP peer"),
    ],
)
def test_what_cannot_be_is_refused(
    api: Api, operator: FakeOperator, *, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    post(api, "bgp/global", GLOBAL)

    answer = api.ask("POST", f"{CONFIG}/{path}", body)

    assert answer.status == status
    assert said in answer.json["result"]
    assert operator.revision == 1


@pytest.mark.parametrize(("path", "body"), [("bgp/neigh", NEIGHBOUR), ("bfd", BFD)])
def test_peers_need_a_node_that_speaks_bgp(api: Api, path: str, body: dict[str, Any]) -> None:
    answer = api.ask("POST", f"{CONFIG}/{path}", body)

    assert answer.status == 403
    assert answer.json["result"].startswith("loxilb bgp mode is disabled")


def test_a_new_rule_is_announced_as_its_vips_other_services_are(
    api: Api, operator: FakeOperator
) -> None:
    service = {
        "vip": "20.20.20.1",
        "protocol": "tcp",
        "port": 80,
        "announce": True,
        "med": 7,
        "hold_down_s": 1.5,
        "endpoints": [{"address": "56.56.56.1"}],
    }
    api.ask("PUT", "/v1/document", {"services": [service]})

    assert_success(api.ask("POST", RULE, changed(KUBE, BGP=True)))

    assert (operator.document.services[1].med, operator.document.services[1].hold_down_s) == (
        7,
        1.5,
    )
