"""The table: every metric by name, with its type, labels, unit, meaning and source.

A name, once published, stays: dashboards and alerts depend on it. A label's values are few, or as
many as the document names; never clients.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from headrace.metrics.metric import Kind, Metric, Sample
from headrace.metrics.scene import Scene, label_text
from headrace.model import BfdState, Health, OperatorState, PortMode, SessionState

_COUNTER, _GAUGE = Kind.COUNTER, Kind.GAUGE
_SERVICE = ("service",)
_ENDPOINT = ("pool", "endpoint")
_WAY = ("endpoint", "encapsulation", "dscp")
_PEER = ("peer", "as")
_VERDICT = ("verdict", "action")

_DRAINS = ("active", "draining", "drained")
_HEALTHS = (*Health, None)


def _one(value: float) -> list[Sample]:
    return [("", value)]


def _optional(value: float | None) -> list[Sample]:
    return [] if value is None else _one(value)


def _build(scene: Scene) -> list[Sample]:
    status = scene.status
    return [(label_text(version=status.version, node=status.node), 1)]


def _drain(scene: Scene) -> Iterator[Sample]:
    for drain in _DRAINS:
        yield label_text(drain=drain), int(scene.status.drain == drain)


def _ports(scene: Scene) -> Iterator[Sample]:
    modes = [port.mode for port in scene.status.ports]
    for mode in PortMode:
        yield label_text(mode=mode), modes.count(mode)


def _verdict_packets(scene: Scene) -> Iterator[Sample]:
    for each in scene.status.verdicts:
        yield label_text(verdict=each.name, action=each.action), each.count.packets


def _verdict_bytes(scene: Scene) -> Iterator[Sample]:
    for each in scene.status.verdicts:
        yield label_text(verdict=each.name, action=each.action), each.count.bytes


def _service_info(scene: Scene) -> Iterator[Sample]:
    for text, view in scene.services:
        yield f"{text},{label_text(name=view.name, pool=view.pool)}", 1


def _pool_healths(scene: Scene) -> Iterator[Sample]:
    for text, views in scene.pools:
        healths = [view.health for view in views]
        for health in _HEALTHS:
            yield f'{text},health="{health or "unchecked"}"', healths.count(health)


def _pool_states(scene: Scene) -> Iterator[Sample]:
    for text, views in scene.pools:
        states = [view.state for view in views]
        for state in OperatorState:
            yield f'{text},state="{state}"', states.count(state)


def _up(scene: Scene) -> Iterator[Sample]:
    """Unknown is neither: it has no sample."""
    for text, view in scene.endpoints:
        if view.health is Health.UP:
            yield text, 1
        elif view.health is Health.DOWN:
            yield text, 0


def _of_process(name: str, scene: Scene) -> Iterable[Sample]:
    return _optional(scene.process.get(name))


def _process(name: str, kind: Kind, unit: str, told: str) -> Metric:
    return Metric(name, kind, (), unit, told, partial(_of_process, name))


METRICS: tuple[Metric, ...] = (
    # --- the node ----------------------------------------------------------------------------
    Metric(
        "headrace_build_info",
        _GAUGE,
        ("version", "node"),
        "",
        "The program's version and the node's name; always 1.",
        _build,
    ),
    Metric(
        "headrace_revision",
        _GAUGE,
        (),
        "",
        "The number of the document in force.",
        lambda scene: _one(scene.status.revision),
    ),
    Metric(
        "headrace_problems",
        _GAUGE,
        (),
        "problems",
        "What is wrong at the moment; headrace status tells each.",
        lambda scene: _one(len(scene.status.problems)),
    ),
    Metric(
        "headrace_hash_seed_is_default",
        _GAUGE,
        (),
        "",
        "1 while the flow hash has the default seed, which everybody knows.",
        lambda scene: _one(int(scene.status.hash_seed_is_default)),
    ),
    Metric(
        "headrace_node_drain",
        _GAUGE,
        ("drain",),
        "",
        "1 for what the node does: active serves, draining asks routers to go elsewhere, drained "
        "announces nothing.",
        _drain,
    ),
    Metric(
        "headrace_node_drain_left_seconds",
        _GAUGE,
        (),
        "seconds",
        "How long a node that drains still announces; none of one that does not.",
        lambda scene: _optional(scene.status.drain_left_s),
    ),
    Metric(
        "headrace_ports",
        _GAUGE,
        ("mode",),
        "ports",
        "Attached interfaces by XDP mode; missing are those that are gone.",
        _ports,
    ),
    # --- packets by verdict ------------------------------------------------------------------
    Metric(
        "headrace_verdict_packets_total",
        _COUNTER,
        _VERDICT,
        "packets",
        "Packets that the data plane saw, by the verdict that ended their way.",
        _verdict_packets,
    ),
    Metric(
        "headrace_verdict_bytes_total",
        _COUNTER,
        _VERDICT,
        "bytes",
        "Bytes of those packets as clients sent them, from the IP header on.",
        _verdict_bytes,
    ),
    # --- services ----------------------------------------------------------------------------
    Metric(
        "headrace_service_info",
        _GAUGE,
        ("service", "name", "pool"),
        "",
        "A service's name and pool, to be joined to its other metrics; always 1.",
        _service_info,
    ),
    Metric(
        "headrace_service_packets_total",
        _COUNTER,
        _SERVICE,
        "packets",
        "Packets that came for a service, whatever became of them.",
        lambda scene: ((text, view.received.packets) for text, view in scene.counted),
    ),
    Metric(
        "headrace_service_bytes_total",
        _COUNTER,
        _SERVICE,
        "bytes",
        "Bytes of those packets as clients sent them, from the IP header on.",
        lambda scene: ((text, view.received.bytes) for text, view in scene.counted),
    ),
    Metric(
        "headrace_service_forwarding",
        _GAUGE,
        _SERVICE,
        "",
        "1 if the data plane has the service as the document says, read back from the kernel.",
        lambda scene: ((text, int(view.forwarding)) for text, view in scene.services),
    ),
    Metric(
        "headrace_service_announced",
        _GAUGE,
        _SERVICE,
        "",
        "1 if a BGP session that is up told of its VIP; none of services not to be announced.",
        lambda scene: ((text, int(view.announced)) for text, view in scene.announced),
    ),
    Metric(
        "headrace_service_healthy_endpoints",
        _GAUGE,
        _SERVICE,
        "endpoints",
        "Endpoints that take new flows and serve.",
        lambda scene: ((text, view.healthy) for text, view in scene.services),
    ),
    # --- pools -------------------------------------------------------------------------------
    Metric(
        "headrace_pool_health_endpoints",
        _GAUGE,
        ("pool", "health"),
        "endpoints",
        "A pool's endpoints by what is believed of them: up, down, unknown, or unchecked.",
        _pool_healths,
    ),
    Metric(
        "headrace_pool_state_endpoints",
        _GAUGE,
        ("pool", "state"),
        "endpoints",
        "A pool's endpoints by what the operator asked: active, draining, disabled.",
        _pool_states,
    ),
    # --- endpoints ---------------------------------------------------------------------------
    Metric(
        "headrace_endpoint_packets_total",
        _COUNTER,
        _WAY,
        "packets",
        "Packets sent to an endpoint, for all services and pools that reach it alike.",
        lambda scene: ((text, count.packets) for text, count in scene.sent),
    ),
    Metric(
        "headrace_endpoint_bytes_total",
        _COUNTER,
        _WAY,
        "bytes",
        "Bytes of those packets as clients sent them, without the outer header.",
        lambda scene: ((text, count.bytes) for text, count in scene.sent),
    ),
    Metric(
        "headrace_endpoint_up",
        _GAUGE,
        _ENDPOINT,
        "",
        "1 if its checks believe it up, 0 if down; none while that is unknown or not checked.",
        _up,
    ),
    Metric(
        "headrace_endpoint_reachable",
        _GAUGE,
        _ENDPOINT,
        "",
        "1 if the node knows a path and a next hop to it.",
        lambda scene: ((text, int(view.reachable)) for text, view in scene.endpoints),
    ),
    Metric(
        "headrace_endpoint_weight",
        _GAUGE,
        _ENDPOINT,
        "",
        "The weight that the document gives it.",
        lambda scene: ((text, view.weight) for text, view in scene.endpoints),
    ),
    Metric(
        "headrace_endpoint_share_ratio",
        _GAUGE,
        _ENDPOINT,
        "ratio",
        "Its part of the pool's slots, 0 to 1, while all endpoints are up.",
        lambda scene: ((text, view.share) for text, view in scene.endpoints),
    ),
    Metric(
        "headrace_endpoint_drain_left_seconds",
        _GAUGE,
        _ENDPOINT,
        "seconds",
        "How long one that drains still gets its old flows; none where no end is set.",
        lambda scene: (
            (text, view.drain_left_s)
            for text, view in scene.endpoints
            if view.drain_left_s is not None
        ),
    ),
    Metric(
        "headrace_endpoint_drain_packets_per_second",
        _GAUGE,
        _ENDPOINT,
        "packets per second",
        "Packets that one that drains was still sent, over the last seconds: flows that are left.",
        lambda scene: (
            (text, view.packets_per_s)
            for text, view in scene.endpoints
            if view.packets_per_s is not None
        ),
    ),
    Metric(
        "headrace_endpoint_drain_flows",
        _GAUGE,
        _ENDPOINT,
        "flows",
        "About how many flows one that drains was still sent packets of, in the last minute.",
        lambda scene: (
            (text, view.flows_seen) for text, view in scene.endpoints if view.flows_seen is not None
        ),
    ),
    # --- BGP ---------------------------------------------------------------------------------
    Metric(
        "headrace_bgp_session_up",
        _GAUGE,
        _PEER,
        "",
        "1 if the session with a peer is established.",
        lambda scene: ((text, int(view.state is SessionState.UP)) for text, view in scene.peers),
    ),
    Metric(
        "headrace_bgp_session_state_seconds",
        _GAUGE,
        _PEER,
        "seconds",
        "How long the session has been up, or down.",
        lambda scene: ((text, view.since_s) for text, view in scene.peers),
    ),
    Metric(
        "headrace_bgp_announced_prefixes",
        _GAUGE,
        _PEER,
        "prefixes",
        "Prefixes that a peer was told of; 0 while its session is down.",
        lambda scene: ((text, len(view.announced)) for text, view in scene.peers),
    ),
    Metric(
        "headrace_bfd_up",
        _GAUGE,
        _PEER,
        "",
        "1 if BFD with a peer is up; none of peers that it is not to watch.",
        lambda scene: ((text, int(view.bfd is BfdState.UP)) for text, view in scene.watched),
    ),
    # --- the daemon's process ----------------------------------------------------------------
    _process(
        "process_cpu_seconds_total",
        _COUNTER,
        "seconds",
        "Processor time of the daemon, its own and the kernel's for it.",
    ),
    _process(
        "process_resident_memory_bytes", _GAUGE, "bytes", "Memory of the daemon that is in RAM."
    ),
    _process("process_virtual_memory_bytes", _GAUGE, "bytes", "Address space of the daemon."),
    _process(
        "process_start_time_seconds",
        _GAUGE,
        "seconds",
        "When the daemon started, in seconds since 1970. Traffic counters are older than that.",
    ),
    _process("process_open_fds", _GAUGE, "files", "Files and sockets that the daemon has open."),
    _process("process_max_fds", _GAUGE, "files", "How many it may have open."),
)
