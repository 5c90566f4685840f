"""Nodes as values: a document, and a status that fits it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from prometheus_client.parser import text_string_to_metric_families as parse

from headrace.control import EndpointView, PeerView, PortView, ServiceView, Status
from headrace.control.views import pools_of
from headrace.metrics import render
from headrace.model import (
    BfdState,
    Count,
    Document,
    Encapsulation,
    Endpoint,
    Health,
    IPAddress,
    OperatorState,
    PortMode,
    Service,
    SessionState,
    VerdictCount,
    parse_document,
)

VIP_KEY = "192.0.2.1:80/tcp"

BUSY = """
node: {name: llb1}
services:
- {vip: 192.0.2.1, protocol: tcp, port: 80, pool: web, name: shop, announce: true}
- {vip: 192.0.2.1, protocol: tcp, port: 443, pool: web, name: shop}
- vip: 2001:db8::1
  protocol: udp
  port: 8000-8010
  announce: true
  encapsulation: gue
  dscp: 46
  endpoints: [{address: "fd00::1"}, {address: 10.0.0.1}]
pools:
  web:
    endpoints:
    - {address: 10.0.0.1, weight: 3}
    - {address: 10.0.0.2}
    - {address: 10.0.0.3, state: draining}
    - {address: 10.0.0.4, state: disabled}
bgp: {as: 64512, router_id: 192.0.2.9, bfd: {}, peers: [{address: 192.0.2.10, as: 65001}]}
"""
"""Every kind of thing that has a metric."""

HEALTHS = {
    ip_address("10.0.0.1"): Health.UP,
    ip_address("10.0.0.2"): Health.DOWN,
    ip_address("10.0.0.3"): Health.UNKNOWN,
}

PREFIXES = (ip_network("192.0.2.1/32"),)

PROCESS = {
    "process_cpu_seconds_total": 1.5,
    "process_resident_memory_bytes": 50_000_000.0,
    "process_virtual_memory_bytes": 90_000_000.0,
    "process_start_time_seconds": 1.75e9,
    "process_open_fds": 20.0,
    "process_max_fds": 1024.0,
}

VERDICTS = (
    VerdictCount("sent", "send", "encapsulated and sent", Count(70, 7000)),
    VerdictCount("drop_source", "drop", "a client that is not allowed", Count(5, 500)),
    VerdictCount("pass_not_vip", "pass", "no VIP", Count(2**63 + 1, 2**64 - 1)),
)


@dataclass
class Node:
    """A document in force and what the kernel and the checks say of its parts."""

    document: Document
    received: Mapping[str, Count] = field(default_factory=dict)  # by service
    sent: Mapping[tuple[IPAddress, Encapsulation], Count] = field(default_factory=dict)
    healths: Mapping[IPAddress, Health] = field(default_factory=dict)
    not_forwarding: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    bfd: BfdState = BfdState.UP
    drain: str = "active"
    drain_left_s: float | None = None

    def status(self) -> Status:
        """The node, its services announced if they are to be."""
        document = self.document
        bgp = document.bgp
        services = tuple(self._service(service) for service in document.services)
        return Status(
            node=document.node.name or "",
            version="1.2.3",
            revision=7,
            hash_seed_is_default=document.cluster.hash_seed == 0,
            ports=(PortView("eth0", PortMode.NATIVE), PortView("eth1", PortMode.MISSING)),
            peers=tuple(
                PeerView(peer.address, peer.as_number, SessionState.UP, 12.5, self.bfd, PREFIXES)
                for peer in (bgp.peers if bgp else ())
            ),
            services=services,
            pools=pools_of(services),
            verdicts=VERDICTS,
            drain=self.drain,
            drain_left_s=self.drain_left_s,
            problems=self.problems,
        )

    def text(self, *, legacy: bool = False) -> str:
        """What Prometheus would scrape."""
        return render(self.status(), self.document, PROCESS, legacy=legacy).decode()

    def samples(self, name: str, *, legacy: bool = False) -> dict[tuple[str, ...], float]:
        """The samples of a metric: the labels' values, in the order of the text, to the value."""
        return samples_of(name, self.text(legacy=legacy))

    def _service(self, service: Service) -> ServiceView:
        pool = self.document.pool_of(service)
        forwarding = service.label not in self.not_forwarding
        return ServiceView(
            name=service.name or "",
            key=service.label,
            pool=service.pool_name,
            affinity=service.affinity,
            flow_table=service.flow_table,
            sources=service.sources,
            denied_sources=service.denied_sources,
            quic=service.quic,
            unserved=service.unserved,
            forwarding=forwarding,
            announced=service.announce,
            why_not="",
            healthy=1,
            received=self.received.get(service.label, Count(0, 0)) if forwarding else Count(0, 0),
            endpoints=tuple(self._endpoint(each, pool.encapsulation) for each in pool.endpoints),
        )

    def _endpoint(self, endpoint: Endpoint, encapsulation: Encapsulation) -> EndpointView:
        drains = endpoint.state is OperatorState.DRAINING
        return EndpointView(
            address=endpoint.address,
            weight=endpoint.weight,
            state=endpoint.state,
            health=self.healths.get(endpoint.address),
            why="",
            share=0.25,
            server_id=endpoint.server_id,
            path="",
            reachable=True,
            sent=self.sent.get((endpoint.address, encapsulation), Count(0, 0)),
            packets_per_s=2.5 if drains else None,
            flows_seen=7 if drains else None,
            drain_left_s=30.0 if drains else None,
        )


def busy_node() -> Node:
    """A node with a sample of every metric."""
    return Node(parse_document(BUSY), healths=HEALTHS, drain="draining", drain_left_s=4.0)


def samples_of(name: str, text: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric in an exposition, as the usual parser reads them."""
    families = (family.samples for family in parse(text))
    return {
        tuple(sample.labels.values()): sample.value
        for samples in families
        for sample in samples
        if sample.name == name
    }


def names_of(text: str) -> set[str]:
    """Every metric's name that an exposition has samples of."""
    families: Iterable[list[str]] = ([s.name for s in family.samples] for family in parse(text))
    return {name for names in families for name in names}
