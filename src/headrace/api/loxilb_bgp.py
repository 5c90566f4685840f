"""LoxiLB's BGP peers, global settings, roles and BFD sessions, as changes of `bgp`. Pure."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import Field

from headrace.api.bodies import Part, RuleError
from headrace.control.views import PeerView
from headrace.model import BfdState, Bgp, ConfigError, Document, Peer, Role, SessionState, build_bgp
from headrace.model.fields import read_address

NO_BGP = "loxilb bgp mode is disabled: post config/bgp/global first, or put bgp into the document"
INSTANCE = "llb-inst0"
MULTIHOP_TTL = 8
BGP_PORT = 179
BFD_PORT = 3784
BFD_INTERVAL_US_MIN = 100_000
_NO_SOURCE = ("", "0.0.0.0", "::")  # noqa: S104 - the node's own choice
_BFD_STATES = {
    BfdState.OFF: "BFDAdminDown",
    BfdState.ADMIN_DOWN: "BFDAdminDown",
    BfdState.DOWN: "BFDDown",
    BfdState.INIT: "BFDInit",
    BfdState.UP: "BFDUp",
}

NOT_DEFINED = "NOT_DEFINED"
ROLES = {
    "MASTER": Role.ACTIVE,
    NOT_DEFINED: Role.ACTIVE,  # every node serves, as with anycast
    "BACKUP": Role.STANDBY,
    # Nobody knows whether another node is there, so that one in trouble is the last to be taken.
    "FAULT": Role.STANDBY,
    "STOP": Role.STANDBY,
}
_NAMES = {Role.ACTIVE: "MASTER", Role.STANDBY: "BACKUP"}


class Neighbour(Part):
    """A BGP peer as clients send it."""

    address: str = Field(alias="ipAddress")
    as_number: int = Field(alias="remoteAs")
    port: int = Field(0, alias="remotePort")
    multihop: bool = Field(default=False, alias="setMultiHop")


class Global(Part):
    """The node's own end of BGP. The port to listen on is not taken: sessions begin here."""

    router_id: str = Field(alias="routerId")
    as_number: int = Field(alias="localAs")
    next_hop_self: bool = Field(default=False, alias="setNextHopSelf")


class Cistate(Part):
    """The role of a node."""

    instance: str = INSTANCE
    state: str = ""
    vip: str = ""


class BfdSession(Part):
    """A BFD session as clients send it."""

    remote: str = Field(alias="remoteIp")
    source: str = Field("", alias="sourceIp")
    interval_us: int = Field(0, alias="interval")
    retries: int = Field(0, alias="retryCount")


def put_neighbour(document: Document, neighbour: Neighbour) -> Document:
    """The document with a peer added, or given another AS, port or distance."""
    bgp = section_of(document)
    raw: dict[str, Any] = {
        "address": neighbour.address,
        "as": neighbour.as_number,
        "port": neighbour.port or BGP_PORT,
    }
    if neighbour.multihop:
        raw["multihop"] = MULTIHOP_TTL
    known = find_peer(bgp, neighbour.address)
    if known is None:
        return _with_peers(document, [*_peers(bgp), raw])
    kept = {k: v for k, v in raw_peer(known).items() if k != "multihop"}
    return _with_peers(
        document, [kept | raw if each is known else raw_peer(each) for each in bgp.peers]
    )


def without_neighbour(document: Document, address: str, as_number: str) -> Document:
    """The document without a peer."""
    bgp = section_of(document)
    known = find_peer(bgp, address)
    if known is None or (as_number.isdecimal() and int(as_number) != known.as_number):
        raise RuleError(HTTPStatus.NOT_FOUND, f"no such neighbor {address} of AS {as_number}")
    return _with_peers(document, [raw_peer(each) for each in bgp.peers if each is not known])


def put_global(document: Document, settings: Global, state: str) -> Document:
    """The document with this AS and router id; again is the same as once.

    `state` is what was asked before there was a section to keep its role in; empty for nothing.
    """
    raw = {} if document.bgp is None else raw_section(document.bgp)
    raw |= {"as": settings.as_number, "router_id": settings.router_id}
    if settings.next_hop_self:
        raw["next_hop"] = "self"
    if state:
        raw["role"] = ROLES[state]
    return build_section(document, raw)


def read_state(wish: Cistate) -> str:
    """The state that is asked for, one of those that mean a role."""
    if wish.state not in ROLES:
        raise RuleError(HTTPStatus.BAD_REQUEST, f"invalid cluster-state {wish.state!r}")
    return wish.state


def with_state(document: Document, state: str) -> Document:
    """The document with a state's role, if it has a bgp section to keep it in."""
    if document.bgp is None:
        return document
    bgp = document.bgp.model_copy(update={"role": ROLES[state]})
    return document.model_copy(update={"bgp": bgp})


def put_bfd(document: Document, session: BfdSession) -> Document:
    """The document with a peer watched by BFD; times that are 0 stay as they are."""
    bgp = section_of(document)
    known = find_peer(bgp, session.remote)
    if known is None:
        text = f"bfd: {session.remote} is no such BGP peer; create the neighbor first"
        raise RuleError(HTTPStatus.NOT_FOUND, text)
    if session.interval_us and session.interval_us < BFD_INTERVAL_US_MIN:
        text = f"malformed bfd: interval {session.interval_us} is below {BFD_INTERVAL_US_MIN} us"
        raise RuleError(HTTPStatus.BAD_REQUEST, text)
    times = {} if bgp.bfd is None else bgp.bfd.model_dump()
    if session.interval_us:
        times["interval_ms"] = session.interval_us // 1000
    if session.retries:
        times["multiplier"] = session.retries
    peers = [raw_peer(each) | {"bfd": each is known or bgp.is_watched(each)} for each in bgp.peers]
    if session.source not in _NO_SOURCE:
        # BFD watches the way of the BGP session, so that both begin at one address.
        peers[bgp.peers.index(known)]["local_address"] = session.source
    return build_section(document, raw_section(bgp) | {"bfd": times, "peers": peers})


def without_bfd(document: Document, address: str) -> Document:
    """The document with a peer that BFD does not watch."""
    bgp = section_of(document)
    known = find_peer(bgp, address)
    if known is None or not bgp.is_watched(known):
        raise RuleError(HTTPStatus.NOT_FOUND, f"no such bfd session {address}")
    watched = [each for each in bgp.peers if bgp.is_watched(each) and each is not known]
    raw = raw_section(bgp)
    raw["peers"] = [
        {k: v for k, v in raw_peer(each).items() if k != "bfd"}
        | ({"bfd": each in watched} if watched else {})
        for each in bgp.peers
    ]
    if not watched:
        raw.pop("bfd", None)
    return build_section(document, raw)


def listed_neighbour(peer: PeerView) -> dict[str, Any]:
    """A peer as LoxiLB lists it."""
    return {
        "ipAddress": str(peer.address),
        "remoteAs": peer.as_number,
        "state": "ESTABLISHED" if peer.state is SessionState.UP else "IDLE",
        "updowntime": _clock(peer.since_s),
    }


def listed_bfd(document: Document, views: Iterable[PeerView]) -> list[dict[str, Any]]:
    """The BFD sessions as LoxiLB lists them."""
    bgp = document.bgp
    if bgp is None or bgp.bfd is None:
        return []
    states = {view.address: view.bfd for view in views}
    return [
        {
            "instance": "default",
            "remoteIp": str(peer.address),
            "sourceIP": "" if peer.local_address is None else str(peer.local_address),
            "port": BFD_PORT,
            "interval": bgp.bfd.interval_ms * 1000,
            "retryCount": bgp.bfd.multiplier,
            "state": _BFD_STATES[states.get(peer.address, BfdState.DOWN)],
        }
        for peer in bgp.peers
        if bgp.is_watched(peer)
    ]


def listed_cistate(document: Document, state: str) -> list[dict[str, Any]]:
    """The role as LoxiLB lists it: in the word that was last asked for, while that is its role."""
    if document.bgp is not None and ROLES.get(state) is not document.bgp.role:
        state = _NAMES[document.bgp.role]
    state = state or NOT_DEFINED
    return [{"instance": INSTANCE, "state": state, "vip": "0.0.0.0", "sync": 0}]  # noqa: S104


def section_of(document: Document) -> Bgp:
    """The bgp section; RuleError without one."""
    if document.bgp is None:
        raise RuleError(HTTPStatus.FORBIDDEN, NO_BGP)
    return document.bgp


def find_peer(bgp: Bgp, text: str) -> Peer | None:
    """The peer of this address, if there is one; RuleError for what is no address."""
    try:
        address = read_address(text)
    except ValueError as error:
        raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed address: {error}") from error
    return next((peer for peer in bgp.peers if peer.address == address), None)


def _with_peers(document: Document, peers: list[dict[str, Any]]) -> Document:
    raw = raw_section(section_of(document)) | {"peers": peers}
    return build_section(document, raw)


def raw_section(bgp: Bgp) -> dict[str, Any]:
    """The section as plain values, without what is the default."""
    return bgp.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def raw_peer(peer: Peer) -> dict[str, Any]:
    """A peer as plain values, without what is the default."""
    return peer.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _peers(bgp: Bgp) -> list[dict[str, Any]]:
    return [raw_peer(peer) for peer in bgp.peers]


def build_section(document: Document, raw: dict[str, Any]) -> Document:
    """The document with this bgp section; RuleError with what is wrong with it."""
    return document.model_copy(update={"bgp": _build(raw)})


def _build(raw: dict[str, Any]) -> Bgp:
    try:
        return build_bgp(raw)
    except ConfigError as error:
        text = "; ".join(map(str, error.problems))
        raise RuleError(HTTPStatus.BAD_REQUEST, f"malformed bgp: {text}") from error


def _clock(seconds: float) -> str:
    """`HH:MM:SS`, or `Nd HH:MM:SS` from a day on."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}d {clock}" if days else clock
