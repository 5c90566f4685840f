"""What the native API sends and takes, for its OpenAPI description.

Answers are made from the values of `control.views` directly, which is faster; a test holds each
model here to the fields of its value.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.control.log_level import Level
from headrace.model import (
    Affinity,
    BfdState,
    Document,
    Encapsulation,
    Flow,
    FlowTable,
    Health,
    IPAddress,
    IPNetwork,
    OperatorState,
    Pool,
    PortMode,
    Protocol,
    SessionState,
    Unserved,
)
from headrace.model.fields import Address, Flag, Name, Wait, whole

LIMIT_FLOWS = 20_000
"""Flows of one explain request: to parse and write them holds up the daemon for 0.2 s."""

LIMIT_EXPLAIN_BYTES = 8 * 1024 * 1024
"""A request of that many flows with IPv6 addresses is 4 MB."""

LIMIT_DRAIN_BYTES = 4096
"""A request to drain says two things."""

FlowPort = Annotated[int, Field(ge=0, le=65_535), BeforeValidator(whole(0, 65_535))]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class FlowBody(_Answer):
    """One direction of a conversation, from a client to a VIP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Protocol = Field(description="transport protocol")
    source: Address = Field(description="the client's address")
    source_port: FlowPort = Field(description="the client's port")
    destination: Address = Field(description="the VIP")
    destination_port: FlowPort = Field(description="the service's port")

    @model_validator(mode="after")
    def _check_families(self) -> Self:
        if self.source.version != self.destination.version:
            raise ValueError(
                f"{self.source} and {self.destination} are of different families; use one"
            )
        return self

    def value(self) -> Flow:
        """The flow as the other rooms know it."""
        return Flow(
            self.protocol, self.source, self.source_port, self.destination, self.destination_port
        )


class ExplainBody(BaseModel):
    """Flows to explain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flows: tuple[FlowBody, ...] = Field(max_length=LIMIT_FLOWS, description="in any order")
    steps: Flag = Field(default=True, description="tell each step in a sentence as well")


class UnreadFlows(ExplainBody):
    """The same with its flows yet to be read: thousands at once would hold up the daemon."""

    flows: tuple[Any, ...] = Field(max_length=LIMIT_FLOWS)


class ExplanationBody(_Answer):
    """The way of one flow through the data plane, as the kernel's maps say now."""

    flow: FlowBody = Field(description="as it was asked")
    verdict: str = Field(description="why the packet leaves the pipeline")
    service: str | None = Field(description="key of the service that takes it")
    hash: int | None = Field(description="hash of the flow, specification v1")
    slot: int | None = Field(description="slot of the lookup table")
    endpoint: IPAddress | None = Field(description="who answers")
    encapsulation: Encapsulation | None = Field(description="how the packet gets there")
    outer_source: IPAddress | None = Field(description="none with l2, which adds no header")
    outer_destination: IPAddress | None = Field(description="none with l2, which adds no header")
    steps: tuple[str, ...] = Field(description="one sentence a step")


Drain = Literal["active", "draining", "drained"]


class CountBody(_Answer):
    """Packets and the bytes in them."""

    packets: int = Field(description="IP packets as clients sent them")
    bytes: int = Field(description="of those packets")


class EndpointBody(_Answer):
    """One endpoint of one pool as it stands."""

    address: IPAddress = Field(description="its own address")
    weight: int = Field(description="its share of new flows, by the others'")
    state: OperatorState = Field(description="what the operator asked for")
    health: Health | None = Field(description="what is believed of it; null: it is not checked")
    why: str = Field(description="the last result of its probes, with the likely cause")
    share: float = Field(description="part of the slots that it owns, 0 to 1")
    server_id: int | None = Field(description="of QUIC connection ids")
    path: str = Field(description="how it is reached, or why it is not")
    reachable: bool = Field(description="there is a next hop")
    sent: CountBody = Field(description="to it, for all services together")
    packets_per_s: float | None = Field(
        description="of late, while it drains: from the flows that are left"
    )
    flows_seen: int | None = Field(
        description="while it drains: about how many flows it still got in the last minute; null: "
        "not counted, where QUIC server ids or a pool that drains whole send it flows of its own"
    )
    drain_left_s: float | None = Field(
        description="how long it still gets its old flows; null: no end is set"
    )


class ServiceBody(_Answer):
    """One service as it stands; `/v1/endpoints` has those of its pool."""

    name: str = Field(description="a label for people; may be empty")
    key: str = Field(
        description="as 192.0.2.1:80/tcp, or 192.0.2.1:80-89/tcp for a range of ports",
        examples=["20.20.20.1:8080/tcp"],
    )
    pool: str = Field(description="who answers; a service's own pool has its key")
    affinity: Affinity = Field(description="which packets go to one endpoint")
    flow_table: FlowTable = Field(description="when flows are remembered one by one")
    sources: tuple[IPNetwork, ...] = Field(description="who is served; everybody if empty")
    denied_sources: tuple[IPNetwork, ...] = Field(
        description="who is not; where several of both lists hold a client, the longest counts"
    )
    quic: bool = Field(description="routed by the server ids in QUIC connection ids")
    unserved: Unserved = Field(description="what becomes of the VIP's packets without a service")
    forwarding: bool = Field(description="the data plane has it, read back")
    announced: bool = Field(description="a BGP session that is up has told its peer")
    why_not: str = Field(description="what keeps it from forwarding or being announced")
    healthy: int = Field(description="endpoints that take new flows and serve")
    received: CountBody = Field(description="that came for it")


class WholeServiceBody(ServiceBody):
    """One service as it stands, with the endpoints that answer for it."""

    endpoints: tuple[EndpointBody, ...] = Field(description="those of its pool")


class PoolStateBody(_Answer):
    """One pool in use as it stands."""

    name: str = Field(description="as services say it; a service's own pool has its key")
    endpoints: tuple[EndpointBody, ...] = Field(description="in the document's order")


class PortBody(_Answer):
    """One attached interface."""

    name: str = Field(description="of the interface")
    mode: PortMode = Field(description="how XDP runs there; missing: the interface is gone")


class PeerBody(_Answer):
    """One BGP peer."""

    address: IPAddress = Field(description="the router's own")
    as_number: int = Field(description="its autonomous system")
    state: SessionState = Field(description="of the session")
    since_s: float = Field(description="seconds in that state")
    bfd: BfdState = Field(
        description="what BFD says (RFC 5880): off where it is not to watch, admin_down, down, "
        "init, up"
    )
    announced: tuple[IPNetwork, ...] = Field(description="the prefixes that it was told")
    rejected: tuple[IPNetwork, ...] = Field(
        description="the announced prefixes that its export policies keep from it"
    )


class VerdictBody(_Answer):
    """One way a packet can leave the pipeline, and how many did."""

    name: str = Field(description="as metrics and captures call it")
    action: Literal["pass", "drop", "send", "answer"] = Field(
        description="what becomes of the packet"
    )
    meaning: str = Field(description="why")
    count: CountBody = Field(description="since the program was first loaded")


class NodeBody(_Answer):
    """This node, without its services, peers and counters."""

    node: str = Field(description="its name")
    version: str = Field(description="of the program")
    revision: int = Field(description="number of the document in force; 0 before the first")
    hash_seed_is_default: bool = Field(description="the cluster has no hash seed of its own")
    ports: tuple[PortBody, ...] = Field(description="the interfaces that it is attached to")
    drain: Drain = Field(description="whether the node leaves the VIPs to others")
    drain_left_s: float | None = Field(description="how long a node that drains still announces")
    problems: tuple[str, ...] = Field(description="what is wrong and why, worst first")


class StatusBody(NodeBody):
    """The whole node on one screen."""

    peers: tuple[PeerBody, ...] = Field(description="in the document's order")
    services: tuple[ServiceBody, ...] = Field(description="in the document's order")
    pools: tuple[PoolStateBody, ...] = Field(description="who answers for the services")
    verdicts: tuple[VerdictBody, ...] = Field(description="every one there is")


class PoolBody(_Answer):
    """One named pool of the document."""

    name: str = Field(description="as services say it")
    services: tuple[str, ...] = Field(description="keys of the services that it answers for")
    pool: Pool = Field(description="what the document says of it")


class PlacedEndpointBody(_Answer):
    """One endpoint of one pool in use as it stands."""

    pool: str = Field(description="its name; a service's own pool has the service's key")
    services: tuple[str, ...] = Field(description="keys of the services that it answers for")
    endpoint: EndpointBody = Field(description="how it stands")


class DrainBody(_Answer):
    """One endpoint of one pool that drains."""

    pool: str = Field(description="its name; a service's own pool has the service's key")
    endpoint: IPAddress = Field(description="its address")
    left_s: float | None = Field(description="how long it still gets its old flows; null: no end")


class DrainsBody(_Answer):
    """What drains."""

    node: Drain = Field(description="whether the node leaves the VIPs to others")
    node_left_s: float | None = Field(description="how long a node that drains still announces")
    endpoints: tuple[DrainBody, ...] = Field(description="those that take no new flows")


class LogLevelBody(BaseModel):
    """How much the daemon logs, until it ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level = Field(description="events of this weight and above are logged")


class DocumentChangedBody(_Answer):
    """`document_changed`: another revision is in force."""

    revision: int = Field(description="its number")
    author: str = Field(description="who made it, and by which API")


class HealthChangedBody(_Answer):
    """`health_changed`: something else is believed of an endpoint that is checked."""

    pool: str = Field(description="its name; a service's own pool has the service's key")
    endpoint: IPAddress = Field(description="its address")
    health: Health = Field(description="what is believed now")
    why: str = Field(description="the last result of its probes, with the likely cause")


class AnnouncedBody(_Answer):
    """`announced`: BGP peers are told of other prefixes than before."""

    announced: tuple[IPNetwork, ...] = Field(description="those that are new")
    withdrawn: tuple[IPNetwork, ...] = Field(description="those that are announced no longer")


class SessionChangedBody(_Answer):
    """`bgp_session`: a session came up or went down, by BFD too."""

    peer: IPAddress = Field(description="its address")
    state: SessionState = Field(description="what it is now")
    reason: str = Field(description="why it went down")


class DrainChangedBody(_Answer):
    """`drain_changed`: an endpoint or the node begins to drain, is drained, or serves again."""

    pool: str | None = Field(description="null: it is the node")
    endpoint: IPAddress | None = Field(description="its address; null: it is the node")
    drain: Drain = Field(description="what it is now")


class TroubleChangedBody(_Answer):
    """`trouble_changed`: something else is in the way of what the document says."""

    problems: tuple[str, ...] = Field(description="all of it; empty: it is overcome")


class EventBody(_Answer):
    """Something that happened to the node: the `data` of a server-sent event."""

    id: str = Field(description="to resume by; opaque")
    time: datetime = Field(description="when it happened, UTC")
    type: Literal[
        "document_changed",
        "health_changed",
        "announced",
        "bgp_session",
        "drain_changed",
        "trouble_changed",
    ] = Field(description="what data is of; also the name of the server-sent event")
    data: (
        DocumentChangedBody
        | HealthChangedBody
        | AnnouncedBody
        | SessionChangedBody
        | DrainChangedBody
        | TroubleChangedBody
    ) = Field(description="what happened")


class DrainEndpointBody(BaseModel):
    """Which entries of an endpoint to drain, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Name | None = Field(None, description="only there; in every pool if absent")
    timeout_s: Wait | None = Field(
        None, description="it gets its old flows for so long; without end if absent"
    )


class UndrainEndpointBody(BaseModel):
    """Which entries of an endpoint to drain no longer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Name | None = Field(None, description="only there; in every pool if absent")


class DrainNodeBody(BaseModel):
    """How to drain the node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait_s: Wait | None = Field(
        None, description="from asking routers to go elsewhere until the withdrawal"
    )


class ChangeBody(_Answer):
    """A change that is in force."""

    revision: int = Field(description="number of the document in force now")
    changed: bool = Field(description="false when there was nothing to change")


class _Revision(_Answer):
    number: int = Field(description="a later one has a higher")
    time: datetime = Field(description="when it was kept, UTC")
    author: str = Field(description="who made it, and by which API")


class RevisionBody(_Revision):
    """One revision of the document."""

    change: str = Field(description="paths that differ from the revision before, on one line")


class RevisionDocumentBody(_Revision):
    """One revision of the document with what it says."""

    document: Document = Field(description="the whole document, passwords as <secret>")


class VersionBody(_Answer):
    """The program that answers."""

    name: str = Field(description="headrace")
    version: str = Field(description="of the program")


class HealthBody(_Answer):
    """The daemon answers."""

    alive: bool = Field(description="true")
    revision: int = Field(description="number of the document in force")


class ProblemItem(_Answer):
    """One thing that is wrong with what was sent."""

    path: str = Field(description="where, as services[2].endpoints[0].weight; empty for the whole")
    message: str = Field(description="the rule and the remedy")


class ProblemBody(_Answer):
    """A request that failed (RFC 9457)."""

    title: str = Field(description="the status in words")
    status: int = Field(description="HTTP's")
    detail: str = Field(description="every problem, a line each")
    problems: tuple[ProblemItem, ...] = Field(
        description="each by its path, where a body was refused"
    )
