import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from headrace.daemon.exposing import expose_metrics
from tests.api.fakes import FakeOperator


@pytest.mark.parametrize("legacy", [False, True])
async def test_prometheus_reads_the_node(legacy: bool) -> None:  # noqa: FBT001
    app = FastAPI()
    expose_metrics(app, FakeOperator())
    legacy_route = next(
        r for r in app.routes if isinstance(r, APIRoute) and r.path == "/netlox/v1/metrics"
    )
    route = next(r for r in app.routes if isinstance(r, APIRoute) and r.path == "/metrics")

    answer = await route.endpoint(legacy=legacy)

    assert answer.headers["content-type"].startswith("text/plain")
    assert b"headrace_build_info" in answer.body
    assert (b"lb_rule_count" in answer.body) is legacy
    assert b"lb_rule_count" in (await legacy_route.endpoint()).body
