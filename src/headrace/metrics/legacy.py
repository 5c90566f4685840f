"""LoxiLB's names, for dashboards that were made for it: each where we count the same thing.

Most exist twice: bare, as LoxiLB began, where totals are gauges, and with the prefix `loxilb_`.
What tracks connections, clients or sessions has no counterpart: nothing here tracks those.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from headrace.metrics.metric import Kind, Metric, Sample
from headrace.metrics.scene import Scene, label_text
from headrace.model import Count, Health, IPAddress

_COUNTER, _GAUGE = Kind.COUNTER, Kind.GAUGE

ABSENT: dict[str, tuple[str, ...]] = {
    "connections are not tracked": (
        "active_conntrack_count",
        "loxilb_active_conntrack_entries",
        "loxilb_conntrack_max_entries",
        "active_flow_count_tcp",
        "active_flow_count_udp",
        "active_flow_count_sctp",
        "inactive_flow_count",
        "new_flow_count",
        "loxilb_new_flows",
    ),
    "sessions are not followed; what is dropped, and why, is in headrace_verdict_packets_total": (
        "total_requests",
        "total_requests_per_service",
        "loxilb_requests_total",
        "loxilb_service_requests_total",
        "total_errors",
        "total_errors_per_service",
    ),
    "nothing is counted by client, nor by service and endpoint together": (
        "lb_rule_interaction_bytes",
        "lb_rule_interaction_packets",
        "loxilb_client_traffic_packets_total",
        "loxilb_endpoint_traffic_bytes_total",
    ),
    "the sum falls when a service is removed, which a counter must not; the gauge has it": (
        "loxilb_processed_tcp_bytes_total",
        "loxilb_processed_udp_bytes_total",
        "loxilb_processed_sctp_bytes_total",
    ),
    "allowed sources belong to services; there are no rules besides": (
        "total_fw_drops_per_rule",
        "loxilb_firewall_rules",
    ),
    "the machine is the node exporter's to tell": (
        "loxilb_system_cpu_utilization_percent",
        "loxilb_system_memory_utilization_percent",
        "loxilb_system_disk_utilization_percent",
        "consumed_lcus",
    ),
}
"""Why a name has no counterpart, and which names."""


def _rules(scene: Scene) -> list[Sample]:
    return [("", len(scene.services))]


def _healthy(scene: Scene) -> list[Sample]:
    up, down = _addresses(scene, Health.UP), _addresses(scene, Health.DOWN)
    return [("", len(up - down))]


def _unhealthy(scene: Scene) -> list[Sample]:
    return [("", len(_addresses(scene, Health.DOWN)))]


def _addresses(scene: Scene, health: Health) -> set[IPAddress]:
    """The endpoints of which some pool believes this; LoxiLB knows an endpoint once."""
    return {view.address for _, view in scene.endpoints if view.health is health}


def _verdict(name: str, scene: Scene) -> Count:
    counts = (each.count for each in scene.status.verdicts if each.name == name)
    return next(counts, Count(0, 0))


def _processed_packets(scene: Scene) -> list[Sample]:
    return [("", _verdict("sent", scene).packets)]


def _processed_bytes(scene: Scene) -> list[Sample]:
    return [("", _verdict("sent", scene).bytes)]


def _refused_packets(scene: Scene) -> list[Sample]:
    return [("", _verdict("drop_source", scene).packets)]


def _bytes_of(protocol: str) -> Callable[[Scene], list[Sample]]:
    def samples(scene: Scene) -> list[Sample]:
        counts = (
            view.received.bytes
            for _, view in scene.counted
            if view.key.rpartition("/")[2] == protocol
        )
        return [("", sum(counts))]

    return samples


def _named(scene: Scene) -> dict[str, list[Count]]:
    """The counts of services by name: one name may stand for several ports of a thing.

    A name is left out while one of its services is not counted: the sum would fall and rise again.
    """
    counts: defaultdict[str, list[Count]] = defaultdict(list)
    for _, view in scene.services:
        counts[view.name].append(view.received)
    missing = {view.name for _, view in scene.services if not view.forwarding}
    return {name: found for name, found in counts.items() if name and name not in missing}


def _service_bytes(scene: Scene) -> Iterable[Sample]:
    for name, counts in _named(scene).items():
        yield label_text(service=name), sum(count.bytes for count in counts)


def _service_packets(scene: Scene) -> Iterable[Sample]:
    for name, counts in _named(scene).items():
        yield label_text(service=name), sum(count.packets for count in counts)


def _pair(
    names: tuple[str, str],
    kind: Kind,
    unit: str,
    told: str,
    samples: Callable[[Scene], list[Sample]],
) -> tuple[Metric, Metric]:
    """The bare name, always a gauge, and the one with the prefix."""
    bare, prefixed = names
    return (
        Metric(bare, _GAUGE, (), unit, told, samples),
        Metric(prefixed, kind, (), unit, told, samples),
    )


LEGACY: tuple[Metric, ...] = (
    *_pair(("lb_rule_count", "loxilb_lb_rules"), _GAUGE, "services", "Services.", _rules),
    *_pair(
        ("healthy_host_count", "loxilb_healthy_endpoints"),
        _GAUGE,
        "endpoints",
        "Endpoints that are checked and up, each once.",
        _healthy,
    ),
    *_pair(
        ("unhealthy_host_count", "loxilb_unhealthy_endpoints"),
        _GAUGE,
        "endpoints",
        "Endpoints that a pool's checks believe down, each once.",
        _unhealthy,
    ),
    *_pair(
        ("processed_packets", "loxilb_processed_packets_total"),
        _COUNTER,
        "packets",
        "Packets sent to endpoints.",
        _processed_packets,
    ),
    *_pair(
        ("processed_bytes", "loxilb_processed_bytes_total"),
        _COUNTER,
        "bytes",
        "Bytes of packets sent to endpoints, without the outer header.",
        _processed_bytes,
    ),
    *(
        Metric(
            f"processed_{protocol}_bytes",
            _GAUGE,
            (),
            "bytes",
            f"Bytes that came for the services of {protocol.upper()} that there are now.",
            _bytes_of(protocol),
        )
        for protocol in ("tcp", "udp", "sctp")
    ),
    *_pair(
        ("total_fw_drops", "loxilb_fw_drop_packets_total"),
        _COUNTER,
        "packets",
        "Packets of clients that a service's allowed sources do not hold.",
        _refused_packets,
    ),
    Metric(
        "loxilb_service_traffic_packets_total",
        _COUNTER,
        ("service",),
        "packets",
        "Packets that came for the services of a name; falls when one of several is removed.",
        _service_packets,
    ),
    Metric(
        "loxilb_service_traffic_bytes_total",
        _COUNTER,
        ("service",),
        "bytes",
        "Bytes that came for the services of a name; falls when one of several is removed.",
        _service_bytes,
    ),
)
