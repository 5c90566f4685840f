"""Draining endpoints and the node by the native API."""

from typing import Any

import pytest

from headrace.model import OperatorState
from tests.api.fakes import Api, FakeOperator

DOCUMENT: dict[str, Any] = {
    "pools": {"web": {"endpoints": [{"address": "56.0.0.1"}, {"address": "57.0.0.1"}]}},
    "services": [
        {"vip": "20.20.20.1", "protocol": "tcp", "port": 80, "pool": "web"},
        {
            "name": "dns",
            "vip": "20.20.20.1",
            "protocol": "udp",
            "port": 53,
            "endpoints": [{"address": "56.0.0.1"}, {"address": "58.0.0.1", "weight": 0}],
        },
    ],
}
DNS = "20.20.20.1:53/udp"


def states(operator: FakeOperator, address: str = "56.0.0.1") -> dict[str, OperatorState]:
    return {
        name: endpoint.state
        for name, pool in operator.document.all_pools().items()
        for endpoint in pool.endpoints
        if str(endpoint.address) == address
    }


@pytest.fixture(autouse=True)
def document(api: Api) -> None:
    assert api.ask("PUT", "/v1/document", DOCUMENT).status == 200


def test_an_endpoint_drains_in_every_pool_and_is_taken_back(
    api: Api, operator: FakeOperator
) -> None:
    drained = api.ask("POST", "/v1/endpoints/56.0.0.1/drain", {"timeout_s": 60})
    after = states(operator)
    left = [e["drain_left_s"] for e in api.ask("GET", "/v1/services/dns").json["endpoints"]]
    again = api.ask("POST", "/v1/endpoints/56.0.0.1/drain", {"timeout_s": 60})
    undrained = api.ask("POST", "/v1/endpoints/56.0.0.1/undrain")

    assert drained.json == {"revision": 2, "changed": True}
    assert after == {"web": OperatorState.DRAINING, DNS: OperatorState.DRAINING}
    assert left == [60, None]
    assert again.json == {"revision": 2, "changed": False}
    assert undrained.json == {"revision": 3, "changed": True}
    assert set(states(operator).values()) == {OperatorState.ACTIVE}
    assert operator.document.model_dump_json(exclude_defaults=True).count("drain") == 0


@pytest.mark.parametrize("pool", [DNS, "dns"])
def test_an_endpoint_drains_in_one_pool(api: Api, operator: FakeOperator, pool: str) -> None:
    api.ask("POST", "/v1/endpoints/56.0.0.1/drain", {"pool": pool})

    assert states(operator) == {"web": OperatorState.ACTIVE, DNS: OperatorState.DRAINING}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("endpoints/59.0.0.1/drain", {}, 404, "59.0.0.1 is no endpoint of any pool"),
        ("endpoints/57.0.0.1/drain", {"pool": "dns"}, 404, "57.0.0.1 is no endpoint of pool dns"),
        ("endpoints/57.0.0.1/drain", {"pool": "wb"}, 404, "there is no pool wb; `headrace status`"),
        ("endpoints/x/drain", {}, 422, "'x' is not an IP address"),
        (
            "endpoints/56.0.0.1/drain",
            {"timeout_s": -1},
            422,
            "timeout_s: -1 is not in 0..86400; use",
        ),
        ("endpoints/56.0.0.1/drain", {"wait": 1}, 422, "wait: no such key here"),
        ("endpoints/58.0.0.1/undrain", {}, 409, "58.0.0.1 has weight 0 in 20.20.20.1:53/udp"),
        ("node/drain", {"wait_s": "1"}, 422, "wait_s: '1' is not a number"),
    ],
)
def test_a_drain_that_cannot_be_is_refused(
    api: Api, operator: FakeOperator, *, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = api.ask("POST", f"/v1/{path}", body)

    assert answer.status == status
    assert said in answer.json["detail"]
    assert operator.revision == 1


def test_a_node_is_drained_and_taken_back(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", "/v1/node/drain", {"wait_s": 3})
    status = api.ask("GET", "/v1/status").json
    drained = operator.document.node
    undrained = api.ask("POST", "/v1/node/undrain")

    assert (drained.drain, drained.drain_wait_s) == (True, 3)
    assert (status["drain"], status["drain_left_s"]) == ("draining", 3)
    assert undrained.json["changed"]
    assert not operator.document.node.drain


def test_a_drain_may_depend_on_the_revision(api: Api) -> None:
    assert api.ask("POST", "/v1/node/drain", if_match='"7"').status == 412
