"""LoxiLB's figures as JSON, each where we count the same thing; the others are refused by name.

Prometheus reads the same ones, and more, at `/metrics`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from headrace.api.answers import discard_body
from headrace.api.bodies import Part, refuse
from headrace.api.loxilb_answers import Answer, Route, answer, read_part, success
from headrace.control.ports import Operator
from headrace.control.views import ServiceView, Status
from headrace.model import Count, Health

_ABSENT = {
    "flowcount": "connections are not tracked; GET config/conntrack/all lists flows with a note",
    "newflowcount": "connections are not tracked",
    "requestcount": "sessions are not followed; servicedisttraffic has each service's packets",
    "errorcount": "sessions are not followed; headrace_verdict_packets_total says what is dropped",
    "lbprocessedtraffic": "nothing is counted by client; epdisttraffic has each endpoint's",
}
"""What there is no figure of, and why."""

_ALWAYS_ON = "prometheus cant modify: /metrics is always served; close the API's address instead"


class MetricsConfiguration(Part):
    """Whether Prometheus is answered."""

    prometheus: bool = False


def add_metrics(route: Route, operator: Operator) -> None:
    """Add the routes about figures."""
    figures: dict[str, Callable[[Status], Mapping[str, Any]]] = {
        "hostcount": count_hosts,
        "lbrulecount": lambda status: {"lb_rule_count": len(status.services)},
        "processedtraffic": processed_traffic,
        "epdisttraffic": endpoint_traffic,
        "servicedisttraffic": service_traffic,
        "fwdrops": _refused_packets,
        "reqcountperclient": lambda _: {},
    }
    for name, figure in figures.items():
        route("GET", f"/metrics/{name}", _figure(operator, figure))
    for name, why in _ABSENT.items():
        route("GET", f"/metrics/{name}", _absent(name, why))
    route("GET", "/config/metrics", _get_configuration)
    route("POST", "/config/metrics", _post_configuration)
    route("DELETE", "/config/metrics", _delete_configuration)


def count_hosts(status: Status) -> dict[str, int]:
    """Endpoints that are checked, each once; one that some pool believes down is down."""
    known = {
        health: {e.address for s in status.services for e in s.endpoints if e.health is health}
        for health in (Health.UP, Health.DOWN)
    }
    return {
        "healthy_host_count": len(known[Health.UP] - known[Health.DOWN]),
        "unhealthy_host_count": len(known[Health.DOWN]),
    }


def processed_traffic(status: Status) -> dict[str, int]:
    """What was sent to endpoints, and what came for the services of each protocol."""
    sent = _verdict(status, "sent")
    came: Counter[str] = Counter()
    for service in status.services:
        came[service.key.rpartition("/")[2]] += service.received.bytes
    return {
        "processed_bytes": sent.bytes,
        **{f"processed_{name}_bytes": came[name] for name in ("tcp", "udp", "sctp")},
        "processed_packets": sent.packets,
    }


def endpoint_traffic(status: Status) -> dict[str, list[dict[str, Any]]]:
    """The bytes that each endpoint of a service was sent, and its share of them.

    An endpoint's packets are counted for all services together, so services that share one with
    another are left out.
    """
    users = Counter(e.address for s in status.services for e in s.endpoints)
    told = {}
    for service in status.services:
        if all(users[endpoint.address] == 1 for endpoint in service.endpoints):
            whole = sum(endpoint.sent.bytes for endpoint in service.endpoints)
            told[_name_of(service)] = [
                {"dip": str(e.address), "value": e.sent.bytes, "ratio": _ratio(e.sent.bytes, whole)}
                for e in service.endpoints
            ]
    return told


def service_traffic(status: Status) -> dict[str, dict[str, Any]]:
    """The bytes that came for each service, or the services of one name, and the share of them."""
    came: Counter[str] = Counter()
    for service in status.services:
        came[_name_of(service)] += service.received.bytes
    whole = sum(came.values())
    return {name: {"value": n, "ratio": _ratio(n, whole)} for name, n in came.items()}


def _refused_packets(status: Status) -> dict[str, Any]:
    packets = _verdict(status, "drop_source").packets
    return {"total_fw_drops": packets, "total_fw_drops_per_rule": []}


def _figure(operator: Operator, figure: Callable[[Status], Mapping[str, Any]]) -> Answer:
    async def told() -> Response:
        """A figure of the node."""
        return answer(figure(operator.status()))

    return told


def _absent(name: str, why: str) -> Answer:
    async def refused() -> Response:
        """A figure that there is not: 501 says why."""
        raise refuse(HTTPStatus.NOT_IMPLEMENTED, f"{name} is not counted: {why}")

    return refused


async def _get_configuration() -> Response:
    """Whether Prometheus is answered: always."""
    return answer({"prometheus": True})


async def _post_configuration(request: Request) -> Response:
    """Have Prometheus answered, as it is; that it is not is refused."""
    if not (await read_part(request, MetricsConfiguration)).prometheus:
        raise refuse(HTTPStatus.CONFLICT, _ALWAYS_ON)
    return success()


async def _delete_configuration(request: Request) -> Response:
    """Have Prometheus answered no longer: refused."""
    await discard_body(request)
    raise refuse(HTTPStatus.CONFLICT, _ALWAYS_ON)


def _verdict(status: Status, name: str) -> Count:
    found = (each.count for each in status.verdicts if each.name.lower() == name)
    return next(found, Count(0, 0))


def _name_of(service: ServiceView) -> str:
    return service.name or service.key


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
