"""Shows the node's numbers to Prometheus, beside the API and behind the same access control."""

import asyncio

from fastapi import FastAPI, Response

from headrace.control.ports import Operator
from headrace.metrics import CONTENT_TYPE, read_process, render


def expose_metrics(app: FastAPI, operator: Operator) -> None:
    """Answer GET /metrics; `?legacy=true` adds the names that LoxiLB's dashboards ask for.

    Where LoxiLB has its metrics, these names are there without asking.
    """

    async def metrics(legacy: bool = False) -> Response:  # noqa: FBT001, FBT002 - a query's
        # Both are read with nothing in between, so that they are of one revision.
        status, document = operator.status(), operator.document
        # A large node's text takes a tenth of a second; the loop has more urgent work.
        text = await asyncio.to_thread(render, status, document, read_process(), legacy=legacy)
        return Response(text, media_type=CONTENT_TYPE)

    async def legacy_metrics() -> Response:
        return await metrics(legacy=True)

    app.add_api_route("/metrics", metrics, include_in_schema=False)
    app.add_api_route("/netlox/v1/metrics", legacy_metrics, include_in_schema=False)
