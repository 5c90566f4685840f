"""What the native API sends and takes, for its OpenAPI description.

Answers are made from the values of `control.views` directly, which is faster; a test holds each
model here to the fields of its value.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.model import (
    Affinity,
    Document,
    Encapsulation,
    Flow,
    FlowTable,
    Health,
    IPAddress,
    IPNetwork,
    OperatorState,
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

    protocol: Protocol
    source: Address = Field(description="the client's address")
    source_port: FlowPort
    destination: Address = Field(description="the VIP")
    destination_port: FlowPort

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

    flows: tuple[FlowBody, ...] = Field(max_length=LIMIT_FLOWS)
    steps: Flag = Field(default=True, description="tell each step in a sentence as well")


class UnreadFlows(ExplainBody):
    """The same with its flows yet to be read: thousands at once would hold up the daemon."""

    flows: tuple[Any, ...] = Field(max_length=LIMIT_FLOWS)


class ExplanationBody(_Answer):
    """The way of one flow through the data plane, as the kernel's maps say now."""

    flow: FlowBody
    verdict: str = Field(description="why the packet leaves the pipeline")
    service: str | None = Field(description="key of the service that takes it")
    hash: int | None = Field(description="hash of the flow, specification v1")
    slot: int | None = Field(description="slot of the lookup table")
    endpoint: IPAddress | None = Field(description="who answers")
    encapsulation: Encapsulation | None = Field(description="how the packet gets there")
    outer_source: IPAddress | None = Field(description="none with l2, which adds no header")
    outer_destination: IPAddress | None
    steps: tuple[str, ...] = Field(description="one sentence a step")


class CountBody(_Answer):
    """Packets and the bytes in them."""

    packets: int
    bytes: int


class EndpointBody(_Answer):
    """One endpoint of one service as it stands."""

    address: IPAddress
    weight: int
    state: OperatorState = Field(description="what the operator asked for")
    health: Health | None = Field(description="what is believed of it; null: it is not checked")
    why: str = Field(description="the last result of its probes, with the likely cause")
    share: float = Field(description="part of the slots that it owns, 0 to 1")
    server_id: int | None = Field(description="of QUIC connection ids")
    path: str = Field(description="how it is reached, or why it is not")
    reachable: bool
    sent: CountBody
    packets_per_s: float | None = Field(
        description="of late, while it drains: from the flows that are left"
    )
    drain_left_s: float | None = Field(
        description="how long it still gets its old flows; null: no end is set"
    )


class ServiceBody(_Answer):
    """One service as it stands."""

    name: str
    key: str = Field(
        description="as 192.0.2.1:80/tcp, or 192.0.2.1:80-89/tcp for a range of ports",
        examples=["20.20.20.1:8080/tcp"],
    )
    pool: str
    affinity: Affinity = Field(description="which packets go to one endpoint")
    flow_table: FlowTable = Field(description="when flows are remembered one by one")
    sources: tuple[IPNetwork, ...] = Field(description="who is served; everybody if empty")
    quic: bool = Field(description="routed by the server ids in QUIC connection ids")
    unserved: Unserved = Field(description="what becomes of the VIP's packets without a service")
    forwarding: bool = Field(description="the data plane has it, read back")
    announced: bool = Field(description="the BGP peers were told")
    why_not: str = Field(description="what keeps it from forwarding or being announced")
    healthy: int = Field(description="endpoints that take new flows and serve")
    received: CountBody
    endpoints: tuple[EndpointBody, ...]


class PortBody(_Answer):
    """One attached interface."""

    name: str
    mode: Literal["native", "generic", "missing"]


class PeerBody(_Answer):
    """One BGP peer."""

    address: IPAddress
    as_number: int
    state: SessionState
    since_s: float = Field(description="seconds in that state")
    announced: tuple[IPNetwork, ...]


class VerdictBody(_Answer):
    """One way a packet can leave the pipeline, and how many did."""

    name: str
    action: Literal["pass", "drop", "send", "answer"]
    meaning: str
    count: CountBody


class StatusBody(_Answer):
    """The whole node on one screen."""

    node: str
    version: str
    revision: int = Field(description="number of the document in force; 0 before the first")
    hash_seed_is_default: bool
    ports: tuple[PortBody, ...]
    peers: tuple[PeerBody, ...]
    services: tuple[ServiceBody, ...]
    verdicts: tuple[VerdictBody, ...]
    drain: Literal["active", "draining", "drained"] = Field(
        description="whether the node leaves the VIPs to others"
    )
    drain_left_s: float | None = Field(description="how long a node that drains still announces")
    problems: tuple[str, ...] = Field(description="what is wrong and why, worst first")


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


class RevisionBody(_Answer):
    """One revision of the document."""

    number: int
    time: datetime = Field(description="when it was kept, UTC")
    author: str = Field(description="who made it, and by which API")
    change: str = Field(description="paths that differ from the revision before, on one line")


class RevisionDocumentBody(_Answer):
    """One revision of the document with what it says."""

    number: int
    time: datetime = Field(description="when it was kept, UTC")
    author: str = Field(description="who made it, and by which API")
    document: Document = Field(description="the whole document, passwords as <secret>")


class VersionBody(_Answer):
    """The program that answers."""

    name: str
    version: str


class HealthBody(_Answer):
    """The daemon answers."""

    alive: bool
    revision: int


class ProblemItem(_Answer):
    """One thing that is wrong with what was sent."""

    path: str = Field(description="where, as services[2].endpoints[0].weight; empty for the whole")
    message: str = Field(description="the rule and the remedy")


class ProblemBody(_Answer):
    """A request that failed (RFC 9457)."""

    title: str
    status: int
    detail: str
    problems: tuple[ProblemItem, ...]
