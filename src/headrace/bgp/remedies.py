"""What a speaker says of a session that is down, and what to do about it, as a sentence."""

import re

from headrace.model import Family, IPAddress, IPNetwork, Peer
from headrace.model.values import prefix_rank

_REMEDIES = (
    # Of RFC 4271, section 6.2, and RFC 4486: by number in ExaBGP's words, by name in BIRD's.
    (
        r"\(2,\s?2\)|bad peer as",
        "the AS numbers differ: make `as` the router's own, and bgp.as what it expects here",
    ),
    (
        r"\(2,\s?3\)|bad bgp identifier",
        "give this node a bgp.router_id that no other node and no router has",
    ),
    (r"\(2,\s?6\)|unacceptable hold time", "raise hold_time_s to what the router demands"),
    (
        r"\(2,\s?\d+\)|capability",
        "make `families` and extended_next_hop what the router has for this session",
    ),
    (r"\(4,\s?0\)|hold timer", "look whether the way there loses packets, or the router is busy"),
    (
        r"\(6,\s?[23]\)|administrative shutdown|peer de-?configured",
        "the router's configuration ended it: enable this node's session there",
    ),
    (
        r"\(6,\s?[5-7]\)|connection rejected|connection collision|configuration change",
        "see that the router has this node, by the address that it connects from, as a neighbour",
    ),
    (
        r"refused",
        "nothing listens there: start BGP on the router, or mend `address` and `port`",
    ),
    (
        r"unreachable|no route|invalid next hop",
        "see that this node has a route there: ip route get",
    ),
)

_SILENT = (
    "no answer: see that the router is up (ping), listens there, has this node as a neighbour, "
    "lets TCP through, and has the same `password` and `gtsm`"
)


_EMPTY = frozenset(("", "closing connection"))  # ExaBGP's, whatever kept it from connecting


def explain_down(peer: Peer, reason: str) -> str:
    """Why a session is down, in the speaker's words if it said anything, and the remedy."""
    head = f"BGP with {peer.address} port {peer.port}"
    if reason in _EMPTY:
        return f"{head}: {_SILENT}"
    known = (remedy for pattern, remedy in _REMEDIES if re.search(pattern, reason.lower()))
    return f"{head}: {reason}; {next(known, 'look at what the router says of this session')}"


def explain_uncarried(peer: Peer, family: Family) -> str:
    """That a session is up without a family that the document asks for, and the remedy."""
    remedy = f"enable (activate) {family} unicast for this node there"
    if peer.extended_next_hop and family is Family.IPV4:
        remedy += ", with extended next hops (RFC 8950)"
    return (
        f"BGP with {peer.address} carries no {family} prefixes: the router did not agree to them; "
        f"{remedy}, or take {family} from the peer's families"
    )


def explain_unsaid(peer: IPAddress, prefixes: frozenset[IPNetwork]) -> str:
    """That a session has no next hop for some prefixes, and the remedy."""
    first, count = min(prefixes, key=prefix_rank), len(prefixes)
    more = f" and {count - 1:,} more" if count > 1 else ""
    return (
        f"BGP peer {peer} is not told of {first}{more}: this end of its session has no address of "
        "that family for the next hop; give the interface one and have the session begin anew, "
        "or set next_hop"
    )
