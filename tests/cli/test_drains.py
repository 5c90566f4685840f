"""Draining, checks, peers and roles on the command line."""

import json
from typing import Any

import pytest

from headrace.model import Health, OperatorState
from tests.api.fakes import Api, FakeOperator
from tests.cli.conftest import Headrace

WEB: dict[str, Any] = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 8080,
    "endpoints": [{"address": "56.56.56.1"}, {"address": "57.57.57.1"}],
}
BGP = {"as": 64512, "router_id": "10.0.0.1"}


@pytest.fixture(autouse=True)
def document(headrace: Headrace) -> None:
    assert headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB], "bgp": BGP})).code == 0


def test_an_endpoint_is_drained_and_shown_and_taken_back(
    headrace: Headrace, operator: FakeOperator
) -> None:
    done = headrace("drain", "endpoint", "56.56.56.1", "--timeout=60")
    again = headrace("drain", "endpoint", "56.56.56.1", "--timeout=60")
    shown = headrace("status").out
    back = headrace("undrain", "endpoint", "56.56.56.1", "--pool=20.20.20.1:8080/tcp")

    assert done.out == "56.56.56.1 drains (revision 2)\n"
    assert again.out == "56.56.56.1 drains already, nothing changed (revision 2)\n"
    assert "draining, 7 flows in a minute, 2.5 packets/s, 60 s left" in shown
    assert back.out == "56.56.56.1 takes new flows (revision 3)\n"
    assert (operator.document.services[0].endpoints or ())[0].state is OperatorState.ACTIVE


def test_who_is_no_endpoint_cannot_drain(headrace: Headrace) -> None:
    done = headrace("drain", "endpoint", "1.1.1.1")

    assert done.code == 1
    assert "1.1.1.1 is no endpoint of any pool; `headrace status` lists them" in done.err


def test_a_node_is_drained_to_the_end_and_taken_back(headrace: Headrace) -> None:
    done = headrace("drain", "node", "--wait=0")
    shown = headrace("status").out
    back = headrace("undrain", "node")

    assert done.out == (
        "this node drains (revision 2)\nthis node is drained: no VIP is announced\n"
    )
    assert "this node is drained; `headrace undrain node` has it announce again" in shown
    assert (back.out, back.err) == ("this node announces what works (revision 3)\n", "")


def test_what_is_believed_is_shown_and_why_with_o_wide(
    headrace: Headrace, operator: FakeOperator
) -> None:
    operator.health = {"56.56.56.1": Health.DOWN, "57.57.57.1": Health.UP}

    shown, wide = headrace("status").out, headrace("status", "-o", "wide").out

    rows = [line.split() for line in shown.splitlines()]
    assert ["56.56.56.1", "50.0%", "active", "down"] in [row[:4] for row in rows]
    assert ["57.57.57.1", "50.0%", "active", "up"] in [row[:4] for row in rows]
    assert "timeout" in wide


def test_an_endpoints_check_is_created_shown_and_deleted(
    headrace: Headrace, operator: FakeOperator
) -> None:
    created = headrace("create", "endpoint", "9.9.9.9", "--probetype=tcp", "--probeport=80")
    table = headrace("get", "ep").out.splitlines()
    deleted = headrace("delete", "endpoint", "9.9.9.9", "--probetype=tcp", "--probeport=80")
    again = headrace("delete", "endpoint", "9.9.9.9", "--probetype=tcp", "--probeport=80")

    assert (created.out, deleted.out) == ("Success\n", "Success\n")
    assert table[0].split(" | ")[:2] == ["| HOST   ", "NAME          "]
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == [
        *("9.9.9.9", "9.9.9.9_tcp_80", "tcp:", "80", "60", "2", "", "", "", "ok")
    ]
    assert operator.document.health == {}
    assert "host-notfound error: no such check; `headrace get endpoint` lists" in again.err


def test_peers_and_bfd_are_created_shown_and_deleted(
    headrace: Headrace, operator: FakeOperator
) -> None:
    created = headrace("create", "bgpneighbor", "11.11.11.254", "65001")
    watched = headrace("create", "bfd", "11.11.11.254", "--interval=100000")
    peers, sessions = headrace("get", "bgpnei").out, headrace("get", "bfd").out
    wide = headrace("get", "bfd", "-o", "wide").out
    unwatched = headrace("delete", "bfd", "11.11.11.254")
    deleted = headrace("delete", "bgpneighbor", "11.11.11.254", "65001")

    for done in (created, watched, unwatched, deleted):
        assert done.out == "Success\n"
    assert "| 11.11.11.254 | 65001 | 1d 02:03:04 | ESTABLISHED |" in peers
    assert "| default  | 11.11.11.254 | BFDUp |" in sessions
    assert "| 3784 | 100000   | 3           | BFDUp |" in wide
    assert operator.document.bgp is not None
    assert operator.document.bgp.peers == ()


def test_the_role_is_shown(headrace: Headrace) -> None:
    assert "| llb-inst0 | MASTER  |" in headrace("get", "hastate").out
    assert json.loads(headrace("get", "ha", "-o", "json").out)["Attr"][0]["state"] == "MASTER"


def test_an_endpoint_is_drained_on_several_nodes(headrace: Headrace, api: Api) -> None:
    servers = ["--server", f"unix:{api.path}", "--server", "unix:/nowhere"]

    drained = headrace("drain", "endpoint", "56.56.56.1", *servers)
    back = headrace("undrain", "endpoint", "56.56.56.1", *servers)

    assert "56.56.56.1 drains (revision 2)" in drained.out
    assert "56.56.56.1 takes new flows (revision 3)" in back.out
    assert drained.code == back.code == 1
    assert "1 of 2 servers failed" in drained.err


def test_several_nodes_are_drained_one_after_the_other(headrace: Headrace, api: Api) -> None:
    servers = ["--server", f"unix:{api.path}", "--server", "unix:/nowhere"]

    done = headrace("drain", "node", "--wait=0", *servers)

    assert "this node is drained: no VIP is announced" in done.out
    assert done.code == 1
    assert "1 of 2 servers failed" in done.err
