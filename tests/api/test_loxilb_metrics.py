"""LoxiLB's figures as JSON."""

from typing import Any

import pytest

from headrace.model import Health, build_document
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import assert_success

METRICS = "/netlox/v1/metrics"


def service(port: int, *endpoints: str, **rest: Any) -> dict[str, Any]:
    listed = [{"address": each} for each in endpoints]
    return {"vip": "20.20.20.1", "protocol": "tcp", "port": port, "endpoints": listed, **rest}


@pytest.fixture(autouse=True)
def _three_services(operator: FakeOperator) -> None:
    services = [
        service(80, "56.56.56.1", "57.57.57.1", name="web"),
        service(443, "58.58.58.1", name="web"),
        service(53, "58.58.58.1", protocol="udp"),
    ]
    operator.document = build_document({"services": services})
    operator.health = {"56.56.56.1": Health.UP, "57.57.57.1": Health.DOWN, "58.58.58.1": Health.UP}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lbrulecount", {"lb_rule_count": 3}),
        ("hostcount", {"healthy_host_count": 2, "unhealthy_host_count": 1}),
        (
            "processedtraffic",
            {
                "processed_bytes": 700,
                "processed_tcp_bytes": 1800,
                "processed_udp_bytes": 900,
                "processed_sctp_bytes": 0,
                "processed_packets": 7,
            },
        ),
        (
            "servicedisttraffic",
            {
                "web": {"value": 1800, "ratio": 2 / 3},
                "20.20.20.1:53/udp": {"value": 900, "ratio": 1 / 3},
            },
        ),
        (
            "epdisttraffic",  # of the service whose endpoints are its own
            {
                "web": [
                    {"dip": "56.56.56.1", "value": 300, "ratio": 0.5},
                    {"dip": "57.57.57.1", "value": 300, "ratio": 0.5},
                ]
            },
        ),
        ("fwdrops", {"total_fw_drops": 0, "total_fw_drops_per_rule": []}),
        ("reqcountperclient", {}),
    ],
)
def test_a_figure_that_is_counted_is_told(api: Api, name: str, told: dict[str, Any]) -> None:
    answer = api.ask("GET", f"{METRICS}/{name}")

    assert (answer.status, answer.json) == (200, told)


@pytest.mark.parametrize(
    "name", ["flowcount", "newflowcount", "requestcount", "errorcount", "lbprocessedtraffic"]
)
def test_a_figure_that_is_not_counted_is_refused_by_its_name(api: Api, name: str) -> None:
    answer = api.ask("GET", f"{METRICS}/{name}")

    assert answer.status == 501
    assert answer.json["result"].startswith(f"{name} is not counted: ")


def test_prometheus_is_always_answered(api: Api) -> None:
    path = "/netlox/v1/config/metrics"

    assert api.ask("GET", path).json == {"prometheus": True}
    assert_success(api.ask("POST", path, {"prometheus": True}))
    for answer in (api.ask("POST", path, {"prometheus": False}), api.ask("DELETE", path)):
        assert (answer.status, answer.json["code"]) == (409, 409)
        assert "is always served" in answer.json["result"]
