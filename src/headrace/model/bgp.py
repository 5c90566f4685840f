"""The document's bgp section: this node's sessions, and what its announcements are like."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from headrace.model.exports import (
    CommunitySet,
    PeerSet,
    Policy,
    PrefixSet,
    RouteResult,
    check_export,
    check_names,
    way_of,
)
from headrace.model.fields import (
    Address,
    AsNumber,
    Community,
    Flag,
    HoldTime,
    Metric,
    Name,
    PortNumber,
    Prefix,
    Prepend,
    RouteNextHop,
    RouterId,
    Ttl,
    whole,
)
from headrace.model.limits import (
    LIMIT_AGGREGATES,
    LIMIT_COMMUNITIES,
    LIMIT_EXPORTS,
    LIMIT_KEEP_ANNOUNCED_S,
    LIMIT_PASSWORD_BYTES,
    LIMIT_PEERS,
    LIMIT_POLICIES,
    LIMIT_SETS,
)
from headrace.model.problems import Finding, refuse_all
from headrace.model.values import Family, IPAddress, IPNetwork


class _Section(BaseModel):
    """A part of the section: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SpeakerKind(StrEnum):
    """The program that speaks BGP."""

    EXABGP = "exabgp"
    BIRD = "bird"


class Role(StrEnum):
    """Whether routers are to prefer this node."""

    ACTIVE = "active"
    STANDBY = "standby"


class BfdState(StrEnum):
    """What BFD says of a peer, in the words of RFC 5880 (section 6.2)."""

    OFF = "off"  # it does not watch this peer
    ADMIN_DOWN = "admin_down"  # the peer's operator has turned it off there
    DOWN = "down"  # nothing is heard of the peer, or nobody listens here
    INIT = "init"  # the peer is heard, and has not said that it hears us
    UP = "up"


class Bfd(_Section):
    """How fast a silent node is noticed: after `interval_ms` times `multiplier` (RFC 5880)."""

    interval_ms: Annotated[int, Field(ge=10, le=60_000), BeforeValidator(whole(10, 60_000))] = (
        # Three of them, and a router that takes its time over routes, stay below 350 ms.
        Field(80, description="between two packets, either way")
    )
    multiplier: Annotated[int, Field(ge=1, le=255), BeforeValidator(whole(1, 255))] = Field(
        3, description="packets missed in a row until the other end is down"
    )


class Peer(_Section):
    """A BGP session's other end."""

    address: Address = Field(description="the router's own; a peer is known by it")
    as_number: AsNumber = Field(alias="as", description="the peer's autonomous system")
    port: PortNumber = Field(179, description="TCP port that the peer listens on")
    local_address: Address | None = Field(None, description="the session's own end")
    hold_time_s: HoldTime = Field(9, description="BGP hold time (RFC 4271, 4.2)")
    password: str | None = Field(None, description="TCP MD5 key (RFC 2385)")
    multihop: Ttl | None = Field(None, description="routers on the way, at most; its TTL")
    gtsm: Flag = Field(
        default=False, description="send with TTL 255 and demand as much, less multihop (RFC 5082)"
    )
    families: tuple[Family, ...] | None = Field(
        None, min_length=1, description="of the prefixes that it hears; its address's own if absent"
    )
    extended_next_hop: Flag = Field(
        default=False, description="IPv4 prefixes with an IPv6 next hop (RFC 8950)"
    )
    bfd: Flag | None = Field(None, description="watched by BFD; if absent, where bgp.bfd is there")
    export: tuple[Name, ...] = Field(
        (),
        max_length=LIMIT_POLICIES,
        description="policies that decide, in this order, what it hears",
    )
    export_default: RouteResult = Field(
        RouteResult.ACCEPT, description="what becomes of routes that none of them decides on"
    )

    @property
    def hears_all(self) -> bool:
        """Whether it hears every route as it is."""
        return not self.export and self.export_default is RouteResult.ACCEPT

    @property
    def carried(self) -> frozenset[Family]:
        """The families of the prefixes that it hears."""
        return frozenset(self.families or (Family.of(self.address),))

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: IPAddress) -> IPAddress:
        if address.is_link_local:
            raise ValueError(f"{address} is link-local; use a global address of the router")
        if address.is_multicast or address.is_unspecified:
            raise ValueError(f"{address} is not the address of a router; use one")
        return address

    @field_validator("local_address")
    @classmethod
    def _check_local(cls, local: IPAddress | None, info: ValidationInfo) -> IPAddress | None:
        address = info.data.get("address")
        if local is not None and address is not None and local.version != address.version:
            raise ValueError(f"{local} is not of the family of {address}; use one that is")
        return local

    @field_validator("password")
    @classmethod
    def _check_password(cls, password: str | None) -> str | None:
        if password is not None and not 1 <= len(password.encode()) <= LIMIT_PASSWORD_BYTES:
            raise ValueError(
                f"is not of 1 to {LIMIT_PASSWORD_BYTES} bytes; leave it out for none, or shorten it"
            )
        if password is not None and not password.isprintable():
            raise ValueError("has control characters, which no router can be told; use another")
        return password

    @field_validator("families")
    @classmethod
    def _check_families(cls, families: tuple[Family, ...] | None) -> tuple[Family, ...] | None:
        if families is not None and len(set(families)) < len(families):
            raise ValueError("names a family twice; name it once")
        return families

    @field_validator("extended_next_hop")
    @classmethod
    def _check_extended(cls, extended: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        address = info.data.get("address")
        if not extended or address is None or "families" not in info.data:
            return extended
        if address.version == 4:
            raise ValueError(f"the session with {address} is not IPv6; leave it out")
        if Family.IPV4 not in (info.data["families"] or ()):
            raise ValueError("the session carries no IPv4 prefixes; add ipv4 to families")
        return extended

    @field_validator("bfd")
    @classmethod
    def _check_bfd(cls, bfd: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic's
        if bfd and info.data.get("multihop") and info.data.get("local_address") is None:
            raise ValueError("BFD over several hops needs the own end; add local_address")
        return bfd


class Bgp(_Section):
    """The node's own end of all its BGP sessions."""

    as_number: AsNumber = Field(alias="as", description="this node's autonomous system")
    router_id: RouterId = Field(description="BGP identifier (RFC 6286)")
    speaker: SpeakerKind = Field(SpeakerKind.EXABGP, description="the program that speaks BGP")
    role: Role = Field(
        Role.ACTIVE, description="standby: worse MED and longer AS path than the active node's"
    )
    med: Metric | None = Field(None, description="of services that give none; lower is preferred")
    communities: tuple[Community, ...] = Field(
        (), max_length=LIMIT_COMMUNITIES, description="of services that give none"
    )
    prepend: Prepend = Field(0, description="own AS once more in front; of services that give none")
    local_pref: Metric | None = Field(
        None, description="for iBGP peers; of services that give none; higher is preferred"
    )
    next_hop: RouteNextHop = Field(
        "self", description="where routers send packets for the VIPs: this node, or an address"
    )
    aggregate: tuple[Prefix, ...] = Field(
        (),
        max_length=LIMIT_AGGREGATES,
        description="prefixes announced while one of the VIPs inside is",
    )
    aggregate_only: Flag = Field(
        default=False, description="announce aggregates in place of the VIPs inside"
    )
    keep_announced_s: Annotated[
        int,
        Field(ge=0, le=LIMIT_KEEP_ANNOUNCED_S),
        BeforeValidator(whole(0, LIMIT_KEEP_ANNOUNCED_S)),
    ] = Field(60, description="for how long announcements outlive the daemon as they are")
    withdraw_drain_s: Annotated[
        int,
        Field(ge=0, le=LIMIT_KEEP_ANNOUNCED_S),
        BeforeValidator(whole(0, LIMIT_KEEP_ANNOUNCED_S)),
    ] = Field(
        0, description="for how long after that as a drained node's, until they are withdrawn"
    )
    bfd: Bfd | None = Field(None, description="watch the peers by BFD; {} for its defaults")
    graceful_restart_s: (
        Annotated[int, Field(ge=1, le=4095), BeforeValidator(whole(1, 4095))] | None
    ) = Field(
        None,
        description="for how long routers keep the routes of a session that just ended (RFC 4724); "
        "a dead node's too, but for BFD",
    )
    prefix_sets: dict[Name, PrefixSet] = Field(
        default_factory=dict,
        max_length=LIMIT_SETS,
        description="prefixes that policies ask for, by name",
    )
    peer_sets: dict[Name, PeerSet] = Field(
        default_factory=dict,
        max_length=LIMIT_SETS,
        description="addresses and prefixes of peers that policies ask for, by name",
    )
    community_sets: dict[Name, CommunitySet] = Field(
        default_factory=dict,
        max_length=LIMIT_SETS,
        description="communities that policies ask for, by name; * is any number",
    )
    policies: dict[Name, Policy] = Field(
        default_factory=dict,
        max_length=LIMIT_POLICIES,
        description="export policies by name, each its statements; a peer's export names them",
    )
    peers: tuple[Peer, ...] = Field(
        (), max_length=LIMIT_PEERS, description="the routers to announce to"
    )

    def is_watched(self, peer: Peer) -> bool:
        """Whether BFD watches this peer."""
        return self.bfd is not None and peer.bfd is not False

    @property
    def given_next_hop(self) -> IPAddress | None:
        """The next hop of every announcement; None for this node."""
        return None if isinstance(self.next_hop, str) else self.next_hop

    @field_validator("aggregate")
    @classmethod
    def _check_aggregate(cls, prefixes: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
        for index, prefix in enumerate(prefixes):
            if prefix in prefixes[:index]:
                raise ValueError(f"has {prefix} twice; keep one of them")
            if prefix.prefixlen == 0:
                raise ValueError(f"has {prefix}, the whole internet; give the VIPs' own prefix")
        return prefixes

    @field_validator("aggregate_only")
    @classmethod
    def _check_aggregate_only(cls, only: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if only and info.data.get("aggregate") == ():
            raise ValueError("there is no aggregate to announce; add some, or leave it out")
        return only

    @field_validator("policies")
    @classmethod
    def _check_policies(
        cls, policies: dict[str, Policy], info: ValidationInfo
    ) -> dict[str, Policy]:
        refuse_all(check_names(policies, info.data))
        return policies

    @field_validator("peers")
    @classmethod
    def _check_peers(cls, peers: tuple[Peer, ...], info: ValidationInfo) -> tuple[Peer, ...]:
        refuse_all(_misfits(peers, info))
        known = {key: info.data.get(key, {}) for key in ("policies", "peer_sets")}
        ways = {
            way_of(peer.address, peer.export, peer.export_default, **known)
            for peer in peers
            if not peer.hears_all
        }
        if len(ways) > LIMIT_EXPORTS:
            raise ValueError(
                f"{len(ways)} different exports are over the limit of {LIMIT_EXPORTS}; "
                "have some peers hear the same"
            )
        return peers


def _misfits(peers: tuple[Peer, ...], info: ValidationInfo) -> Iterator[Finding]:
    """What peers, or the section's other keys, do not allow a peer."""
    first: dict[IPAddress, int] = {}
    for index, peer in enumerate(peers):
        known = first.setdefault(peer.address, index)
        if known != index:
            yield (
                (index,),
                f"{peer.address} is already bgp.peers[{known}]; keep one of them",
            )
        if "policies" in info.data:
            for location, text in check_export(peer.export, info.data["policies"]):
                yield (index, "export", *location), text
        if peer.bfd and info.data.get("bfd") is None:
            yield (index, "bfd"), "is true, but bgp.bfd is absent; add it, as {}"
        if info.data.get("speaker") is SpeakerKind.BIRD and '"' in (peer.password or ""):
            yield (
                (index, "password"),
                "has a double quote, which BIRD cannot read; use another",
            )
